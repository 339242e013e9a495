"""The work that is measured: each verb, `count` times, on the caller's loop."""

from __future__ import annotations

import asyncio

from understudy.actors.kernel.actor import Actor
from understudy.actors.kernel.ref import Ref
from understudy.runtime.agent import Agent
from understudy.runtime.edge.bench.floors import BATCH, CROWD, nothing
from understudy.runtime.edge.load.in_process import InProcessModel
from understudy.runtime.pool.handle import PoolHandle
from understudy.runtime.runtime import Runtime
from understudy.runtime.workflow import Workflow, step
from understudy.testing.fake_model import FakeModel


class Echo(Actor):
    """Answers what it was asked."""

    async def on_receive(self, message: int) -> int:
        """Answer."""
        return message


class Works:
    """All of it, on one runtime.

    Args:
        runtime: hosted on this loop.
        echo: an `Echo`.
        pool: of `Echo`s.
    """

    def __init__(self, runtime: Runtime, echo: Ref[Echo], pool: PoolHandle) -> None:
        steps = [step(name, nothing) for name in ("one", "two", "three")]
        self._runtime, self._echo, self._pool = runtime, echo, pool
        self._agent = Agent(InProcessModel())
        self._parallel = Workflow.parallel("parallel", *steps)
        self._sequence = Workflow.sequential("sequence", *steps)

    async def ask(self, count: int) -> None:
        """Requests to an actor, one after the other."""
        for _ in range(count):
            await self._echo.request(1)

    async def run(self, count: int) -> None:
        """Runs of an agent whose model answers at once."""
        for _ in range(count):
            await self._runtime.arun(self._agent, "x")

    async def crowd(self, count: int) -> None:
        """The same, a hundred at a time."""
        await asyncio.gather(*(self.run(count // CROWD) for _ in range(CROWD)))

    async def stream(self, count: int) -> None:
        """Chunks of one stream, each as it comes."""
        talker = Agent(FakeModel(lambda _: ["word "] * count))
        async with talker.astream("x", runtime=self._runtime, flush_interval=0) as chunks:
            async for _ in chunks:
                pass

    async def parallel(self, count: int) -> None:
        """Workflows of three steps side by side."""
        for _ in range(count):
            await self._runtime.arun(self._parallel, "x")

    async def sequence(self, count: int) -> None:
        """Workflows of three steps, one after the other."""
        for _ in range(count):
            await self._runtime.arun(self._sequence, "x")

    async def jobs(self, count: int) -> None:
        """Jobs of a pool: a batch of them at a time."""
        for begin in range(0, count, BATCH):
            size = min(BATCH, count - begin)
            for reply in [self._pool.submit(1) for _ in range(size)]:
                await reply
