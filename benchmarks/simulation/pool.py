"""A pool in bad weather: jobs that fail and crash, resizes, kills, cancels, deadlines, shutdown.

Each seed is a pool of other bounds and rules, and other jobs. A job carries what each attempt at
it comes to, so what has to become of it is known beforehand, however the attempts are scheduled.
In calm seeds nothing else happens to it (workers may leave, be replaced, the pool be resized,
paused and drained: none of that may be seen in an answer); in wild seeds workers are killed, jobs
cancelled and answers lost, and what has to hold is weaker.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any, Literal

import msgspec

from understudy.actors.kernel.actor import Actor
from understudy.actors.kernel.deferred import Deferred
from understudy.actors.kernel.options import child
from understudy.actors.kernel.ref import INFINITE
from understudy.actors.kernel.reply import Reply
from understudy.messages.errors import (
    ActorDeadError,
    ActorRestartedError,
    BreakerOpenError,
    DeadlineExceededError,
    MailboxFullError,
    RunCancelledError,
    RuntimeStoppedError,
)
from understudy.runtime.pool.handle import PoolHandle
from understudy.runtime.runtime import Runtime
from understudy.testing.sim import Fault, Faults, SimRuntime

Outcome = Literal["ok", "fail", "crash"]


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What each attempt comes to (the last again), after how many seconds."""

    number: int
    outcomes: tuple[Outcome, ...]
    seconds: float


class Bell(msgspec.Struct, frozen=True, kw_only=True):
    """It is time to answer."""

    job: Job


class JobFailedError(Exception):
    """An attempt failed, and the worker expected that it might."""


class WorkerCrashedError(Exception):
    """An attempt failed, and took its worker with it."""


class Log:
    """What the workers saw."""

    def __init__(self) -> None:
        self.begun: Counter[int] = Counter()
        self.ended: Counter[int] = Counter()

    def begin(self, job: Job) -> Outcome:
        """An attempt begins."""
        attempt = self.begun[job.number]
        self.begun[job.number] += 1
        return job.outcomes[min(attempt, len(job.outcomes) - 1)]

    def end(self, job: Job, outcome: Outcome) -> int:
        """An attempt ends as it has to."""
        self.ended[job.number] += 1
        if outcome == "fail":
            raise JobFailedError(job.number)
        if outcome == "crash":
            raise WorkerCrashedError(job.number)
        return job.number * 2


class AsyncWorker(Actor):
    """Works on the loop, and suspends."""

    expects = (JobFailedError,)

    def __init__(self, log: Log) -> None:
        self.log = log

    async def on_receive(self, message: Job) -> int:
        """Do a job."""
        outcome = self.log.begin(message)
        if message.seconds:
            await asyncio.sleep(message.seconds)
        return self.log.end(message, outcome)


class InlineWorker(Actor):
    """Works on the loop, and never suspends."""

    expects = (JobFailedError,)
    blocking = False

    def __init__(self, log: Log) -> None:
        self.log = log

    def on_receive(self, message: Job) -> int:
        """Do a job."""
        return self.log.end(message, self.log.begin(message))


class ThreadWorker(InlineWorker):
    """Works on threads."""

    blocking = True


class DeferringWorker(AsyncWorker):
    """Answers later than its handler ends, and takes the next job meanwhile."""

    def __init__(self, log: Log) -> None:
        super().__init__(log)
        self.owed: dict[int, tuple[Deferred, Outcome]] = {}

    async def on_receive(self, message: Job | Bell) -> int | None:
        """Begin a job, or answer it."""
        if isinstance(message, Job):
            self.owed[message.number] = self.defer(), self.log.begin(message)
            self.timer(Bell(job=message), after=message.seconds)
            return None
        deferred, outcome = self.owed.pop(message.job.number)
        try:
            deferred.set(self.log.end(message.job, outcome))
        except JobFailedError as error:
            deferred.set_exception(error)
        return None


