"""Bugs to be planted: each reverts one guard of the runtime, so that one can see it being found.

A simulation that has never found anything proves nothing. Most of these were real.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from understudy.actors.kernel.cell import Cell
from understudy.actors.kernel.life import Life
from understudy.actors.kernel.reply import DONE, Reply
from understudy.messages.envelope import Envelope
from understudy.runtime.plan import Plan
from understudy.runtime.pool.pool import Pool
from understudy.runtime.pool.queue import Queue

Method = Callable[..., Any]  # Any: whatever the method takes and returns


class Plant(NamedTuple):
    """One bug: which scenario finds it, which method it is in, and how that is broken."""

    scenario: str
    owner: type
    method: str
    broken: Callable[[Method], Method]

    def plant(self) -> None:
        """Break it, in this process and for good."""
        setattr(self.owner, self.method, self.broken(getattr(self.owner, self.method)))


def _uncounted(settle: Method) -> Method:
    """A message that was told is handled, and not counted."""

    def broken(self: Cell, reply: Reply[Any] | None, state: int, value: Any) -> Any:  # Any: answer
        late = settle(self, reply, state, value)
        self.handled -= reply is None and state == DONE
        return late

    return broken


def _unbounded(launches: Method) -> Method:
    """A run has as many steps under way as there are."""

    def broken(self: Plan, now: float) -> Any:  # Any: launches
        bound = self.spec.max_concurrent
        if bound < 1_000:
            self.spec = msgspec.structs.replace(self.spec, max_concurrent=1_000)
        return launches(self, now)

    return broken


def _unrecorded(cancel: Method) -> Method:
    """A run that ends before its steps do says nothing about those that were not begun."""

    def broken(self: Plan, now: float, why: str = "") -> None:
        noted = self._note
        self._note = lambda *_, **__: None  # type: ignore[method-assign]
        cancel(self, now, why)
        self._note = noted  # type: ignore[method-assign]

    return broken


def _done_twice(done: Method) -> Method:
    """A step that has failed for good is done once more."""

    def broken(self: Plan, path: str, now: float, **facts: Any) -> Any:  # Any: as in Plan
        launch = self._running.get(path)
        failed = facts.get("error") is not None and launch is not None
        if launch is not None and failed and launch.attempt == launch.step.retries + 1:
            launch.attempt += 1
            return launch
        return done(self, path, now, **facts)

    return broken


def _dropped_job(put_back: Method) -> Method:
    """A job whose worker is lost is taken back, and not queued."""
    del put_back

    def broken(self: Queue, env: Envelope) -> bool:
        with self.lock:
            self.cancelled += (self.deferred or {}).pop(id(env), None) is not None
        return True

    return broken


def _behind_operations(take: Method) -> Method:
    """While a pool has something to do itself, its workers go idle; nobody wakes them again."""

    def broken(self: Queue) -> Any:  # Any: an Envelope, or nothing
        return None if self.system_lane else take(self)

    return broken


def _stuck_surplus(ring: Method) -> Method:
    """After a resize, the workers that are too many wait for the bell of the idle ones."""

    def broken(self: Pool, name: str, delay: float) -> None:
        ring(self, "idle" if name == "surplus" else name, delay)

    return broken


def _silent_child(stand_up: Method) -> Method:
    """A child that stands already, or has ended, does not say so to its supervisor."""
    del stand_up

    def broken(self: Life) -> Reply[Any]:  # Any: its Ref
        reply: Reply[Any] = Reply()

        def operation() -> Any:  # Any: a coroutine, or nothing
            self.starters = [*(self.starters or ()), reply]
            return self._do_restart()

        self.post_system(operation)
        return reply

    return broken


PLANTS = {
    "uncounted": Plant("mailbox", Cell, "_settle_locked", _uncounted),
    "dropped-job": Plant("pool", Queue, "put_back", _dropped_job),
    "behind-operations": Plant("pool", Queue, "take_locked", _behind_operations),
    "stuck-surplus": Plant("pool", Pool, "_ring", _stuck_surplus),
    "silent-child": Plant("supervisor", Life, "stand_up", _silent_child),
    "unbounded-run": Plant("flows", Plan, "launches", _unbounded),
    "unrecorded-steps": Plant("flows", Plan, "cancel", _unrecorded),
    "failed-step-again": Plant("flows", Plan, "done", _done_twice),
}
