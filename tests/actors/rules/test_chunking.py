from hypothesis import given
from hypothesis import strategies as st

from understudy.actors.rules.chunking import chunks
from understudy.actors.rules.tokens import estimate_tokens

TEXT = """Before all.

# Cats
They purr.

They sleep.

## Food
- mice
- fish

Dogs
====
| name | age |
|------|-----|
| Rex  | 3   |
"""


def test_passages_follow_the_headings() -> None:
    """Paragraphs under the same headings go together; headings stand beside them."""
    found = list(chunks(TEXT))
    assert [chunk.heading for chunk in found] == ["", "Cats", "Cats > Food", "Dogs"]
    assert found[1].text == "They purr.\n\nThey sleep."
    assert "Rex" in found[3].text


def test_what_is_too_long_is_cut_between_sentences() -> None:
    """Then between words, then anywhere."""
    long = "One sentence is here. " * 100
    found = list(chunks(long, 50))
    assert len(found) > 10
    assert all(chunk.text.endswith("here.") for chunk in found)
    words = list(chunks("word " * 1000, 50))
    assert all(set(chunk.text.split()) == {"word"} for chunk in words)
    assert "".join(chunk.text for chunk in chunks("x" * 10_000, 50)) == "x" * 10_000


@given(st.text(st.sampled_from("ab# \n.-|`=\u4e2d\U0001f600"), max_size=400), st.integers(5, 60))
def test_no_passage_is_longer_than_it_may_be(text: str, max_tokens: int) -> None:
    """And what it says stands in the document in this order."""
    found = list(chunks(text, max_tokens))
    assert all(0 < estimate_tokens(chunk.text) <= max_tokens for chunk in found)
    rest = iter(text)
    body = "".join(chunk.text for chunk in found)
    assert all(letter in rest for letter in body if letter in "ab\u4e2d")


@given(st.text(st.sampled_from("abc \n.>\u4e2d\U0001f600"), max_size=400), st.integers(5, 60))
def test_every_word_is_in_one_passage(text: str, max_tokens: int) -> None:
    """Nothing is lost, nothing is there twice."""
    body = "".join(chunk.text for chunk in chunks(text, max_tokens))
    assert [each for each in body if each not in " \n>"] == [
        each for each in text if each not in " \n>"
    ]


def test_a_large_text_costs_no_more_than_its_length() -> None:
    """A line of a megabyte comes in parts, each weighed once."""
    found = list(chunks("x" * 1_000_000, 100))
    assert sum(len(chunk.text) for chunk in found) == 1_000_000
    assert len(found) <= 3000
