"""The clock port: the only place where time comes from.

A `Clock` tells the time and rings bells. Everything that waits (deadlines, timers, backoff) asks
the runtime's clock, so a test advances a `ManualClock` instead of sleeping, and the simulation
runs years in seconds. Monotonic time decides, wall time is only shown.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol


class Bell(Protocol):
    """Something that rings once, unless it is cancelled before."""

    def cancel(self) -> None:
        """Do not ring."""


class Clock(Protocol):
    """Time in float seconds."""

    def now(self) -> float:
        """Monotonic seconds; only differences mean anything."""
        ...

    def wall(self) -> float:
        """Seconds since the epoch, to be shown."""
        ...

    def ring_at(
        self, when: float, ring: Callable[[], None], loop: asyncio.AbstractEventLoop
    ) -> Bell:
        """Call `ring` on `loop` at monotonic time `when`; must be called on the loop's thread."""
        ...


class SystemClock:
    """The machine's clock; bells are timers of the event loop."""

    now = staticmethod(time.monotonic)
    wall = staticmethod(time.time)

    def ring_at(
        self, when: float, ring: Callable[[], None], loop: asyncio.AbstractEventLoop
    ) -> Bell:
        """See `Clock.ring_at`."""
        return loop.call_later(max(0.0, when - time.monotonic()), ring)
