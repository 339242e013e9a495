"""What a text is about: the weight of its words.

Gives TF-ISF weights (term frequency times inverse sentence frequency, Neto et al., 2000): a word
that stands in many sentences of this text, but not in nearly all, says what the text is about. The
weighted words together are the centroid that sentences are compared with.

Guarantees: linear; memory bounded by `VOCABULARY` words whatever the text (words that were seen
least are forgotten when it is full, as in lossy counting: Manku and Motwani, 2002); no list of stop
words, so no language is preferred; integers, so sums do not depend on order.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import chain, repeat
from math import log

VOCABULARY = 16_384
TITLE_WORDS = 2_048
_SCALE = 1000
_LATIN = re.compile(r"[a-z0-9]{3,}")
# A script without spaces has words of one or two characters: each one counts.
_DENSE = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3041-\u30ff\u3400-\u9fff\uf900-\ufaff"
_ANY = re.compile(rf"[{_DENSE}]|(?:(?![{_DENSE}])[^\W_]){{2,}}")


def words_of(sentence: str) -> frozenset[str]:
    """List the words of a sentence that can carry a subject, each once, in lower case."""
    pattern = _LATIN if sentence.isascii() else _ANY
    return frozenset(pattern.findall(sentence.lower()))


class Terms:
    """Counts in how many sentences each word stands, then weighs sentences."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._titles: set[str] = set()
        self._weights: dict[str, int] = {}
        self._rare = 0
        self._sentences = 0

    def count(self, sentences: list[frozenset[str]]) -> None:
        """Count the words of some sentences."""
        self._sentences += len(sentences)
        self._counts.update(chain.from_iterable(sentences))
        if len(self._counts) > VOCABULARY:
            self._forget()

    def entitle(self, words: frozenset[str]) -> None:
        """Remember the words of a heading, which weigh half as much again."""
        if len(self._titles) < TITLE_WORDS:
            self._titles |= words

    def weigh(self) -> None:
        """Turn the counts into weights; count no more after this."""
        total = self._sentences + 1
        by_count = {
            count: int(_SCALE * (0.3 + log(count)) * log(total / count))
            for count in set(self._counts.values())
        }
        self._rare = by_count.get(1, 0)
        self._weights = {w: by_count[count] for w, count in self._counts.items() if count > 1}
        for word in self._titles:
            self._weights[word] = self._weights.get(word, self._rare) * 3 // 2
        self._counts.clear()

    def relevance(self, words: frozenset[str]) -> int:
        """Say how much of the subject a sentence carries for its length.

        The sum of its weights over its length and eight: a short sentence must be very much to the
        point, a long one pays for its length.
        """
        weights = sum(map(self._weights.get, words, repeat(self._rare)))
        return weights // (len(words) + 8)

    def _forget(self) -> None:
        """Drop the words seen least, with a threshold that doubles until half the room is free."""
        threshold = 1
        while len(self._counts) > VOCABULARY // 2:
            kept = {word: count for word, count in self._counts.items() if count > threshold}
            self._counts = Counter(kept)
            threshold *= 2