class Weather(msgspec.Struct, frozen=True, kw_only=True):
    """What one seed is about."""

    size: tuple[int, int]
    queue: int
    retries: int
    effects: Literal["none", "idempotent", "at_most_once"] | None
    timeout: float
    worker: type[Actor]
    wild: bool
    jobs: tuple[Job, ...]
    gaps: tuple[float, ...]
    end: Literal["wait", "drain", "leave", "kill"]
    faults: Faults


def weather(seed: int) -> Weather:
    """The weather of `seed`."""
    rng = random.Random(f"pool/{seed}")
    wild = rng.random() < 0.5
    least = rng.randint(0, 3)
    count = rng.randint(5, 40)
    effects = rng.choice((None, None, "none", "idempotent", "at_most_once"))
    faults = _faults(rng) if wild else Faults()
    return Weather(
        size=(least, rng.randint(max(1, least), 5)),
        queue=rng.choice((4, 20, 1000)),
        retries=0 if effects == "at_most_once" else rng.choice((0, 0, 1, 2, 4)),
        effects=effects,
        # Without a deadline a lost job is waited for for ever, and noticed.
        timeout=2.0 if faults.drop_reply or (wild and rng.random() < 0.3) else INFINITE,
        worker=rng.choices(
            (AsyncWorker, InlineWorker, DeferringWorker, ThreadWorker), (12, 6, 4, 1)
        )[0],
        wild=wild,
        jobs=tuple(_job(rng, number) for number in range(count)),
        gaps=tuple(rng.choice((0.0, 0.0, 0.0, 0.05, 1.0, 40.0)) for _ in range(count)),
        end=rng.choice(("wait", "wait", "drain", "leave", "kill")),
        faults=faults,
    )


def _job(rng: random.Random, number: int) -> Job:
    bad: Outcome = rng.choice(("fail", "crash"))
    outcomes: tuple[Outcome, ...] = ("ok",)
    if rng.random() < 0.25:
        outcomes = (*(bad for _ in range(rng.randint(1, 3))), rng.choice(("ok", "ok", bad)))
    seconds = rng.choice((0.0, 0.0, 0.01, 0.3, 3.0))
    return Job(number=number, outcomes=outcomes, seconds=seconds)


def _faults(rng: random.Random) -> Faults:
    at = "/user/pool/*"
    return Faults(
        crash=Fault(at, chance=0.03) if rng.random() < 0.4 else (),
        slow=Fault(at, chance=0.05, seconds=(0.1, 20.0)) if rng.random() < 0.4 else (),
        drop_reply=Fault(at, chance=0.02) if rng.random() < 0.2 else (),
        full_mailbox=Fault("/user/pool", chance=0.05) if rng.random() < 0.3 else (),
    )


def simulate(seed: int) -> SimRuntime:
    """One seed, from start to shutdown.

    Raises:
        AssertionError: something did not hold.
        SimulationError: something was left behind, or nothing could go on.
    """
    plan = weather(seed)
    sim = SimRuntime(seed, faults=plan.faults, threads=4, shutdown=10_000.0)
    log = Log()
    replies: list[Reply[Any]] = []  # Any: the answers

    async def main(rt: Runtime) -> None:
        pool = await rt.apool(
            "pool",
            child(plan.worker, log),
            size=plan.size,
            queue=plan.queue,
            retries=plan.retries,
            effects=plan.effects,
        )
        rng = random.Random(f"chaos/{seed}")
        for job, gap in zip(plan.jobs, plan.gaps, strict=True):
            replies.append(pool.submit(job, timeout=plan.timeout))
            if gap:
                await asyncio.sleep(gap)
            _meddle(plan, rng, pool, replies)
            if not rt.ledger.balanced:
                raise AssertionError(f"the ledger does not balance on the way: {rt.ledger}")
        pool.resume()
        if plan.end == "wait":
            for reply in replies:
                await asyncio.wait([_settled(reply)])
            if not plan.faults.drop_reply:  # else who asked is answered before the work has ended
                _check_rest(plan, pool)
        elif plan.end == "drain":
            await pool.adrain()
        elif plan.end == "kill":
            await pool.ref.kill()
        if plan.worker is ThreadWorker:
            await asyncio.sleep(60.0)  # what was abandoned in a thread comes back

    sim.run(main)
    for job, reply in zip(plan.jobs, replies, strict=True):
        _check(plan, job, reply, log)
    return sim


