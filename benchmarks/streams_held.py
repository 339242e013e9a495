"""What streams hold, what they leave behind, and how late they are when there are many."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

from benchmarks.measure import (
    Samples,
    Scale,
    run_on_loop,
)

from understudy import Agent, Message, Runtime
from understudy.testing import FakeModel, ProviderServer

GIGABYTE = 1 << 30


def check_count(got: int, expected: int) -> None:
    """Raise when something was lost: a figure without all of it is none."""
    if got != expected:
        raise RuntimeError(f"{got} characters came, {expected} were sent")


# -- memory ----------------------------------------------------------------------------------------


async def _held(size: int) -> dict[str, list[float]]:
    piece = "x" * 1024

    async def endless(_: tuple[Message, ...]) -> AsyncIterator[str]:
        for number in range(size // len(piece)):
            if number % 50 == 0:
                await asyncio.sleep(0)
            yield piece

    agent = Agent(FakeModel(endless))
    async with Runtime() as rt:
        async with rt.stream(Agent(FakeModel(["warm"])), "?") as stream:
            await stream
        gc.collect()
        tracemalloc.start()
        idle, _ = tracemalloc.get_traced_memory()
        read = 0
        async with rt.stream(agent, "?", retain="none") as stream:
            async for chunk in stream:
                read += len(chunk.delta)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    check_count(read, size // len(piece) * len(piece))
    return {"peak": [(peak - idle) / 1024]}


def measure_memory(scale: Scale) -> Samples:
    """How much is held while a gigabyte is read."""
    found: dict[str, list[float]] = {}
    run_on_loop(lambda: _keep(found, _held(scale.of(GIGABYTE))))
    return found


async def _keep(found: dict[str, list[float]], work: Any) -> float:  # Any: a coroutine
    found.update(await work)
    return 0.0


# -- what is left ----------------------------------------------------------------------------------


async def _abandoned(count: int) -> dict[str, list[float]]:
    async with ProviderServer(lambda _: "word " * 1000, tokens_per_second=200.0) as server:
        # The server has a task for each connection too: what counts is what is more than before.
        agent = Agent("openai-compatible:m", base_url=server.base_url)
        async with Runtime() as rt:
            rt.stream(Agent(FakeModel(["warm"])), "?").close()
            await asyncio.sleep(0.1)
            tasks, before = len(asyncio.all_tasks()), threading.active_count()

            async def look() -> None:
                async with rt.stream(agent, "?") as stream:
                    async for chunk in stream:
                        if chunk.delta:
                            return

            await asyncio.gather(*(look() for _ in range(count)))
            begin = time.perf_counter()
            await server.auntil(lambda s: s.connections.open == 0)
            closed = (time.perf_counter() - begin) * 1e3
            await asyncio.sleep(0.1)
            idle = 64 + 1  # runners are kept, and the one that is awake
            left = max(0, len(asyncio.all_tasks()) - tasks - idle)
            threads = threading.active_count() - before
            runs = len(rt._open_runs)  # noqa: SLF001 - what a benchmark of leaks looks at
    return {"tasks": [left + runs], "threads": [threads], "closed": [closed]}


def measure_left(scale: Scale) -> Samples:
    """What 200 streams leave behind that nobody reads to the end."""
    found: dict[str, list[float]] = {}
    run_on_loop(lambda: _keep(found, _abandoned(scale.of(200))))
    return found


# -- many at a time --------------------------------------------------------------------------------

PACE = 20.0


async def _lag(streams: int, seconds: float) -> dict[str, list[float]]:
    loop = asyncio.get_running_loop()
    made: list[float] = []
    added: list[float] = []

    async def tokens(_: tuple[Message, ...]) -> AsyncIterator[str]:
        begin = loop.time()
        for number in range(int(seconds * PACE)):
            due = begin + number / PACE
            await asyncio.sleep(due - loop.time())
            made.append(loop.time() - due)
            yield f"{loop.time()} "

    agent = Agent(FakeModel(tokens))

    async def read(rt: Runtime, number: int) -> None:
        await asyncio.sleep(number / streams)
        async with rt.stream(agent, "?", flush_interval=0, text_only=True) as stream:
            added.extend([loop.time() - float(text) async for text in stream.atext()])

    async with Runtime() as rt:
        await asyncio.gather(*(read(rt, number) for number in range(streams)))
    found = {"timer": made, "added": added}
    return {name: [sorted(v)[int(len(v) * 0.99)] * 1e3] for name, v in found.items()}


def measure_live(scale: Scale) -> Samples:
    """How late chunks are when 1,000 streams are read at a time."""
    found: dict[str, list[float]] = {}
    run_on_loop(lambda: _keep(found, _lag(1000, 1.0 + 4.0 / scale.divisor)))
    return found
