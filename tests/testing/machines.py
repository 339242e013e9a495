"""What state machines of mailbox, ledger, supervisor and pool share: each runs in one simulation.

A simulation owns the thread while it runs, so hypothesis does not step it: the rules of a machine
write a program, and when that is written a `SimRuntime` with a drawn seed runs it, checking after
each of its steps. A failing program is shrunk like any other and says its seed.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from understudy import Reply, Runtime
from understudy.testing import SimRuntime

Step = Callable[[], Awaitable[Any] | None]


SECONDS = st.sampled_from((0.0, 0.0, 0.1, 1.0, 40.0))


class ExpectedError(Exception):
    """An answer that is an error."""


class CrashedError(Exception):
    """A failure."""


class Program(RuleBasedStateMachine):
    """What the machines share: a program and its run; who asked is answered, whatever happened."""

    def __init__(self) -> None:
        super().__init__()
        self.seed = 0
        self.cancelled = False
        self.steps: list[Step] = []
        self.asked: list[Reply[Any]] = []
        self.rt: Runtime

    @initialize(seed=st.integers(0, 10_000))
    def draw(self, seed: int) -> None:
        self.seed = seed

    @rule(seconds=SECONDS)
    def wait(self, seconds: float) -> None:
        self.steps.append(lambda: asyncio.sleep(seconds))

    @rule(which=st.integers(0, 9))
    def cancel(self, which: int) -> None:
        self.cancelled = True

        def step() -> None:
            if self.asked:
                self.asked[which % len(self.asked)].cancel()

        self.steps.append(step)

    def teardown(self) -> None:
        if self.steps:
            SimRuntime(self.seed, shutdown=1000.0).run(self.main)
            assert all(reply.done for reply in self.asked), "an ask was not answered"
            self.over()

    async def main(self, rt: Runtime) -> None:
        self.rt = rt
        await self.begin()
        for step in self.steps:
            waited = step()
            if waited is not None:
                await waited
            assert rt.ledger.balanced, rt.ledger
            self.check()
        await self.end()

    async def begin(self) -> None:
        """Make the actors."""

    def check(self) -> None:
        """What holds after each step."""

    async def end(self) -> None:
        """What is done behind the last step."""

    def over(self) -> None:
        """What holds when all is over."""


class Note(msgspec.Struct, frozen=True):
    """A numbered message, and what the handler does with it."""

    number: int
    act: str
    seconds: float


SETTINGS = settings(
    max_examples=40,
    stateful_step_count=20,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
