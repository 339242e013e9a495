"""How long an answer is waited for: a limit for each wait, for the cost of a timer a second.

Purpose: `asyncio.timeout` makes and cancels a timer for each wait, which for a stream of tokens is
most of what a token costs here, and for a thousand requests in flight four objects each that the
garbage collector looks at. Nearly all limits are far away and never reached. So a `Watch` keeps the
far ones by their second, with one timer for all that fall into it; a `Patience` gets a timer of its
own only when its limit is near. When it is looked at, it sees whether anybody waits and since when.

Guarantees: those of `asyncio.timeout`: a wait that is over its limit is cancelled and becomes a
`TimeoutError`; a cancel by somebody else stays one. Never early; late by nothing but the loop.

Assumptions: one task waits at a time, on one event loop; `close` when nothing is waited for any
more, else the watch holds this object until its limit.
"""

from __future__ import annotations

import asyncio
from types import TracebackType

FAR = 2.0
"""Seconds from which on a limit is kept by its second."""
_NEVER = float("inf")


class Watch:
    """The far limits of one event loop."""

    __slots__ = ("_seconds", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._seconds: dict[int, dict[int, Patience]] = {}

    def add(self, patience: Patience) -> tuple[int, dict[int, Patience]]:
        """Have it look a second or two before its limit; gives when, and where to take it out."""
        second = int(patience.limit) - 1
        kept = self._seconds.get(second)
        if kept is None:
            kept = self._seconds[second] = {}
            self.loop.call_at(second, self._due, second)
        kept[id(patience)] = patience
        return second, kept

    def _due(self, second: int) -> None:
        for patience in list(self._seconds.pop(second).values()):
            patience.look()


class Patience:
    """The limit of the wait in hand: `patience.limit = when`, `with patience: await something`.

    Attributes:
        limit: of the next wait, in the loop's time.
    """

    __slots__ = ("_at", "_cancels", "_fired", "_kept", "_task", "_timer", "_watch", "limit")

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._at = _NEVER  # when it looks next
        self._kept: dict[int, Patience] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[object] | None = None
        self.limit = 0.0
        self._cancels = 0
        self._fired = False

    def close(self) -> None:
        """Look no more. Idempotent."""
        self._at = _NEVER
        if self._kept is not None:
            self._kept.pop(id(self), None)
            self._kept = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def __enter__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a wait with a limit needs a task")
        self._task = task
        self._cancels = task.cancelling()
        self._fired = False
        self.moved()

    def moved(self) -> None:
        """The limit was set anew, maybe while something is waited for."""
        if self._at > self.limit:
            self.close()
            self._set()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        task, self._task = self._task, None
        if not self._fired or task is None:
            return
        # As asyncio's own: ours is taken back, and if that leaves one of somebody else, it stands.
        if task.uncancel() <= self._cancels and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def look(self) -> None:
        """End the wait in hand if it is over its limit; else look again in time."""
        self.close()
        if self._task is None:
            return  # nobody waits; the next wait sets it again
        if self._watch.loop.time() < self.limit:
            self._set()
            return
        self._fired = True
        self._task.cancel()

    def _set(self) -> None:
        watch, limit = self._watch, self.limit
        if limit - watch.loop.time() > FAR:
            self._at, self._kept = watch.add(self)
        else:
            self._at = limit
            self._timer = watch.loop.call_at(limit, self.look)
