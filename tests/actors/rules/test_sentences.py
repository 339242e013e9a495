import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.actors.rules.blocks import WINDOW, Kind
from understudy.actors.rules.sentences import MAX_SENTENCE, SLICE, Span, fold, sentences

PROSE = [
    ("One. Two! Three? Four… Five.", ["One.", "Two!", "Three?", "Four…", "Five."]),
    ("Dr. Smith met J. R. Tolkien. They left.", ["Dr. Smith met J. R. Tolkien.", "They left."]),
    ("Use e.g. Redis, or cf. Fig. 3 above.", ["Use e.g. Redis, or cf. Fig. 3 above."]),
    ("He said no. She left.", ["He said no.", "She left."]),
    ("It took 3.14 s. See No. 5 for more.", ["It took 3.14 s.", "See No. 5 for more."]),
    (
        "See https://a.b/c.d?e=f!g. Or README.md instead.",
        ["See https://a.b/c.d?e=f!g.", "Or README.md instead."],
    ),
    ('"Why?" she asked. "So." He left.', ['"Why?" she asked.', '"So."', "He left."]),
    ("Call `a. B` first. Then stop.", ["Call `a. B` first.", "Then stop."]),
    ("It starts. `make test` ends.", ["It starts.", "`make test` ends."]),
    ("Wait... and see. Really?! Yes.", ["Wait... and see.", "Really?!", "Yes."]),
    ("(It works.) **Bold ends.** Next.", ["(It works.)", "**Bold ends.**", "Next."]),
    ("日本語の文です。次の「はい。」終わり", ["日本語の文です。", "次の「はい。」", "終わり"]),
    ("هل هذا؟ نعم. हिन्दी वाक्य। दूसरा।", ["هل هذا؟", "نعم.", "हिन्दी वाक्य।", "दूसरा।"]),
    ("One line\nwraps here. Next\r\none too.", ["One line wraps here.", "Next one too."]),
    ("> quoted\n> text here. More\n> of it.", ["quoted text here.", "More of it."]),
    ("- one\n- two. Three.\n  goes on\n3) four", ["one", "two.", "Three. goes on", "four"]),
    ("- [ ] open task\n* [x] done task", ["open task", "done task"]),
    (".. note:: Look here.\n   And there.", ["Look here.", "And there."]),
    ("- item\n\n    its second paragraph", ["item", "its second paragraph"]),
    ("... !!! --- ???", []),
    (" \t\r\n \u2003 ", []),
    ("", []),
]
OTHER = [
    ("# Title\ntext", Kind.HEADING, ["Title"]),
    ("Title\n=====\ntext", Kind.HEADING, ["Title"]),
    ("====\nTitle\n====\n", Kind.HEADING, ["Title"]),
    ("Title\r\n~~~~~\r\ntext", Kind.HEADING, ["Title"]),
    ("| a | b |\n|---|---|\n| c. D | d |", Kind.TABLE, ["| a | b |", "| c. D | d |"]),
    ("```python\nx = 1. Y\n\n# z\n```\nafter", Kind.CODE, ["x = 1. Y", "# z"]),
    ("~~~\na\n~~~~\nafter", Kind.CODE, ["a"]),
    ("text\n\n    a = b\n    c = d\n\nmore", Kind.CODE, ["a = b", "c = d"]),
    ("Like this::\n\n  a. B\n\nmore", Kind.CODE, ["a. B"]),
    (".. code-block:: c\n\n   f(). G\n\nmore", Kind.CODE, [".. code-block:: c", "f(). G"]),
    (">>> f(1)\n'out. Put'\n\nmore", Kind.CODE, ["f(1)", "'out. Put'"]),
    ("[![badge](a)](b)\n\n<p align=x>\n\n[a]: http://b", Kind.CODE, ["[![badge](a)](b)"]),
]
HOSTILE = [
    "a",
    " ",
    ".",
    "\n",
    "a ",
    "Hi. ",
    ". ",
    '."',
    "> ",
    ">\n",
    "* a\n",
    "`",
    "`a. B ",
    "漢字。",
    "```\n",
    "~~~\n",
    "| a |\n",
    "    a\n",
    "a\r",
    "[",
    "<a> > ",
    "# a\n",
    "1. ",
    "😀 x. ",
    "::\n\n",
]


