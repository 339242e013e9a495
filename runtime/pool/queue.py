"""The queue of a pool: a mailbox whose messages go to workers instead of to a handler.

In the ledger a job is accepted once, here, and `running` here until it is answered, however often it
is begun. Everything a mailbox promises holds for jobs too: bounds, overflow, deadlines, cancelling.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from understudy.actors.kernel.cell import Cell
from understudy.actors.kernel.reply import PENDING, QUEUED
from understudy.messages.control import ActorState
from understudy.messages.envelope import Envelope, Lane

if TYPE_CHECKING:
    from collections.abc import Callable

    from understudy.actors.kernel.dispatchers.base import Dispatcher


class PoolCell(Cell):
    """See the module's docstring."""

    __slots__ = ()

    def _claim_locked(self) -> Envelope | None:
        """Only the kernel's own operations run as the pool itself."""
        if self.system_lane:
            return self.system_lane.popleft()
        if self.queue and self.state == ActorState.STOPPING:
            self.scheduled = False
            return None
        return self.idle_locked()

    def take(self) -> Envelope | None:
        """The next job for a worker; it is owed from now on."""
        with self.lock:
            env = super()._claim_locked() if self.queue else None
            self.current = None
            if env is not None and env.lane == Lane.SYSTEM:
                self.system_lane = self.system_lane or deque()
                self.system_lane.appendleft(env)
                env = None
            if env is not None:
                if self.deferred is None:
                    self.deferred = {}
                self.deferred[id(env)] = env
        if self.fallen is not None:
            self._bury()
        return env

    def owes(self, env: Envelope) -> bool:
        """Whether somebody still waits for this job."""
        return self.deferred is not None and id(env) in self.deferred

    def put_back(self, env: Envelope) -> bool:
        """First in the queue again; False when nobody waits for it any more."""
        with self.lock:
            if self.deferred is None or self.deferred.pop(id(env), None) is None:
                return False
            if env.reply is not None:
                if env.reply._state != PENDING:
                    self.cancelled += 1
                    return False
                env.reply.work = QUEUED
            if self.queue is None:
                self.queue = deque()
            self.queue.appendleft(env)
        return True

    def look(self) -> None:
        """Make the pool look at itself again: it may be able to end now."""
        if self.stopping:
            self.post_system(_nothing)


class PoolDispatcher:
    """Hands a pool's jobs to its workers, and the kernel's operations to the loop."""

    on_loop = True

    def __init__(self, assign: Callable[[], None], loop: Dispatcher) -> None:
        self._assign = assign
        self._loop = loop

    def schedule(self, cell: Cell) -> None:
        """See `Dispatcher.schedule`."""
        with cell.lock:
            system = bool(cell.system_lane)
            if not system:
                cell.scheduled = False
        if system:
            self._loop.schedule(cell)
        self._assign()


def _nothing() -> None:
    """The kernel looks for more to do after every operation."""
