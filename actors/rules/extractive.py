"""Summaries made of the text's own sentences, without a network and without weights.

Gives the sentences of a text that stand nearest to what it is about (its centroid, see `terms`),
with some preference for how a document and its sections begin, without saying a thing twice (see
`redundancy`), in the order of the source and in its words.

Guarantees: the same result in every process; linear in the text; bounded memory beyond the text and
nine bytes a sentence; at most `max_tokens` by `estimate_tokens`, line breaks included; and a
generator that does a bounded piece of work between two yields, so that the caller can look whether
it was cancelled. Work is counted in characters and sentences, not in time: nothing here reads a
clock.

Assumes that prose is worth quoting before tables, tables before headings, headings before code; a
text that has only the latter is summarised by its first lines.

Why not TextRank: its graph is quadratic in the sentences, and on texts of this size a centroid
chooses nearly the same ones.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from heapq import heappush, heapreplace
from math import isqrt

import msgspec

from understudy.actors.rules.blocks import Kind
from understudy.actors.rules.redundancy import Candidate, choose
from understudy.actors.rules.sentences import SLICE, Span, fold, sentences
from understudy.actors.rules.terms import Terms, words_of
from understudy.actors.rules.tokens import estimate_tokens, token_eighths, tokens_of

MAX_SENTENCES = 64
_CANDIDATES_PER_SENTENCE = 4
_PASSED, _SCORED = 2, 48  # work, beside the characters of a sentence
_WEIGHED = 1 << 20
_REMEMBERED = 512  # sentences whose words are kept: a document of the usual size is read once
_NO_WORDS: frozenset[str] = frozenset()
_KIND, _CUT, _OPENS = 3, 4, 8


class ExtractiveSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What was quoted, and what it cost.

    Attributes:
        sentences: verbatim from the source and in its order, each folded to one line (see
            `understudy.actors.rules.sentences.fold`); empty for a text without a word.
        input_tokens: estimate for the whole text.
        output_tokens: estimate for the sentences joined by line breaks.
        truncated: a sentence had to be cut, to fit the budget or because it has no end.
    """

    sentences: tuple[str, ...]
    input_tokens: int
    output_tokens: int
    truncated: bool


def summarise(text: str, *, max_tokens: int) -> Iterator[ExtractiveSummary | None]:
    """Summarise a text in slices: yields None after each one, and the summary at the very end.

    Args:
        text: plain text, Markdown or reStructuredText, of any size and shape.
        max_tokens: budget of the summary. It is a limit and not a goal: a summary takes about the
            square root of the number of sentences, at least three and at most `MAX_SENTENCES`.

    Raises:
        ValueError: `max_tokens` is below 1.
    """
    if max_tokens < 1:
        raise ValueError(f"max_tokens is {max_tokens}: a summary needs a budget of 1 or more")
    return _Summary(text, max_tokens).steps()


def summarise_now(text: str, max_tokens: int) -> ExtractiveSummary:
    """Summarise a text in one go, on the calling thread; see `summarise`."""
    for summary in summarise(text, max_tokens=max_tokens):
        if summary is not None:
            return summary
    raise AssertionError("the last step of a summary is the summary")


