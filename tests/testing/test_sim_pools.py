"""The state machine of a pool: see `machines`."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule
from tests.testing.machines import SECONDS, SETTINGS, CrashedError, ExpectedError, Program

from understudy import Actor, child
from understudy.actors.kernel.ref import INFINITE
from understudy.runtime.pool.handle import PoolHandle


class Job(msgspec.Struct, frozen=True):
    """What each attempt comes to (the last one again), after how many seconds."""

    number: int
    outcomes: tuple[str, ...]
    seconds: float


class Worker(Actor):
    """Does what the job says of its attempt."""

    expects = (ExpectedError,)

    def __init__(self, begun: Counter[int]) -> None:
        self.begun = begun

    async def on_receive(self, message: Job) -> int:
        attempt = self.begun[message.number]
        self.begun[message.number] += 1
        if message.seconds:
            await asyncio.sleep(message.seconds)
        outcome = message.outcomes[min(attempt, len(message.outcomes) - 1)]
        if outcome == "fail":
            raise ExpectedError(message.number)
        if outcome == "crash":
            raise CrashedError(message.number)
        return message.number * 2


OUTCOMES = st.sampled_from((("ok",), ("ok",), ("fail", "ok"), ("crash", "ok"), ("fail",)))


class Pools(Program):
    """A pool: no job lost, none done more often than its retries allow, bounds kept."""

    LARGEST = 4

    def __init__(self) -> None:
        super().__init__()
        self.begun: Counter[int] = Counter()
        self.jobs: list[Job] = []
        self.retries = 0
        self.rough = False
        self.pool: PoolHandle

    @initialize(retries=st.integers(0, 2))
    def choose(self, retries: int) -> None:
        self.retries = retries

    @rule(outcomes=OUTCOMES, seconds=SECONDS)
    def submit(self, outcomes: tuple[str, ...], seconds: float) -> None:
        job = Job(len(self.jobs), outcomes, seconds)
        self.jobs.append(job)
        self.steps.append(lambda: self.asked.append(self.pool.submit(job, timeout=INFINITE)))

    @rule(least=st.integers(0, 2), more=st.integers(1, 2))
    def resize(self, least: int, more: int) -> None:
        self.steps.append(lambda: self.pool.aresize((least, least + more)))

    @rule(which=st.integers(0, 9), how=st.sampled_from(("stop", "replace", "kill", "restart")))
    def lose(self, which: int, how: str) -> None:
        self.rough = self.rough or how in ("kill", "restart")

        def step() -> None:
            workers = self.pool.workers
            if not workers:
                return
            ref = workers[which % len(workers)]
            if how == "replace":
                self.pool.replace(which % len(workers))
            else:
                ends: dict[str, Callable[[], Any]]  # Any: a Reply
                ends = {"stop": ref.stop, "kill": ref.kill, "restart": ref.restart}
                ends[how]()

        self.steps.append(step)

    @rule(paused=st.booleans())
    def pause(self, paused: bool) -> None:
        self.steps.append(lambda: self.pool.pause() if paused else self.pool.resume())

    async def begin(self) -> None:
        worker = child(Worker, self.begun)
        self.pool = await self.rt.apool("pool", worker, size=(1, 3), retries=self.retries)

    def check(self) -> None:
        assert 0 <= self.pool.stats.workers <= self.LARGEST, self.pool.stats

    async def end(self) -> None:
        self.pool.resume()
        await self.pool.adrain()

    def over(self) -> None:
        assert len(self.asked) == len(self.jobs)
        for job, reply in zip(self.jobs, self.asked, strict=True):
            outcome, begun = reply.outcome(), self.begun[job.number]
            said = f"{job}: {outcome}, begun {begun} times, retries {self.retries}"
            assert begun <= self.retries + 1, f"too often: {said}"
            if outcome.error is None:
                assert outcome.value == job.number * 2, f"somebody else's answer: {said}"
                assert begun >= 1, f"answered and never done: {said}"
            if not self.rough and not self.cancelled:
                last = job.outcomes[min(self.retries, len(job.outcomes) - 1)]
                kinds = {"ok": type(None), "fail": ExpectedError, "crash": CrashedError}
                assert isinstance(outcome.error, kinds[last]), f"{last} was due: {said}"


Pools.TestCase.settings = SETTINGS

TestPools = Pools.TestCase
