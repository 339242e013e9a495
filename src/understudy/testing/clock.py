"""`ManualClock`: time that passes when a test says so.

    clock = ManualClock()
    with Runtime(clock=clock) as rt:
        ...
        clock.advance(30)       # every deadline, timer and backoff up to then has rung

Bells ring on the loop they were set on, in the order of their time, one step of the clock after the
other; so a timer that sets another one within the advanced time is served too.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import threading
from collections.abc import Callable


class ManualBell:
    """A bell of a `ManualClock`."""

    __slots__ = ("loop", "ring")

    def __init__(self, ring: Callable[[], None], loop: asyncio.AbstractEventLoop) -> None:
        self.ring: Callable[[], None] | None = ring
        self.loop = loop

    def cancel(self) -> None:
        """Do not ring."""
        self.ring = None

    def strike(self) -> None:
        """Ring, on the loop's thread."""
        ring, self.ring = self.ring, None
        if ring is not None:
            ring()


class ManualClock:
    """The clock port for tests; any thread.

    Args:
        start: monotonic seconds at the beginning.
        wall: seconds since the epoch at the beginning.
    """

    def __init__(self, start: float = 1000.0, wall: float = 1_700_000_000.0) -> None:
        self._now = start
        self._offset = wall - start
        self._bells: list[tuple[float, int, ManualBell]] = []
        self._numbers = itertools.count()
        self._lock = threading.Lock()

    def now(self) -> float:
        """Monotonic seconds."""
        return self._now

    def wall(self) -> float:
        """Seconds since the epoch."""
        return self._now + self._offset

    def ring_at(
        self, when: float, ring: Callable[[], None], loop: asyncio.AbstractEventLoop
    ) -> ManualBell:
        """See `Clock.ring_at`; a time that has passed rings in the next turn of the loop."""
        bell = ManualBell(ring, loop)
        if when <= self._now:
            loop.call_soon(bell.strike)
        else:
            with self._lock:
                heapq.heappush(self._bells, (when, next(self._numbers), bell))
        return bell

    def advance(self, seconds: float) -> None:
        """Let time pass and ring what is due, each bell at its own time; does not wait for them.

        Raises:
            ValueError: time does not run backwards.
        """
        if seconds < 0:
            raise ValueError(f"advance({seconds}): time does not run backwards")
        end = self._now + seconds
        while True:
            with self._lock:
                if not self._bells or self._bells[0][0] > end:
                    self._now = end
                    return
                when, _, bell = heapq.heappop(self._bells)
                self._now = max(self._now, when)
            if bell.ring is not None and not bell.loop.is_closed():
                bell.loop.call_soon_threadsafe(bell.strike)
