"""One order out of several, and how much of a question a passage covers.

`fuse` is reciprocal rank fusion (Cormack, Clarke and Büttcher, 2009): what stands near the top of
one list, or fairly high in both, comes first. It needs no common scale, which BM25 and cosines do
not have. `coverage` is a scale: the share of the question's words that a passage has, each weighed
by how rare it is among all passages, so a threshold means the same whatever the collection.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from math import log

_DAMPING = 60
_WORD = re.compile(r"\w+")
MAX_WORDS = 32


def query_words(query: str) -> tuple[str, ...]:
    """The words of a question, each once, in lower case; the first `MAX_WORDS`."""
    found = dict.fromkeys(match.group().lower() for match in _WORD.finditer(query[:20_000]))
    return tuple(found)[:MAX_WORDS]


def fuse(rankings: Sequence[Sequence[int]]) -> list[int]:
    """The items of all rankings, best first; of two that are equal, the one that came first."""
    scores: dict[int, float] = {}
    for ranking in rankings:
        for place, item in enumerate(ranking, start=1):
            scores[item] = scores.get(item, 0.0) + 1.0 / (_DAMPING + place)
    return sorted(scores, key=lambda item: -scores[item])


def coverage(
    found: Mapping[str, Collection[int]], total: int, items: Collection[int]
) -> dict[int, float]:
    """How much of the question each item covers, 0 to 1.

    Args:
        found: for each word of the question, the items that have it.
        total: items in the collection.
        items: those that are asked about.
    """
    weights = {
        word: log(1.0 + (total - len(having) + 0.5) / (len(having) + 0.5))
        for word, having in found.items()
    }
    whole = sum(weights.values())
    if whole <= 0.0:
        return dict.fromkeys(items, 0.0)
    return {
        item: sum(weights[word] for word, having in found.items() if item in having) / whole
        for item in items
    }