def _settled(reply: Reply[Any]) -> asyncio.Future[None]:  # Any: the answer
    settled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    reply.add_done_callback(lambda _: settled.done() or settled.set_result(None))
    return settled


def _meddle(plan: Weather, rng: random.Random, pool: PoolHandle, replies: list[Reply[Any]]) -> None:
    """Something happens to the pool, or to a job."""
    what = rng.random()
    if what < 0.05:
        least = rng.randint(0, 3)
        pool._pool.resize((least, rng.randint(max(1, least), 5)))
    elif what < 0.1:
        pool.pause()
    elif what < 0.2:
        pool.resume()
    elif what < 0.25 and pool.workers:
        pool.replace(rng.randrange(len(pool.workers)))
    elif what < 0.3 and pool.workers:
        rng.choice(pool.workers).stop()
    elif plan.wild and what < 0.4 and pool.workers:
        worker = rng.choice(pool.workers)
        rng.choice((worker.kill, worker.restart, lambda: worker.stop(drain=False)))()
    elif plan.wild and what < 0.45:
        rng.choice(replies).cancel()


def _check_rest(plan: Weather, pool: PoolHandle) -> None:
    """All is answered: nothing is queued, and the account of the pool is closed."""
    ledger, stats = pool.ref.ledger, pool.stats
    if stats.queued or ledger.running or ledger.queued:
        raise AssertionError(f"every job is answered, and yet {stats} {ledger}")
    if not 0 <= stats.workers <= 5:
        raise AssertionError(f"more workers than any size allowed: {stats}")
    if ledger.accepted + ledger.refused > len(plan.jobs):
        raise AssertionError(f"more jobs than there were: {ledger}")


REFUSED = (MailboxFullError, BreakerOpenError)
WILD = (
    *(ActorDeadError, ActorRestartedError, DeadlineExceededError, RunCancelledError),
    *(RuntimeStoppedError, JobFailedError, WorkerCrashedError),
)


def _check(plan: Weather, job: Job, reply: Reply[Any], log: Log) -> None:
    """What has become of a job is what had to become of it."""
    outcome, begun = reply.outcome(), log.begun[job.number]
    error = outcome.error
    said = f"{job}: {outcome}, begun {begun} times ({plan})"
    if isinstance(error, REFUSED):
        assert begun == 0, f"refused and done: {said}"
        return
    if plan.effects == "at_most_once":
        assert begun <= 1, f"at most once: {said}"
    if error is None and reply.done:
        assert outcome.value == job.number * 2, f"somebody else's answer: {said}"
        assert log.ended[job.number] >= 1, f"never done: {said}"
    # A worker that defers loses all it has begun when it crashes.
    if plan.wild or plan.end == "kill" or plan.worker is DeferringWorker:
        limit = max(plan.retries + 1, 3 if plan.effects in ("none", "idempotent") else 1)
        assert begun <= limit, f"too often: {said}"
        crashed = "SimulatedCrashError"
        allowed = isinstance(error, WILD) or type(error).__name__ == crashed
        assert error is None or allowed, f"not to be expected: {said}"
        return
    attempts, last = _expected(plan, job)
    assert begun == attempts, f"{attempts} attempts were due: {said}"
    kinds = {"ok": type(None), "fail": JobFailedError, "crash": WorkerCrashedError}
    assert isinstance(error, kinds[last]), f"{last} was due: {said}"


def _expected(plan: Weather, job: Job) -> tuple[int, Outcome]:
    """How often a job is attempted when nobody interferes, and what the last attempt comes to."""
    crashes = 0
    for attempt in range(1, 100):
        outcome = job.outcomes[min(attempt, len(job.outcomes)) - 1]
        crashes += outcome == "crash"
        if outcome == "ok" or attempt > plan.retries or crashes >= 3:
            return attempt, outcome
    raise AssertionError(f"{job} is attempted for ever")