class _Summary:
    """The state of one summary between its slices."""

    def __init__(self, text: str, max_tokens: int) -> None:
        self._text = text
        self._room = 8 * max_tokens  # in eighths of a token, which add up exactly
        self._starts = array("I")
        self._ends = array("I")
        self._flags = bytearray()  # the kind, plus _CUT, plus _OPENS
        self._opens = False
        self._totals = dict.fromkeys(Kind, 0)
        self._kind = Kind.CODE  # the best there is to quote
        self._terms = Terms()
        self._words: list[frozenset[str]] = []  # of the first sentences
        self._chosen: dict[int, str] = {}

    def steps(self) -> Iterator[ExtractiveSummary | None]:
        for batch in sentences(self._text):
            self._read(batch)
            yield None
        self._terms.weigh()
        yield None
        limit = min(max(3, isqrt(self._totals[self._kind])), MAX_SENTENCES)
        best: list[tuple[int, int]] = []  # a heap of (score, -index)
        for _ in self._score(best, limit * _CANDIDATES_PER_SENTENCE):
            yield None
        candidates: list[Candidate] = []
        for number, (score, index) in enumerate(sorted(best, reverse=True)):
            candidates.append(Candidate(-index, score, self._words_at(-index)))
            if number % 16 == 0:
                yield None
        for _ in choose(candidates, limit=limit, fits=self._fits):
            yield None
        truncated = False
        if candidates and not self._chosen:
            truncated = True
            self._take_part(candidates[0])
        weight = 0
        for start in range(0, len(self._text), _WEIGHED):
            weight += token_eighths(self._text[start : start + _WEIGHED])
            yield None
        yield self._result(tokens_of(weight), truncated=truncated)

    def _source(self, index: int) -> str:
        return self._text[self._starts[index] : self._ends[index]]

    def _read(self, batch: list[Span]) -> None:
        """Keep where the sentences are and count their words."""
        counted: list[frozenset[str]] = []
        for start, end, kind, cut in batch:
            self._starts.append(start)
            self._ends.append(end)
            self._flags.append(kind | (_CUT if cut else 0) | (_OPENS if self._opens else 0))
            words = words_of(self._text[start:end]) if kind is not Kind.CODE else _NO_WORDS
            counted.append(words)
            self._opens = kind is Kind.HEADING
            if self._opens:
                self._terms.entitle(words)
            self._totals[kind] += 1
            self._kind = min(self._kind, kind)
        self._terms.count(counted)
        if len(self._words) < _REMEMBERED:
            self._words += counted

    def _words_at(self, index: int) -> frozenset[str]:
        """Recall the words of one of the first sentences; read any other again."""
        if index < len(self._words):
            return self._words[index]
        return words_of(self._source(index))

    def _score(self, best: list[tuple[int, int]], size: int) -> Iterator[None]:
        """Fill a heap with the best sentences of the kind that is quoted."""
        work, place = 0, 0
        for index, flags in enumerate(self._flags):
            work += _PASSED
            if flags & _KIND == self._kind:
                score = (self._terms.relevance(self._words_at(index)) + 1) * _prior(place, flags)
                place += 1
                work += self._ends[index] - self._starts[index] + _SCORED
                if len(best) < size:
                    heappush(best, (score, -index))
                elif score > best[0][0]:
                    heapreplace(best, (score, -index))
            if work >= SLICE:
                work = 0
                yield

    def _fits(self, candidate: Candidate) -> bool:
        """Take a sentence if there is room for it and the line break before it."""
        sentence = fold(self._source(candidate.place))
        weight = token_eighths("\n" + sentence if self._chosen else sentence)
        if weight > self._room:
            return False
        self._room -= weight
        self._chosen[candidate.place] = sentence
        return True

    def _take_part(self, candidate: Candidate) -> None:
        """Take as many words of the best sentence as there is room for, or a part of the first."""
        sentence = fold(self._source(candidate.place))
        part = sentence[: self._room // 2]
        while token_eighths(part) > self._room:
            part = part[:-1]
        if not sentence[len(part)].isspace():
            part = part[: part.rfind(" ")] if " " in part else part
        if part := part.strip():
            self._chosen[candidate.place] = part

    def _result(self, input_tokens: int, *, truncated: bool) -> ExtractiveSummary:
        quoted = tuple(self._chosen[index] for index in sorted(self._chosen))
        return ExtractiveSummary(
            sentences=quoted,
            input_tokens=input_tokens,
            output_tokens=estimate_tokens("\n".join(quoted)),
            truncated=truncated or any(self._flags[index] & _CUT for index in self._chosen),
        )


def _prior(place: int, flags: int) -> int:
    """Weigh a sentence, in percent, by where it stands.

    The first of a document counts double, which fades over the next few; the first under a heading
    a fifth more; a part of a sentence without an end half.
    """
    prior = 100 + 400 // (4 + place)
    if flags & _OPENS:
        prior += 20
    return prior // 2 if flags & _CUT else prior
