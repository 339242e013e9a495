"""A histogram of times whose percentiles are right within a hundredth, whatever their number.

Each power of two is cut into 128 equal parts (as HdrHistogram does), so a value is kept with an
error below 0.8 %, and a million values take as little room as a hundred. The alternative, a list of
all of them, grows with the run that it measures; averages of percentiles are no percentiles, so
histograms are added up instead (`merge`).

Times are seconds, kept as whole microseconds. `percentile` never flatters: it gives the upper end
of the part in which the value lies, but nothing beyond the largest that was seen.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

_BITS = 7
_PARTS = 1 << _BITS
_MICRO = 1_000_000


class Histogram:
    """Counts of times; see the module's docstring.

    Attributes:
        count: times recorded.
    """

    __slots__ = ("_counts", "_max", "_min", "_sum", "count")

    def __init__(self) -> None:
        self.count = 0
        self._counts: dict[int, int] = {}
        self._sum = 0
        self._min = self._max = 0

    def record(self, seconds: float) -> None:
        """Add one time; one below zero is none (a clock that was set back) and counts as zero."""
        value = max(0, round(seconds * _MICRO))
        index = _index(value)
        self._counts[index] = self._counts.get(index, 0) + 1
        self._min = value if not self.count else min(self._min, value)
        self._max = max(self._max, value)
        self._sum += value
        self.count += 1

    def merge(self, other: Histogram) -> None:
        """Add all that another one has recorded."""
        if not other.count:
            return
        for index, count in other._counts.items():
            self._counts[index] = self._counts.get(index, 0) + count
        self._min = other._min if not self.count else min(self._min, other._min)
        self._max = max(self._max, other._max)
        self._sum += other._sum
        self.count += other.count

    @property
    def least(self) -> float:
        """The smallest time in seconds; 0.0 when there is none."""
        return self._min / _MICRO

    @property
    def most(self) -> float:
        """The largest time in seconds; 0.0 when there is none."""
        return self._max / _MICRO

    @property
    def mean(self) -> float:
        """The average in seconds; 0.0 when there is none."""
        return self._sum / self.count / _MICRO if self.count else 0.0

    def percentile(self, percent: float) -> float:
        """The time in seconds within which so many of a hundred lie; 0.0 when there is none.

        Raises:
            ValueError: `percent` is not between 0 and 100.
        """
        if not 0 <= percent <= 100:
            raise ValueError(f"percentile({percent}): give a number from 0 to 100")
        # Rounded first: 99.9 % of 41,000 is 40,959, and a little more in binary.
        wanted = max(1, math.ceil(round(self.count * percent / 100, 6)))
        seen = 0
        for index in sorted(self._counts):
            seen += self._counts[index]
            if seen >= wanted:
                return min(_upper(index), self._max) / _MICRO
        return 0.0

    def buckets(self, per_doubling: int = 1) -> Iterator[tuple[float, float, int]]:
        """From, to (seconds) and count of each part that is not empty, in order.

        Args:
            per_doubling: into how many parts a doubling is cut: a power of two up to 128.

        Raises:
            ValueError: it is not.
        """
        if per_doubling < 1 or per_doubling > _PARTS or per_doubling & (per_doubling - 1):
            raise ValueError(f"buckets({per_doubling}): a power of two from 1 to {_PARTS}")
        joined = _PARTS // per_doubling
        counts: dict[int, int] = {}
        for index, count in self._counts.items():
            counts[index // joined] = counts.get(index // joined, 0) + count
        for group in sorted(counts):
            first = group * joined
            yield _lower(first) / _MICRO, _upper(first + joined - 1) / _MICRO, counts[group]


def _index(value: int) -> int:
    """The part of a value: below 128 each its own, then 128 for each doubling."""
    shift = max(0, value.bit_length() - _BITS - 1)
    return (shift << _BITS) + (value >> shift)


def _lower(index: int) -> int:
    shift = max(0, (index >> _BITS) - 1)
    return (index - (shift << _BITS)) << shift


def _upper(index: int) -> int:
    """The largest value of a part."""
    return _lower(index + 1) - 1