def split(text: str) -> list[Span]:
    """Find all sentences at once."""
    return [span for batch in sentences(text) for span in batch]


def quote(text: str, span: Span) -> str:
    """Write a sentence as it is quoted."""
    return fold(text[span.start : span.end])


@pytest.mark.parametrize(("text", "expected"), PROSE)
def test_prose(text: str, expected: list[str]) -> None:
    """Prose falls into its sentences, and into nothing else."""
    spans = split(text)
    assert [quote(text, span) for span in spans] == expected
    assert not [span for span in spans if span.kind is not Kind.PROSE or span.cut]


@pytest.mark.parametrize(("text", "kind", "expected"), OTHER)
def test_what_is_not_prose_is_told_apart(text: str, kind: Kind, expected: list[str]) -> None:
    """Headings, tables, code and markup are lines of their own kind, and end where they end."""
    spans = split(text)
    found = [quote(text, span) for span in spans if span.kind is kind]
    assert found[: len(expected)] == expected
    prose = [quote(text, span) for span in spans if span.kind is Kind.PROSE]
    assert not set(found) & set(prose)
    for after in ("after", "more"):
        assert (after in text) == (after in prose)


def test_text_without_capitals_is_split_where_it_is_long() -> None:
    """Somebody who writes no capitals is still quoted in pieces."""
    spans = split("this is all in lower case, as some people write. " * 30)
    assert 2 <= len(spans) <= 6


def test_an_endless_sentence_is_cut_at_white_space_and_says_so() -> None:
    """A paragraph without a full stop comes in parts that begin and end with whole words."""
    text = "abcdefg " * 3_000 + "end. Short one."
    spans = split(text)
    assert [span.cut for span in spans] == [True] * (len(spans) - 1) + [False]
    words = " ".join(text[span.start : span.end] for span in spans).split()
    assert words == text.split()


@pytest.mark.parametrize("unit", HOSTILE)
def test_a_slice_is_bounded_on_any_input(unit: str) -> None:
    """However a text is shaped, little of it is read between two yields."""
    text = unit * (100_000 // len(unit))
    for batch in sentences(text):
        assert len(batch) <= (SLICE + WINDOW * 64) // 64
        if batch:
            assert batch[-1].end - batch[0].start <= SLICE + WINDOW + MAX_SENTENCE


@pytest.mark.parametrize("unit", ["\n", " ", ".", ">\n", "```\n", "::\n\n"])
def test_a_text_without_a_word_yields_all_the_same(unit: str) -> None:
    """Where there is nothing to quote, the caller is still asked whether to go on."""
    text = unit * (100_000 // len(unit))
    batches = list(sentences(text))
    assert not any(batches)
    assert len(batches) >= len(text) // (SLICE + WINDOW)


def test_stops_that_end_nothing_count_as_work() -> None:
    """Looking at 25,000 full stops in vain takes many slices, though nothing ends there."""
    assert len(list(sentences("Mr. " * 25_000))) > 40


@given(st.text(st.sampled_from(list("aB1 .!\n\r\t>-#`|~=:*_()\"'<[漢。\ud800é")), max_size=200))
def test_sentences_are_disjoint_ascending_and_trimmed(text: str) -> None:
    """Spans never overlap, hold at most a sentence's length and have no white space at the ends."""
    last = 0
    for span in split(text):
        assert last <= span.start < span.end <= len(text)
        assert span.end - span.start <= MAX_SENTENCE
        found = text[span.start : span.end]
        assert found == found.strip()
        assert fold(found) in fold(text)
        last = span.end
