"""How long an answer is waited for: a limit for each wait, for the cost of one timer.

Purpose: `asyncio.timeout` makes and cancels a timer for each wait, which for a stream of tokens is
most of what a token costs here. A `Patience` keeps one timer: it looks, when it rings, whether
anybody waits and since when, and sets itself again.

Guarantees: those of `asyncio.timeout`: a wait that is over its limit is cancelled and becomes a
`TimeoutError`; a cancel by somebody else stays one. Never early; late by nothing but the loop.

Assumptions: one task waits at a time, on one event loop; `close` when nothing is waited for any
more, else the timer holds this object until it rings.
"""

from __future__ import annotations

import asyncio
from types import TracebackType


class Patience:
    """The limit of the wait in hand: `patience.limit = when`, `with patience: await something`.

    Attributes:
        limit: of the next wait, in the loop's time.
    """

    __slots__ = ("_cancels", "_fired", "_loop", "_task", "_timer", "limit")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[object] | None = None
        self.limit = 0.0
        self._cancels = 0
        self._fired = False

    def close(self) -> None:
        """Let go of the timer. Idempotent."""
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
        if self._timer is not None and self._timer.when() > self.limit:
            self.close()
        if self._timer is None:
            self._timer = self._loop.call_at(self.limit, self._ring)

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

    def _ring(self) -> None:
        self._timer = None
        if self._task is None:
            return  # nobody waits; the next wait sets it again
        if self._loop.time() < self.limit:
            self._timer = self._loop.call_at(self.limit, self._ring)
            return
        self._fired = True
        self._task.cancel()
