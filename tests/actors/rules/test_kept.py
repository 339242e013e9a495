"""How much of a text is kept while it comes."""

from understudy.actors.rules.kept import TAIL, kept


def test_a_whole_text_is_held_once() -> None:
    """Asking for it again gives the same object, and what comes afterwards is still added."""
    text = kept("full")
    text.extend(["one ", "two "])
    first = text.text
    assert first == "one two "
    assert text.text is first
    text.add("three")
    assert text.text == "one two three"
    assert kept("full").text == ""


def test_a_tail_says_that_it_is_one() -> None:
    """The end, behind a marker; tokens are counted for all of it."""
    text = kept("tail")
    for _ in range(TAIL // 4):
        text.add("12345678")
    assert text.text.endswith("12345678")
    assert len(text.text) < TAIL + 200
    whole = kept("full")
    whole.extend(["12345678"] * (TAIL // 4))
    assert text.tokens == whole.tokens
