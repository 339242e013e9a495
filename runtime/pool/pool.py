"""A pool: workers that share one bounded queue.

A job stays in the queue until a worker is free (late binding), so a slow worker never holds jobs
that another could do. Workers are made while jobs wait, up to the maximum, and let go when they
have been idle, down to the minimum. The worker that has finished takes the next job itself, on its
own thread (`queue.py`): no message goes through the pool on the way.

Guarantees
- A job is in one place at any time: queued, with one worker, or waiting for its next attempt.
- What a worker raises is the answer to its job, after the retries that `effects` allow. A job whose
  worker was lost (killed, restarted, crashed by somebody else) is put back under the same rules.
- Attempts are counted when a job is claimed; one that has crashed three workers is quarantined.
- Workers are replaced for ever, with backoff. The pool never escalates because what its workers
  depend on is down: when most of them crash, a breaker opens, new jobs are refused at once, and
  after a while one worker tries again.
- A worker that does not end after its job's deadline is abandoned and replaced.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from understudy.actors.kernel.cell import Cell
from understudy.actors.kernel.options import ChildSpec, MailboxOptions
from understudy.actors.kernel.ref import Ref
from understudy.actors.kernel.reply import DONE, Reply
from understudy.actors.kernel.system import ActorSystem, Guardian, Later
from understudy.actors.rules.breaker import Breaker
from understudy.messages.control import Directive
from understudy.messages.envelope import Envelope, Lane
from understudy.messages.errors import UnderstudyError
from understudy.runtime.pool.attempts import LOST, Attempts, refusal
from understudy.runtime.pool.options import BREAKER, IDLE, PoolOptions, PoolStats, size_of, stats_of
from understudy.runtime.pool.queue import Queue, QueueDispatcher, Worker, patient


class Pool:
    """See the module's docstring. Any thread.

    Args:
        system: where it lives.
        name: of the pool, under `parent`.
        worker: how a worker is made.
        options: bounds and rules.
    """

    def __init__(
        self,
        system: ActorSystem,
        name: str,
        worker: ChildSpec,
        options: PoolOptions,
        *,
        parent: Cell | None = None,
    ) -> None:
        self._system = system
        # A pool never fails for what its workers depend on: there is nothing to escalate to.
        directives = {
            kind: Directive.STOP if what == Directive.ESCALATE else what
            for kind, what in worker.directives.items()
        }
        self._worker = worker.options(restart="temporary", directives=directives)
        self._options = options
        self._size = options.size
        self._idle: dict[Worker, float] = {}  # since when, the longest first
        self._members: dict[int, Worker] = {}
        self._coming: set[int] = set()  # workers that were woken, or are being made, for a job
        self._hired = 0
        self._count = 0
        self._crashes = self._backoff = 0
        self._paused = False
        self._worked_since = False
        self._breaker = Breaker(BREAKER)
        self._bells: dict[str, Later] = {}
        spec = ChildSpec(
            cls=Guardian,
            name=name,
            mailbox=MailboxOptions(capacity=options.queue, overflow=options.overflow),
        )
        parent = parent or system.user
        dispatcher = QueueDispatcher(
            self.assign, system.dispatchers["loop"], system.dispatcher_for(worker)
        )
        cell = self._cell = Queue(system, dispatcher, spec, parent, name)
        cell.accepts = worker.cls.traits.accepts
        self.ref: Ref[Any] = Ref(cell)  # Any: Ref of no class of the user's
        cell.ref = self.ref
        self._attempts = Attempts(cell, options, self.assign)
        system.adopt(cell, parent)

    # -- for users --------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """Its name."""
        return str(self._cell.name)

    def submit(self, job: Any, *, timeout: float | None = None) -> Reply[Any]:  # Any: the user's
        """Queue a job; never blocks.

        Args:
            job: a message that the workers take.
            timeout: seconds for it, its time in the queue included.

        Returns:
            A Reply with the worker's answer, or `MailboxFullError`, `BreakerOpenError`,
            `DeadlineExceededError`, `ActorDeadError` (the pool has ended).
        """
        now = self._system.now()
        if self._breaker.state(now) == "open":
            return refusal(self._cell.path, self._breaker.retry_after(now))
        return self.ref.request(job, timeout=self._options.timeout if timeout is None else timeout)

    def submit_patiently(
        self,
        job: Any,  # Any: the user's
        *,
        timeout: float | None = None,
    ) -> Reply[Any]:  # Any: the answer
        """As `submit`, but where the queue is full the job waits for a place in it, in order."""
        token = patient.set(True)
        try:
            return self.submit(job, timeout=timeout)
        finally:
            patient.reset(token)

    def resize(self, size: int | tuple[int, int]) -> None:
        """Change the bounds; busy workers above the maximum end after their job."""
        self._size = PoolOptions(size=size_of(size)).size
        self._let_go()
        self.fill()
        self.assign()

    def pause(self) -> None:
        """Begin no more jobs; they are still accepted. A pool that ends does them all the same."""
        self._paused = True

    def resume(self) -> None:
        """Begin jobs again."""
        self._paused = False
        self.assign()

    def replace(self, index: int) -> None:
        """End the worker at `index` (in the order of `workers`) after its job; a new one is made.

        Raises:
            UnderstudyError: there is no such worker.
        """
        cells = list(self._members.values())
        if not 0 <= index < len(cells):
            msg = f"{self._cell.path} has {len(cells)} workers; there is none at {index}"
            raise UnderstudyError(msg)
        self._dismiss(cells[index])
        self.fill()
        self.assign()

    @property
    def workers(self) -> tuple[Ref[Any], ...]:  # Any: Ref of the worker's class
        """The workers there are, oldest first."""
        return tuple(cell.ref for cell in list(self._members.values()))

    @property
    def stats(self) -> PoolStats:
        """The pool at this instant."""
        return stats_of(
            self._cell.ledger(),
            name=self.name,
            size=self._size,
            workers=self._count,
            idle=len(self._idle),
            waiting=len(self._cell.waiting or ()),
            retried=self._attempts.retried,
            quarantined=self._attempts.quarantined,
            crashes=self._crashes,
            paused=self._paused,
            breaker=self._breaker.state(self._system.now()),
        )

    # -- workers ----------------------------------------------------------------------------------

    def fill(self) -> list[Reply[Ref[Any]]]:  # Any: Ref of the worker's class
        """Make the workers that the minimum asks for; the replies are answered as they start."""
        made = []
        while self._count < self._size[0] and not self._cell.stopping:
            reply = self._hire()
            if reply is None:
                break
            made.append(reply)
        return made

    def assign(self) -> None:
        """Wake as many free workers as jobs wait, and make new ones for the rest."""
        cell = self._cell
        while cell.queue and (cell.stopping or not self._paused):
            if not self._idle and self._count >= self._size[1]:
                return  # all are at work, and look into the queue before they are idle
            with cell.lock:
                # Those that are on their way will each claim one.
                if len(cell.queue) - cell.dead <= len(self._coming):
                    return
                worker = self._idle.popitem()[0] if self._idle else None
                if worker is not None:
                    self._coming.add(id(worker))
            if worker is not None:
                worker.wake()
            elif self._hire() is None:
                return

    def _hire(self) -> Reply[Ref[Any]] | None:  # Any: Ref of the worker's class
        """Make one more worker, if there may be one now; it takes a job once it has started."""
        now = self._system.now()
        with self._cell.lock:
            if self._count >= self._size[1] or "backoff" in self._bells:
                return None
            if not self._breaker.allow(now):
                # Half open, there is nothing to wait for but the worker that tries: `_worked`,
                # `_crashed` and `gone` look again.
                after = self._breaker.retry_after(now)
                if after > 0:
                    self._ring("backoff", after)
                return None
            self._count += 1
            self._hired += 1
            ticket = -self._hired
            self._coming.add(ticket)
        try:
            reply = self._system.spawn(
                self._worker, parent=self._cell, kind=Worker, prepare=self._prepare
            )
        except BaseException as error:  # noqa: BLE001 - its __init__ failed: a worker lost at birth
            reply = Reply()
            reply.set_exception(error)
        reply.add_done_callback(partial(self._started, ticket))
        return reply

    def _prepare(self, worker: Worker) -> None:
        worker.pool, worker.jobs = self, self._cell

    def _started(self, ticket: int, reply: Reply[Ref[Any]]) -> None:
        outcome = reply.outcome()
        with self._cell.lock:
            self._coming.discard(ticket)
            if outcome.error is None:
                worker: Worker = outcome.value.cell
                self._members[id(worker)] = worker
                self._coming.add(id(worker))
            else:
                self._count -= 1
        if outcome.error is not None:
            self._crashed(outcome.error)
        else:
            worker.wake()

    def _crashed(self, error: BaseException) -> None:
        """A worker was lost: wait before the next one, longer each time none of them works."""
        now = self._system.now()
        self._crashes += 1
        # One that crashes between good ones is its job's fault; in a row, it is something shared.
        self._breaker.record(now, ok=self._worked_since)
        self._worked_since = False
        if isinstance(error, LOST):
            self.assign()  # killed from outside: that is no reason to wait
            return
        self._backoff = min(self._backoff + 1, 7)
        delay = self._system.restart_policy.backoff_min * 2 ** (self._backoff - 1)
        jitter = 1 + 0.2 * (2 * self._system.random.random() - 1)
        with self._cell.lock:
            self._ring("backoff", min(10.0, delay) * jitter)

    def _ring(self, name: str, delay: float) -> None:
        """Look again after `delay` seconds (lock held); one bell of each name at a time."""
        if name not in self._bells:
            self._bells[name] = self._system.after(delay, partial(self._rung, name))

    def _rung(self, name: str) -> None:
        with self._cell.lock:
            self._bells.pop(name, None)
        if self._cell.ended:
            return
        if name == "look":
            self._cell.look()
            return
        if name != "backoff":
            self._let_go()
        self.fill()
        self.assign()

    def _dismiss(self, worker: Worker) -> None:
        """A worker leaves, after its job."""
        if self._leave(worker):
            self._breaker.forgo()
            worker.ref.stop()

    def gone(self, worker: Worker) -> None:
        """A worker has ended: killed from outside, unless the pool knows already."""
        if self._leave(worker):
            self._crashes += 1
            self._breaker.forgo()
            self.fill()
        self.assign()

    def _leave(self, worker: Worker) -> bool:
        """It is no member any more; False when it was none."""
        with self._cell.lock:
            if self._members.pop(id(worker), None) is None:
                return False
            self._count -= 1
            self._coming.discard(id(worker))
            self._idle.pop(worker, None)
        return True

    def _let_go(self) -> None:
        """Dismiss idle workers: those above the maximum, and those that were idle for long."""
        least, most = self._size
        now = self._system.now()
        with self._cell.lock:
            surplus = self._count - most
            long_idle = [w for w, since in self._idle.items() if now - since >= IDLE]
            gone = list(self._idle)[: max(0, surplus)]
            gone += [w for w in long_idle if w not in gone][
                : max(0, self._count - len(gone) - least)
            ]
            if self._idle and self._count - len(gone) > least:
                self._ring("idle", IDLE)
        for worker in gone:
            self._dismiss(worker)

    # -- jobs: see `Pulling` ----------------------------------------------------------------------

    def next_job(self, worker: Worker) -> Envelope | None:
        """Claim a job for `worker`, or note that it is idle (the worker's lock is held)."""
        cell = self._cell
        with cell.lock:
            if id(worker) not in self._members:
                return None
            if self._coming:
                self._coming.discard(id(worker))
            surplus = self._count > self._size[1]
            held = surplus or (self._paused and not cell.stopping)
            env = None if held else cell.take_locked()
            self._idle.pop(worker, None)  # it may have come by itself
            if env is None:
                self._idle[worker] = self._system.now()
                if surplus:  # it leaves at once, also when a bell for idle ones is set
                    self._ring("surplus", 0.0)
                elif self._count > self._size[0]:
                    self._ring("idle", IDLE)
                if cell.stopping:
                    self._ring("look", 0.0)
            else:
                env.lane = Lane.JOB
                queue = cell.queue  # its place let somebody in who had waited for one
                if queue and self._count < self._size[1] and len(queue) > len(self._coming):
                    self._ring("more", 0.0)
        return env

    def expect(self, worker: Worker) -> None:
        """A worker will look for a job in a moment: nobody else need be woken for it."""
        with self._cell.lock:
            self._coming.add(id(worker))

    def job_done(
        self,
        worker: Worker,
        env: Envelope,
        state: int,
        value: Any,  # Any: the answer, or the error
    ) -> None:
        """A job has come back, or its worker was lost with it."""
        env.lane = Lane.USER
        crashed = worker.closed and self._leave(worker)
        if state == DONE:
            self._attempts.succeeded(env)
            self._cell.handled_by_worker(env, value)
        elif self._cell.owes(env):
            # One that had left already, and had only its job to finish, may crash too.
            poison = crashed or (worker.closed and worker.last_error is value)
            self._attempts.failed(env, state, value, crashed=poison)
        if crashed:
            self._crashed(value)
        elif state == DONE:
            self._worked_since = True
            if self._backoff or self._breaker.tripped:
                self._worked()
        if self._cell.stopping:
            self._cell.look()

    def _worked(self) -> None:
        """A worker does its work again: the others need not wait any longer."""
        self._backoff = 0
        now = self._system.now()
        if self._breaker.state(now) != "closed":
            self._breaker.record(now, ok=True)
        with self._cell.lock:
            bell = self._bells.pop("backoff", None)
        if bell is not None:
            bell.cancel()
        self.fill()
        self.assign()
