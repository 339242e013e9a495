"""The queue of a pool, and the workers that pull from it.

A pool is a mailbox whose messages go to workers instead of to a handler. A worker is an actor that,
when its own mailbox is empty, claims the next message of the pool's, and answers it through the
pool. So a job costs what a message costs; there is no envelope, no reply and no hop of its own.

In the ledger a job is accepted once by the pool, where it is `running` until it is answered however
often it is begun, and once by each worker that begins it. Everything a mailbox promises holds for
jobs too: bounds, overflow, deadlines, cancelling.

Locks are taken in one order, the worker's before the pool's, and nothing is answered under either.
"""

from __future__ import annotations

from collections import deque
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

from understudy.actors.kernel.cell import Cell
from understudy.actors.kernel.reply import (
    CANCELLED,
    CLAIMED,
    DONE,
    EXPIRED,
    FAILED,
    PENDING,
    QUEUED,
    Reply,
)
from understudy.messages.control import ActorState
from understudy.messages.envelope import Envelope, Lane
from understudy.messages.errors import UnderstudyError

if TYPE_CHECKING:
    from collections.abc import Callable

    from understudy.actors.kernel.dispatchers.base import Dispatcher


class Pulling(Protocol):
    """What a worker needs of its pool."""

    def next_job(self, worker: Worker) -> Envelope | None:
        """Claim a job, or be idle (the worker's lock is held)."""

    def job_done(
        self,
        worker: Worker,
        env: Envelope,
        state: int,
        value: Any,  # Any: the answer, or the error
    ) -> None:
        """A job has come back, or its worker was lost with it (no lock is held)."""

    def expect(self, worker: Worker) -> None:
        """A worker will look for a job in a moment (no lock is held)."""

    def gone(self, worker: Worker) -> None:
        """A worker has ended (no lock is held)."""


patient: ContextVar[bool] = ContextVar("understudy.patient", default=False)
"""Whether a job that is sent meanwhile waits for a place in a full queue, whatever its policy."""


class Queue(Cell):
    """See the module's docstring."""

    __slots__ = ()

    batches = False

    def _overflow(self, env: Envelope, queue: deque[Envelope]) -> tuple[int, Envelope | None]:
        """See `Mailbox._overflow`; the sender may have said that it waits."""
        if env.reply is not None and patient.get():
            return self._wait_locked(env)
        return super()._overflow(env, queue)

    def _claim_locked(self) -> Envelope | None:
        """Only the kernel's own operations run as the pool itself."""
        if self.system_lane:
            return self.system_lane.popleft()
        jobs = len(self.queue or ()) > self.dead
        if jobs and self.state == ActorState.STOPPING:
            self.scheduled = False
            return None
        return self.idle_locked()

    def take_locked(self) -> Envelope | None:
        """The next job for a worker; it is owed from now on (lock held)."""
        queue = self.queue
        if not queue:
            return None
        env = queue[0]
        reply, scope = env.reply, env.scope
        if (  # as almost always: nothing to look at twice
            (reply is None or reply.work == QUEUED)
            and (scope is None or scope._state < CANCELLED)  # noqa: SLF001 - the kernel's
            and (env.deadline is None or env.deadline > self.system.now())
            and not (self.waiting or self.suspended)
        ):
            queue.popleft()
            if reply is not None:
                reply.work = CLAIMED
            return self._owe_locked(env)
        # The pool's own operations, its end among them, are not a worker's to run, nor do they keep
        # it from its job; they are still scheduled when it has claimed one.
        operations, self.system_lane = self.system_lane, None
        scheduled = self.scheduled
        claimed = super()._claim_locked()
        self.current, self.system_lane, self.scheduled = None, operations, scheduled
        if claimed is None or claimed.lane == Lane.SYSTEM:
            return None
        return self._owe_locked(claimed)

    def _owe_locked(self, env: Envelope) -> Envelope:
        """It is owed from now on (lock held), and found again by its Reply."""
        if self.deferred is None:
            self.deferred = {}
        self.deferred[id(env)] = env
        if env.reply is not None:
            env.reply.debt = id(env)
        return env

    def handled_by_worker(self, env: Envelope, value: Any) -> None:  # Any: the answer
        """Answer a job, if it is still owed, in one turn of the lock."""
        with self.lock:
            if self.deferred is None or self.deferred.pop(id(env), None) is None:
                return
            late = self._settle_locked(env.reply, DONE, value)
        if late:
            self.late_answer(value)
        elif env.reply is not None:
            env.reply.wake()

    def bury(self) -> None:
        """Answer what was claimed too late."""
        if self.fallen is not None:
            self._bury()

    def owes(self, env: Envelope) -> bool:
        """Whether somebody still waits for this job."""
        return self.deferred is not None and id(env) in self.deferred

    def put_back(self, env: Envelope) -> bool:
        """First in the queue again; False when nobody waits for it any more."""
        with self.lock:
            if self.deferred is None or self.deferred.pop(id(env), None) is None:
                return False
            env.cell = self
            if env.reply is not None:
                if env.reply.done:
                    self.cancelled += 1
                    return False
                env.reply.work = QUEUED
            if self.queue is None:
                self.queue = deque()
            self.queue.appendleft(env)
        return True

    def cancel_running(self, reply: Reply[Any]) -> None:
        """The asker has given up on a job: end it, wherever it is."""
        with self.lock:
            env = self._owed_locked(reply)
        super().cancel_running(reply)
        if env is not None and env.cell is not self and env.cell.current is env:
            env.cell.cancel_envelope(env)
        self.look()

    def withdraw_locked(self, reply: Reply[Any]) -> None:
        """See `Mailbox.withdraw_locked`; a stopping pool may have no job left now."""
        super().withdraw_locked(reply)
        if self.stopping and not self.system.loop.is_closed():
            self.system.after(0.0, self.look)

    def look(self) -> None:
        """Make the pool look at itself again: it may be able to end now."""
        if self.stopping:
            self.post_system(_nothing)


