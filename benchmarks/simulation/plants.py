"""Bugs to be planted: each reverts one guard of the runtime, so that one can see it being found.

A simulation that has never found anything proves nothing. These were real, or are what a hurried
change would do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from understudy.actors.kernel.cell import Cell
from understudy.actors.kernel.life import Life
from understudy.actors.kernel.reply import DONE, Reply
from understudy.messages.envelope import Envelope
from understudy.runtime.pool.pool import Pool
from understudy.runtime.pool.queue import Queue


def uncounted() -> None:
    """A message that was told is handled, and not counted."""
    settle = Cell._settle_locked

    def broken(self: Cell, reply: Reply[Any] | None, state: int, value: Any) -> bool:  # Any: answer
        late = settle(self, reply, state, value)
        self.handled -= reply is None and state == DONE
        return late

    Cell._settle_locked = broken  # type: ignore[method-assign]


def dropped_job() -> None:
    """A job whose worker is lost is taken back, and not queued."""

    def broken(self: Queue, env: Envelope) -> bool:
        with self.lock:
            self.cancelled += (self.deferred or {}).pop(id(env), None) is not None
        return True

    Queue.put_back = broken  # type: ignore[method-assign]


def behind_operations() -> None:
    """While a pool has something to do itself, its workers go idle; nobody wakes them again."""
    take = Queue.take_locked

    def broken(self: Queue) -> Envelope | None:
        return None if self.system_lane else take(self)

    Queue.take_locked = broken  # type: ignore[method-assign]


def stuck_surplus() -> None:
    """After a resize, the workers that are too many wait for the bell of the idle ones."""
    ring = Pool._ring

    def broken(self: Pool, name: str, delay: float) -> None:
        ring(self, "idle" if name == "surplus" else name, delay)

    Pool._ring = broken  # type: ignore[method-assign]


def silent_child() -> None:
    """A child that stands already, or has ended, does not say so to its supervisor."""

    def broken(self: Life) -> Reply[Any]:  # Any: its Ref
        reply: Reply[Any] = Reply()

        def operation() -> Any:  # Any: a coroutine, or nothing
            self.starters = [*(self.starters or ()), reply]
            return self._do_restart()

        self.post_system(operation)
        return reply

    Life.stand_up = broken  # type: ignore[method-assign]


PLANTS: dict[str, tuple[str, Callable[[], None]]] = {
    "uncounted": ("pool", uncounted),
    "dropped-job": ("pool", dropped_job),
    "behind-operations": ("pool", behind_operations),
    "stuck-surplus": ("pool", stuck_surplus),
    "silent-child": ("supervisor", silent_child),
}
"""Which scenario finds it, and what plants it (in this process, for good)."""
