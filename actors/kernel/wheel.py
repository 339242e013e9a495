"""The timer wheel: one coarse bell for all deadlines of requests.

Requests are many and nearly all are answered long before their deadline, so a timer each would be
the most expensive part of asking. The wheel sorts them into buckets of 10 ms (up to 10 ms late,
never early); an answered request leaves its bucket at once, so that nothing is kept alive for its
deadline's sake.

Thread-safe: adding is a dict write; the bell itself is armed on the loop.
"""

from __future__ import annotations

import heapq
from _thread import allocate_lock
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from understudy.actors.kernel.clock import Bell, Clock

if TYPE_CHECKING:
    import asyncio

    from understudy.actors.kernel.reply import Reply

RESOLUTION = 0.010
NEAR = 200
"""Slots ahead that have a bucket each; what is due later is kept by its second until then."""


class DeadlineWheel:
    """Expires replies whose deadline has passed.

    Args:
        clock: where time comes from.
        loop: where the bell rings.
        arm: runs a function on the loop's thread, soon; None from then on means the loop is gone.
    """

    __slots__ = (
        "_arm",
        "_bell",
        "_buckets",
        "_clock",
        "_due",
        "_far",
        "_horizon",
        "_lock",
        "_loop",
        "_passed",
    )

    def __init__(
        self,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
        arm: Callable[[Callable[[], None]], None],
    ) -> None:
        self._clock = clock
        self._loop = loop
        self._arm = arm
        self._buckets: dict[int, dict[int, Reply[Any]]] = {}
        self._far: dict[int, dict[int, Reply[Any]]] = {}
        self._due: list[int] = []
        self._horizon: int | None = None
        self._passed = int(clock.now() * 100)
        self._bell: Bell | None = None
        self._lock = allocate_lock()

    def add(self, reply: Reply[Any], deadline: float) -> None:
        """Expire `reply` at `deadline` unless it is answered before. Once; else see `sooner`."""
        slot = int(deadline * 100) + 1
        reply._deadline = deadline
        if slot - self._passed > NEAR:
            second = int(deadline)
            far = self._far.get(second)
            if far is None:
                far = self._open_far(second)
            reply._bucket = far
            far[id(reply)] = reply
            if second * 100 > self._passed:
                if reply._state:  # it was cancelled meanwhile, and has found itself nowhere
                    far.pop(id(reply), None)
                return
            far.pop(id(reply), None)  # that second has begun meanwhile
        bucket = self._buckets.get(slot)
        if bucket is None:
            bucket = self._open(slot)
        reply._bucket = bucket
        bucket[id(reply)] = reply
        if slot <= self._passed or reply._state:
            bucket.pop(id(reply), None)
            reply.cancel(expired=True)

    def sooner(self, reply: Reply[Any], deadline: float) -> None:
        """Expire `reply` at `deadline` already, if it would not before (on the loop's thread)."""
        bucket = reply._bucket
        if bucket is not None:
            if reply._deadline <= deadline:
                return
            bucket.pop(id(reply), None)
        self.add(reply, deadline)

    def _open_far(self, second: int) -> dict[int, Reply[Any]]:
        with self._lock:
            bucket = self._far.setdefault(second, {})
        self._expect(second * 100)
        return bucket

    def _expect(self, slot: int) -> None:
        """Turn at `slot`, too."""
        with self._lock:
            heapq.heappush(self._due, slot)
            earlier = self._horizon is None or slot < self._horizon
        if earlier:
            self._arm(self._wind)

    def _open(self, slot: int) -> dict[int, Reply[Any]]:
        with self._lock:
            bucket = self._buckets.setdefault(slot, {})
        self._expect(slot)
        return bucket

    def _wind(self) -> None:
        """Set the bell for the earliest bucket (on the loop's thread)."""
        with self._lock:
            horizon = self._due[0] if self._due else None
            if horizon == self._horizon and self._bell is not None:
                return
            self._horizon = horizon
            bell, self._bell = self._bell, None
        if bell is not None:
            bell.cancel()
        if horizon is not None:
            self._bell = self._clock.ring_at(horizon / 100, self.turn, self._loop)

    def turn(self) -> None:
        """Expire everything whose time has come, then set the bell again."""
        now = self._clock.now()
        due: list[dict[int, Reply[Any]]] = []
        near: list[dict[int, Reply[Any]]] = []
        with self._lock:
            self._passed = max(self._passed, int(now * 100))
            # As the bell is set: the product may be a hair less than the slot that has rung.
            while self._due and self._due[0] / 100 <= now:
                slot = heapq.heappop(self._due)
                self._passed = max(self._passed, slot)
                bucket = self._buckets.pop(slot, None)
                if bucket:
                    due.append(bucket)
                far = self._far.pop(slot // 100, None) if slot % 100 == 0 else None
                if far:
                    near.append(far)
            self._horizon, self._bell = None, None
        for bucket in due:
            for reply in list(bucket.values()):
                reply.cancel(expired=True)
        for far in near:
            for reply in list(far.values()):
                if not reply.done:
                    self.add(reply, reply._deadline)
        self._wind()

    def close(self) -> None:
        """Stop ringing; what is still waiting is answered by whoever closes the system."""
        if self._bell is not None:
            self._bell.cancel()
            self._bell = None
