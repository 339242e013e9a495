"""Choosing sentences that say different things.

Gives maximal marginal relevance (Carbonell and Goldstein, 1998): of the best candidates, take the
one whose relevance less its likeness to what was taken already is largest, and again.

Guarantees: work is bounded by candidates x choices, both bounded by the caller; integers only, so
the order in which a set is walked cannot change a sum; ties go to the earlier sentence. A sentence
that shares more than `ALIKE` of its words with a chosen one is never taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

RELEVANCE = 70
"""Percent of the value that is relevance; the rest is novelty."""
ALIKE = 600
"""Likeness (Jaccard, in thousandths) from which on two sentences are the same."""
REFUSALS = 8


class Candidate(NamedTuple):
    """A sentence that may be taken: its place in the text, its score and its words."""

    place: int
    score: int
    words: frozenset[str]


def choose(
    candidates: list[Candidate], *, limit: int, fits: Callable[[Candidate], bool]
) -> Iterator[None]:
    """Offer candidates to `fits`, the most valuable first, until it has taken `limit`.

    Yields after each offer, so that the caller can stop between two. What is refused is not offered
    again, and after `REFUSALS` refusals nothing is.
    """
    best = max((candidate.score for candidate in candidates), default=0) or 1
    open_ = [(RELEVANCE * 1000 * c.score // best, 0, c) for c in candidates]
    refused = 0
    while open_ and limit > 0 and refused < REFUSALS:
        value = [relevance - (100 - RELEVANCE) * likest for relevance, likest, _ in open_]
        index = max(range(len(open_)), key=lambda i: (value[i], -open_[i][2].place))
        taken = open_.pop(index)[2]
        if not fits(taken):
            refused += 1
            yield
            continue
        limit -= 1
        open_ = [
            (relevance, like, other)
            for relevance, likest, other in open_
            if (like := max(likest, likeness(taken.words, other.words))) <= ALIKE
        ]
        yield


def likeness(one: frozenset[str], other: frozenset[str]) -> int:
    """Compare two sets of words: Jaccard's index in thousandths, 0 where one is empty."""
    if not one or not other:
        return 0
    shared = len(one & other)
    return 1000 * shared // (len(one) + len(other) - shared)
