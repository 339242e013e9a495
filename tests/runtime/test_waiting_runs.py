"""What a run costs that does nothing but wait for its model."""

import asyncio
import gc
from typing import Any

import pytest

from understudy import Agent, Runtime
from understudy.testing import FakeModel

pytestmark = pytest.mark.anyio

RUNS = 100
MOST = 60
"""Objects that the cycle collector walks, for each run that waits and the task that awaits it.

48 on CPython 3.11; other versions may make some more or fewer. It was 93 when each function between
the caller and the model's answer was a coroutine, and each callback a function with its cells.
"""


class Gate(FakeModel):
    """Answers when it is opened."""

    def __init__(self) -> None:
        super().__init__(lambda _: "through")
        self.open = asyncio.Event()
        self.waiting = 0
        self.all_wait = asyncio.Event()

    async def complete(self, request: Any, *, timeout: float | None = None) -> Any:
        """Wait at the gate first."""
        self.waiting += 1
        if self.waiting == RUNS:
            self.all_wait.set()
        await self.open.wait()
        return await super().complete(request, timeout=timeout)


async def test_a_run_that_waits_keeps_few_objects_alive() -> None:
    """A cycle collection walks all of them, over and over: at 1,000 runs that is CPU time."""
    gate = Gate()
    agent = Agent(gate)
    async with Runtime() as rt:
        gate.open.set()
        await asyncio.gather(*(agent.arun("warm", runtime=rt) for _ in range(RUNS)))
        gate.open.clear()
        gate.waiting = 0
        gate.all_wait.clear()
        gc.collect()
        before = gc.get_objects()
        known = {id(each) for each in before}
        tasks = [asyncio.ensure_future(agent.arun("x", runtime=rt)) for _ in range(RUNS)]
        await gate.all_wait.wait()
        gc.collect()
        alive = sum(id(each) not in known for each in gc.get_objects())
        gate.open.set()
        results = await asyncio.gather(*tasks)
    assert [each.text for each in results] == ["through"] * RUNS
    assert alive / RUNS < MOST
