"""The gate that a 429 closes, and the slow start behind it.

Closed, nobody passes. When it opens, one call may be under way, and one more for each that
succeeds, so their number doubles with every round trip (the slow start of TCP: Jacobson, 1988);
from `SLOW_START` calls on there is no bound any more.

Every closing begins a new epoch. Calls that were under way when it closed tell nothing new: their
429s have the same cause, and how long they take says nothing about when the next may go.
"""

from __future__ import annotations

SLOW_START = 64
"""Calls under way at a time from which on a slow start is over."""
JITTER = 0.1
"""Share of the time asked for that is added, so that not all accounts call at the same instant."""
LONGEST = 60.0
"""Seconds: the longest that it is closed when the provider does not say for how long."""


class Gate:
    """See the module's docstring. Time is handed in, in seconds."""

    __slots__ = ("_epoch", "_out", "_strikes", "_window", "closed_until")

    def __init__(self) -> None:
        self.closed_until = 0.0
        self._epoch = 0
        self._out = 0
        self._strikes = 0
        self._window: int | None = None

    def wait(self, now: float) -> float:
        """Seconds until a call may pass; infinite while one that ends has to make room."""
        if self.closed_until > now:
            return self.closed_until - now
        if self._window is not None and self._out >= self._window:
            return float("inf")
        return 0.0

    def wide(self, now: float) -> bool:
        """Whether any number of calls may pass."""
        return self._window is None and self.closed_until <= now

    def enter(self) -> int:
        """A call passes; gives what `leave` and `close` take."""
        self._out += 1
        return self._epoch

    def leave(self, epoch: int, *, ok: bool) -> None:
        """A call has ended."""
        if epoch != self._epoch:
            return
        self._out -= 1
        if ok and self._window is not None:
            self._strikes = 0
            self._window += 1
            if self._window >= SLOW_START:
                self._window = None

    def close(self, now: float, epoch: int, retry_after: float | None, random: float) -> float:
        """A call got a 429.

        Returns:
            Seconds for which it is closed now, 0.0 when that is no news.
        """
        fresh = epoch == self._epoch
        if fresh:
            self._epoch += 1
            self._strikes += 1
            self._out = 0
            self._window = 1
        elif retry_after is None:
            return 0.0
        if retry_after is None:
            retry_after = min(LONGEST, 2.0 ** (self._strikes - 1))
        seconds = retry_after * (1 + JITTER * random)
        # An older call may only extend it by more than what the jitter accounts for.
        if fresh or now + retry_after > self.closed_until:
            self.closed_until = max(self.closed_until, now + seconds)
            return seconds
        return 0.0
