"""A pool: workers that share one bounded queue.

The pool's own mailbox is the queue. A job stays there until a worker is free (late binding), so a
slow worker never holds jobs that another could do. Workers are made as they are needed, up to
`size`, and reused. The worker that has finished takes the next job itself, on its own thread: no
message goes through the pool on the way.

A job that a worker was doing when it was killed or restarted from outside goes back to the head of
the queue as `again(message)`, unless that is None: then who asked gets the error. What the job
itself raises is its answer.

In the ledger a job is accepted once, by the pool, and `running` there until it is answered.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from understudy.actors.kernel.cell import Cell
from understudy.actors.kernel.options import ChildSpec, MailboxOptions
from understudy.actors.kernel.ref import Ref
from understudy.actors.kernel.reply import DONE, PENDING, QUEUED, Reply
from understudy.actors.kernel.system import ActorSystem, Guardian
from understudy.messages.control import ActorState, Overflow
from understudy.messages.envelope import Envelope, Lane
from understudy.messages.errors import ActorDeadError, ActorRestartedError

if TYPE_CHECKING:
    from understudy.actors.kernel.dispatchers.base import Dispatcher


class PoolCell(Cell):
    """The mailbox of a pool: its messages are handed to workers instead of to a handler."""

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
        """The next job for a worker."""
        with self.lock:
            env = super()._claim_locked() if self.queue else None
            self.current = None
            if env is not None:
                if env.lane == Lane.SYSTEM:
                    self.system_lane = self.system_lane or deque()
                    self.system_lane.appendleft(env)
                    return None
                if self.deferred is None:
                    self.deferred = {}
                self.deferred[id(env)] = env
        if self.fallen is not None:
            self._bury()
        return env

    def put_back(self, env: Envelope) -> bool:
        """A job lost its worker: first in the queue again; False when nobody waits for it."""
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


class PoolDispatcher:
    """Hands a pool's messages to workers, and its kernel operations to the loop."""

    on_loop = True

    def __init__(self, pool: Pool, loop: Dispatcher) -> None:
        self._pool = pool
        self._loop = loop

    def schedule(self, cell: PoolCell) -> None:
        """See `Dispatcher.schedule`."""
        with cell.lock:
            system = bool(cell.system_lane)
            if not system:
                cell.scheduled = False
        if system:
            self._loop.schedule(cell)
        self._pool.assign()


class Pool:
    """See the module's docstring. Any thread.

    Args:
        system: where it lives.
        name: of the pool, under `parent`.
        worker: how a worker is made; its mailbox holds one job at a time.
        size: workers at most.
        capacity: jobs that wait at most; more wait with their senders (overflow `wait`).
        again: the job to do instead of one whose worker was lost, or None.
    """

    def __init__(
        self,
        system: ActorSystem,
        name: str,
        worker: ChildSpec,
        *,
        size: int,
        capacity: int = 1024,
        again: Callable[[Any], Any | None],
        parent: Cell | None = None,
    ) -> None:
        self._system = system
        self._worker = worker.options(restart="temporary")
        self.size = size
        self._again = again
        self._idle: list[Cell] = []
        self._count = 0
        spec = ChildSpec(
            cls=Guardian,
            name=name,
            mailbox=MailboxOptions(capacity=capacity, overflow=Overflow.WAIT),
        )
        parent = parent or system.user
        dispatcher = PoolDispatcher(self, system.dispatchers["loop"])
        cell = self._cell = PoolCell(system, dispatcher, spec, parent, name)
        cell.accepts = None
        cell.ref = self.ref = Ref(cell)
        system.adopt(cell, parent)

    def assign(self) -> None:
        """Give waiting jobs to free workers."""
        cell = self._cell
        while cell.queue:
            worker = self._free_worker()
            if worker is None:
                return
            if not self._give(worker):
                return

    def _free_worker(self) -> Cell | None:
        while True:
            with self._cell.lock:
                worker = self._idle.pop() if self._idle else None
                make = worker is None and self._count < self.size
                if make:
                    self._count += 1
            if worker is not None and worker.closed:
                continue
            if make:
                return self._make()
            return worker

    def _make(self) -> Cell:
        try:
            ref = self._system.spawn(self._worker, parent=self._cell).get()
        except BaseException:
            with self._cell.lock:
                self._count -= 1
            raise
        return ref._cell

    def _give(self, worker: Cell) -> bool:
        """Hand the next job to `worker`; False when there is none (the worker is idle then)."""
        cell = self._cell
        env = cell.take()
        if env is None:
            with cell.lock:
                self._idle.append(worker)
                again = bool(cell.queue)
            if again:
                self.assign()
            else:
                self._kick_if_stopping()
            return False
        reply: Reply[Any] = Reply(worker)
        if env.reply is not None:
            env.reply.adopt(reply)
        reply.add_done_callback(lambda done: self._done(worker, env, done))
        worker.post(Envelope(env.message, env.deadline, env.origin, reply, reply, worker))
        return True

    def _done(self, worker: Cell, env: Envelope, reply: Reply[Any]) -> None:
        """A worker is through with a job, or was lost with it."""
        cell = self._cell
        lost = worker.closed
        if lost:
            with cell.lock:
                self._count -= 1
        if cell.deferred is not None and id(env) in cell.deferred:  # else the asker has given up
            following = self._again(env.message) if self._was_lost(reply) else None
            if following is None:
                cell.settle_deferred(env, reply._state, reply._value)
            else:
                env.message = following
                cell.put_back(env)
        if lost:
            self.assign()
            self._kick_if_stopping()
        else:
            self._give(worker)

    @staticmethod
    def _was_lost(reply: Reply[Any]) -> bool:
        return reply._state != DONE and isinstance(
            reply._value, (ActorDeadError, ActorRestartedError)
        )

    def _kick_if_stopping(self) -> None:
        if self._cell.stopping:
            self._cell.post_system(_nothing)


def _nothing() -> None:
    """Makes the pool look at itself again."""
