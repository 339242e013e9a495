import os
import subprocess
import sys
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from understudy.actors.rules.extractive import (
    _CUT,
    _OPENS,
    MAX_SENTENCES,
    ExtractiveSummary,
    _prior,
    summarise,
    summarise_now,
)
from understudy.actors.rules.redundancy import Candidate, choose, likeness
from understudy.actors.rules.sentences import fold
from understudy.actors.rules.terms import VOCABULARY, Terms, words_of
from understudy.actors.rules.tokens import estimate_tokens

ARTICLE = """# Mailboxes

A mailbox holds the messages of one actor until it can take them. It is bounded by default.
The weather was fine that day. Somebody had left a bicycle at the gate.

## Overflow

When a mailbox is full, the sender learns that its message was refused. A refused message was
never accepted, so the mailbox does not count it. A mailbox that is full refuses the message of the
sender. Lunch was served at noon.

- an actor takes the messages of its mailbox in order
- the cook was from Lyon

```python
mailbox = Mailbox(messages=1024)
```
"""
TEXT = st.text(
    st.sampled_from(list("abcdeABC  ..!?\n\r\t>-#`|~=_*()\"'漢。é😀\ud800")), max_size=400
) | st.lists(
    st.sampled_from(
        "The actor ran.|A mailbox is bounded!|> quoted|```|# Head|- item|\n|\n\n|\r\n|    code = 1"
        "|漢字の文。|e.g. this|many words without an end, |".split("|")
    )
).map("\n".join)


def test_the_subject_is_quoted_and_the_asides_are_not() -> None:
    """The sentences taken are about what the text is about, in the order of the source."""
    summary = summarise_now(ARTICLE, 60)
    quoted = " ".join(summary.sentences)
    assert summary.sentences[0].startswith("A mailbox holds the messages")
    for aside in ("weather", "bicycle", "Lunch", "cook", "python", "Overflow"):
        assert aside not in quoted
    places = [fold(ARTICLE).index(sentence) for sentence in summary.sentences]
    assert places == sorted(places)
    assert not summary.truncated


def test_nothing_is_said_twice() -> None:
    """Of sentences that are nearly the same, one is quoted."""
    text = "The mailbox refuses the message of the sender. " * 20 + "Actors restart when they fail."
    assert len(summarise_now(text, 500).sentences) == 2


def test_the_budget_is_a_limit_and_not_a_goal() -> None:
    """A summary stays a summary where the whole text would fit the budget."""
    text = " ".join(
        f"Sentence number{n} speaks of topic{n % 7} and thing{n % 11}." for n in range(400)
    )
    assert len(summarise_now(text, 1_000_000).sentences) == 20
    assert len(summarise_now(text * 40, 1_000_000).sentences) <= MAX_SENTENCES


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        (" \r\n\t\u2003\n", ()),
        ("--- ... !!!", ()),
        ("word", ("word",)),
        ("One line.\r\nAnother\r\nline.\r\n", ("One line.", "Another line.")),
        ("```\nx = 1\ny = 2\n```", ("x = 1", "y = 2")),
        ("# Only\n\n# Headings", ("Only", "Headings")),
        ("# Head\n\n```\ncode\n```", ("Head",)),
        ("| a | b |\n|---|---|\n| c | d |", ("| a | b |", "| c | d |")),
        ("A broken \ud800 character.", ("A broken \ufffd character.",)),
    ],
)
def test_texts_with_little_to_quote(text: str, expected: tuple[str, ...]) -> None:
    """Tables are quoted where there is no prose, headings where there are none, then code."""
    summary = summarise_now(text, 100)
    assert summary.sentences == expected
    assert summary.input_tokens == estimate_tokens(text)
    assert not summary.truncated
    assert msgspec.json.decode(msgspec.json.encode(summary), type=ExtractiveSummary) == summary


@pytest.mark.parametrize(
    ("text", "budget", "expected"),
    [
        ("The quick brown fox jumps over the lazy dog again and again", 5, "The quick brown fox"),
        ("Incomprehensibilities", 2, "Incompre"),
        ("漢字漢字漢字", 2, "漢字"),
    ],
)
def test_a_sentence_over_the_budget_is_cut_between_words(
    text: str, budget: int, expected: str
) -> None:
    """Where no sentence fits, the best is cut: between words, or within a word that is too long."""
    summary = summarise_now(text, budget)
    assert summary.sentences == (expected,)
    assert summary.truncated


def test_the_best_sentence_is_the_one_that_is_cut() -> None:
    """Where no sentence fits, it is not the first or the least that is quoted in part."""
    text = (
        "Nobody mentioned anything. Somebody wrote completely unrelated matters here yesterday. "
        "The mailbox refuses messages when the mailbox overflows badly. "
        "A mailbox refuses messages because bounded mailbox sizes help. "
        "When the mailbox refuses messages senders learn about it."
    )
    assert summarise_now(text, 5).sentences == ("The mailbox refuses",)


def test_where_a_sentence_stands_counts() -> None:
    """The first counts double, which fades; one that opens a section more; a cut one half."""
    assert _prior(0, 0) == 200
    assert _prior(4, 0) == 150
    assert _prior(10_000, 0) == 100
    assert _prior(4, _OPENS) == 170
    assert _prior(4, _CUT) == 75


def test_the_words_of_headings_weigh_more() -> None:
    """What a heading names is what its section is about."""
    terms = Terms()
    for words in ({"pool", "fast"}, {"mail", "fast"}, {"mail", "slow"}, {"pool", "slow"}, {"x"}):
        terms.count([frozenset(words)])
    terms.entitle(frozenset({"mail"}))
    terms.weigh()
    mail, pool = terms.relevance(frozenset({"mail"})), terms.relevance(frozenset({"pool"}))
    assert mail == pytest.approx(1.5 * pool, abs=1)