class Worker(Cell):
    """An actor that pulls from a pool. Its own mailbox goes first."""

    __slots__ = ("jobs", "pool")

    batches = False
    pool: Pulling
    jobs: Queue

    def claim(self) -> Envelope | None:
        """See `Mailbox.claim`."""
        with self.lock:
            own = self.system_lane or self.queue or self.waiting
            env = self._claim_locked() if own else self.idle_locked()
        if self.fallen is not None:
            self._bury()
        if self.jobs.fallen is not None:
            self.jobs.bury()
        return env

    def idle_locked(self) -> Envelope | None:
        """Nothing in the own mailbox: a job, or idleness."""
        if not self.stopping and not self.suspended:
            env = self.pool.next_job(self)
            if env is not None:
                self.accepted += 1
                self.current = env
                env.cell = self
                return env
        return super().idle_locked()

    def finish(
        self,
        env: Envelope,
        state: int,
        value: Any,  # Any: the answer, or the error
        more: bool = True,  # noqa: FBT001, FBT002 - as in Mailbox
    ) -> Envelope | None:
        """See `Mailbox.finish`; a job is answered by the pool."""
        if env.lane is not Lane.JOB:
            return super().finish(env, state, value, more)
        with self.lock:
            if self.current is not env:
                self._came_back_locked(env)
                return None
            self.current = None
            owed = self.deferred is not None and id(env) in self.deferred
            answered = owed and self.deferred[id(env)] is None  # type: ignore[index]
            if owed and (answered or state != DONE):
                del self.deferred[id(env)]  # type: ignore[union-attr]
            count = not owed or (state != DONE and not answered)
            if count:
                self._count_locked(env, state)
        if count:
            self.pool.job_done(self, env, state, value)
        if not more:
            return None
        if self.dispatcher.on_loop and not (self.jobs.queue or self.queue or self.system_lane):
            # Whoever waited for this job may have the next one: let them come first.
            self.pool.expect(self)
            self.dispatcher.schedule(self)
            return None
        return self.claim()

    def settle_deferred(self, env: Envelope, state: int, value: Any) -> None:  # Any: the answer
        """See `Cell.settle_deferred`; a job is answered by the pool."""
        if not self._is_job(env):
            super().settle_deferred(env, state, value)
            return
        with self.lock:
            owed = self.deferred is not None and self.deferred.get(id(env)) is not None
            if owed and self.deferred is not None:
                self._count_locked(env, state)
                if env is self.current:
                    self.deferred[id(env)] = None
                else:
                    del self.deferred[id(env)]
        if owed:
            self.pool.job_done(self, env, state, value)
        else:
            self.late_answer(value)

    def stash(self, env: Envelope) -> None:
        """See `Mailbox.stash`; a job cannot be kept by one worker.

        Raises:
            UnderstudyError: the message in hand is a job of the pool.
        """
        if self._is_job(env):
            raise UnderstudyError(f"{self.path} cannot stash a job of its pool", actor=self.path)
        super().stash(env)

    def answer_lost(self, env: Envelope, error: BaseException) -> None:
        """See `Ending.answer_lost`: the pool may have it done again."""
        if self._is_job(env):
            # One in hand is answered when its handler has ended; one that is back, by who has it.
            if env is not self.current and env.cell is self:
                self.pool.job_done(self, env, FAILED, error)
        else:
            super().answer_lost(env, error)

    def end(self, error: BaseException | None) -> None:
        """See `Ending.end`; the pool has one worker less."""
        super().end(error)
        self.pool.gone(self)

    def wake(self) -> None:
        """There are jobs: come and claim one."""
        with self.lock:
            if self.scheduled or self.ended:
                return
            self.scheduled = True
        self.dispatcher.schedule(self)

    def _is_job(self, env: Envelope) -> bool:
        """Jobs belong to the pool's mailbox, whose Reply they carry; tells are marked by it."""
        return env.lane == Lane.JOB

    def _count_locked(self, env: Envelope, state: int) -> None:
        reached = PENDING if env.reply is None else env.reply._state  # noqa: SLF001
        if reached == EXPIRED:
            self.expired += 1
        elif CANCELLED in (reached, state):
            self.cancelled += 1
        elif state == DONE:
            self.handled += 1
        else:
            self.failed += 1


class QueueDispatcher:
    """Hands a pool's jobs to its workers, and the kernel's operations to the loop."""

    on_loop = True

    def __init__(self, assign: Callable[[], None], loop: Dispatcher, hands: Dispatcher) -> None:
        self._assign = assign
        self._loop = loop
        self.hands: Any = hands  # Any: see `Dispatcher`

    def take_back(self, cell: Cell) -> bool:
        """See `Dispatcher.take_back`: the pool itself needs no thread."""
        del cell
        return False

    def hasten(self, reply: Reply[Any]) -> None:
        """See `Dispatcher.hasten`: the workers' own dispatcher is asked."""

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