def test_novelty_counts_beside_relevance() -> None:
    """A sentence that says something new comes before a slightly better one that does not."""
    best = Candidate(0, 100, frozenset("abcd"))
    like = Candidate(1, 95, frozenset("abce"))
    new = Candidate(2, 80, frozenset("xyz"))
    taken: list[Candidate] = []

    def fits(candidate: Candidate) -> bool:
        taken.append(candidate)
        return True

    for _ in choose([like, new, best], limit=3, fits=fits):
        pass
    assert taken == [best, new, like]


def test_a_budget_below_one_character_gives_nothing() -> None:
    """A character that costs two tokens does not fit into one, and that is said."""
    assert summarise_now("😀a", 1) == ExtractiveSummary(
        sentences=(), input_tokens=2, output_tokens=0, truncated=True
    )


def test_an_endless_sentence_is_quoted_in_part() -> None:
    """A part of a sentence that has no end counts as cut."""
    summary = summarise_now("abcdefg " * 20_000, 1_000)
    assert summary.truncated
    assert len(summary.sentences) == 1


@pytest.mark.parametrize("budget", [0, -1])
def test_no_budget_is_refused(budget: int) -> None:
    """A budget below one token is an error at the call, not at the first step."""
    with pytest.raises(ValueError, match="budget of 1 or more"):
        summarise("text", max_tokens=budget)


@given(TEXT, st.integers(1, 200))
@example("\n> > a\n>\n> b", 9)
def test_quotes_are_verbatim_and_within_the_budget(text: str, budget: int) -> None:
    """Every sentence stands in the source (both folded), and the tokens are kept and counted."""
    summary = summarise_now(text, budget)
    source = fold(text)
    for sentence in summary.sentences:
        assert sentence
        assert sentence in source
    assert summary.output_tokens == estimate_tokens("\n".join(summary.sentences)) <= budget
    assert summary.input_tokens == estimate_tokens(text)


@given(TEXT, st.integers(1, 200))
def test_slices_end_with_the_summary_alone(text: str, budget: int) -> None:
    """Every step but the last yields None; the last is what the drained generator gives."""
    *slices, last = summarise(text, max_tokens=budget)
    assert set(slices) == {None}
    assert last == summarise_now(text, budget)


def test_the_same_summary_under_another_hash_seed() -> None:
    """What is chosen does not depend on the order of a set."""
    script = (
        "import sys; from understudy.actors.rules.extractive import summarise_now as s;"
        "print(s(sys.stdin.read(), 120))"
    )
    text = ARTICLE + "".join(f"Actor{n % 9} sends mail{n % 5} to pool{n % 4}. " for n in range(300))
    seen = set()
    for seed in ("1", "2", "77"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", script]
        done = subprocess.run(
            command, input=text, env=environment, capture_output=True, text=True, check=True
        )
        seen.add(done.stdout)
    assert seen == {f"{summarise_now(text, 120)}\n"}


@pytest.mark.parametrize(
    "unit",
    ["a", "Hi. ", ". ", "* a\n", "\n", "# a\n", "漢字。", "| a |\n", "    x\n", "😀 x. ", "w{} "],
)
def test_a_step_is_bounded_on_any_input(unit: str) -> None:
    """No step makes more than some 30,000 calls, a few milliseconds, however long the text."""
    text = "".join(unit.format(n) for n in range(150_000 // len(unit)))
    steps = summarise(text, max_tokens=4_000)
    assert max(_calls(steps)) < 60_000


def _calls(steps: Iterator[object]) -> Iterator[int]:
    """Count the calls and returns of each step."""
    calls = 0

    def count(_frame: object, _event: str, _argument: object) -> None:
        nonlocal calls
        calls += 1

    while True:
        calls = 0
        sys.setprofile(count)
        try:
            ended = next(steps, steps) is steps
        finally:
            sys.setprofile(None)
        if ended:
            return
        yield calls


def test_the_vocabulary_is_bounded_and_keeps_what_recurs() -> None:
    """A text of nothing but new words costs bounded memory and does not drown its subject."""
    terms = Terms()
    for n in range(VOCABULARY // 4):
        words = frozenset(f"w{n}x{i}" for i in range(16)) | {"subject"}
        terms.count([words])
        assert len(terms._counts) <= VOCABULARY + 17
    terms.weigh()
    assert "subject" in terms._weights
    assert "w1x1" not in terms._weights


def test_words_are_lower_case_and_dense_scripts_have_short_ones() -> None:
    """A word of two letters carries no subject in English; in Chinese a character does."""
    assert words_of("The Mailbox is of IT, mailbox!") == {"the", "mailbox"}
    assert words_of("漢字 Straße à") == {"漢", "字", "straße"}


def test_likeness_is_the_share_of_common_words() -> None:
    """Jaccard's index in thousandths; an empty set is like nothing."""
    assert likeness(frozenset("ab"), frozenset("bc")) == 333
    assert likeness(frozenset("ab"), frozenset("ab")) == 1000
    assert likeness(frozenset(), frozenset()) == 0


def test_refusals_are_bounded_and_ties_go_to_the_earlier() -> None:
    """What does not fit is offered once, and after eight refusals nothing is offered."""
    candidates = [Candidate(n, 5, frozenset({f"w{n}"})) for n in reversed(range(100))]
    offered: list[int] = []

    def fits(candidate: Candidate) -> bool:
        offered.append(candidate.place)
        return candidate.place == 1

    assert len(list(choose(candidates, limit=5, fits=fits))) == 9
    assert offered == list(range(9))
