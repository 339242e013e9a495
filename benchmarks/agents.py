"""Agents beside their floors: a run with a model that answers at once, and an agent itself.

    python -m benchmarks.agents [--quick] [--only NAME]

The floor of a run on a loop is a request to a task over an `asyncio.Queue`, with a future for the
answer: an agent's run is two of those (`RunAgent` and `Complete`) and what makes it a run. The
floor of a run from a thread is a callback on a bare loop and a future that the thread waits for.
Runs that keep one thread busy are timed in its CPU time, which others disturb least; those that
cross threads by the clock, free and pinned to one CPU (`1 CPU`), because what they take depends on
where the kernel puts the threads. Runs with tools are measured in `benchmarks.tools`. Exit code 0:
all is reached.
"""

from __future__ import annotations

import asyncio
import sys
import time
import tracemalloc
from typing import Any

from benchmarks.floors import LoopThread, queue_request
from benchmarks.measure import (
    Line,
    Measure,
    Reach,
    Samples,
    Scale,
    in_us,
    run_on_loop,
    take_turns,
)
from benchmarks.table import main

from understudy import Agent, AssistantMessage, Runtime, Usage
from understudy.messages.models import Complete, Completion
from understudy.testing import FakeModel

RUNS = 5_000
CROWD = 100


class Instant(FakeModel):
    """Answers at once, and remembers nothing."""

    async def complete(self, request: Complete, *, timeout: float | None = None) -> Completion:
        """The same answer to everybody."""
        del timeout
        return Completion(
            message=AssistantMessage(content="ok"),
            finish_reason="stop",
            usage=Usage(input_tokens=1, output_tokens=1),
            model=request.model,
            provider="instant",
        )


# -- on the caller's loop --------------------------------------------------------------------------


async def _queue(count: int) -> float:
    begin = time.process_time()
    await queue_request(count)
    return (time.process_time() - begin) / count


async def _sequential(count: int) -> float:
    agent = Agent(Instant([]))
    async with Runtime() as rt:
        for _ in range(100):
            await agent.arun("warm up", runtime=rt)
        begin = time.process_time()
        for _ in range(count):
            await agent.arun("x", runtime=rt)
        return (time.process_time() - begin) / count


async def _concurrent(count: int) -> float:
    """Each of a hundred tasks runs an agent, again and again: seconds for a run."""
    agent = Agent(Instant([]))

    async def runs(rt: Runtime) -> None:
        for _ in range(count // CROWD):
            await agent.arun("x", runtime=rt)

    async with Runtime() as rt:
        await asyncio.gather(*(agent.arun("warm up", runtime=rt) for _ in range(CROWD)))
        begin = time.process_time()
        await asyncio.gather(*(runs(rt) for _ in range(CROWD)))
        return (time.process_time() - begin) / (count // CROWD * CROWD)


def _hosted(scale: Scale) -> Samples:
    count = scale.of(RUNS)
    found = in_us(
        take_turns(
            {
                "queue": lambda: run_on_loop(lambda: _queue(4 * count)),
                "sequential": lambda: run_on_loop(lambda: _sequential(count)),
                "concurrent": lambda: run_on_loop(lambda: _concurrent(2 * count)),
            },
            scale,
        )
    )
    return {**found, "a second": [1e6 / value for value in found["concurrent"]]}


# -- across threads --------------------------------------------------------------------------------


def _thread_floor(count: int) -> float:
    loop = LoopThread(asyncio.new_event_loop)
    try:
        loop.ask(1)
        begin = time.perf_counter()
        for number in range(count):
            loop.ask(number)
        return (time.perf_counter() - begin) / count
    finally:
        loop.stop()


def _from_thread(count: int) -> float:
    agent = Agent(Instant([]))
    with Runtime() as rt:
        for _ in range(100):
            agent.run("warm up", runtime=rt)
        begin = time.perf_counter()
        for _ in range(count):
            agent.run("x", runtime=rt)
        return (time.perf_counter() - begin) / count


async def _other_loop(count: int) -> float:
    """`await agent.arun` on this loop, of a runtime that has a loop of its own."""
    agent = Agent(Instant([]))
    with Runtime() as rt:
        for _ in range(100):
            await agent.arun("warm up", runtime=rt)
        begin = time.perf_counter()
        for _ in range(count):
            await agent.arun("x", runtime=rt)
        return (time.perf_counter() - begin) / count


def _threads(scale: Scale) -> Samples:
    count = scale.of(RUNS)
    return in_us(
        take_turns(
            {
                "loop": lambda: _thread_floor(count),
                "thread": lambda: _from_thread(count),
                "other loop": lambda: run_on_loop(lambda: _other_loop(count)),
            },
            scale,
        )
    )


# -- an agent itself -------------------------------------------------------------------------------


def _made(count: int) -> float:
    begin = time.process_time()
    for _ in range(count):
        Agent("openai:gpt-5-mini", instructions="Be terse.", temperature=0.0)
    return (time.process_time() - begin) / count * 1e6


def _weighed(count: int) -> float:
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        kept: list[Any] = [
            Agent("openai:gpt-5-mini", instructions="Be terse.", temperature=0.0)
            for _ in range(count)
        ]
        return (tracemalloc.get_traced_memory()[0] - before) / len(kept)
    finally:
        tracemalloc.stop()


def _agents(scale: Scale) -> Samples:
    count = scale.of(20_000)
    return take_turns({"made": lambda: _made(count), "weighed": lambda: _weighed(count)}, scale)


# Microseconds on a machine whose queue takes 5.3 us, as ratios to its own queue: 40 us are 7.5.
MEASURES = (
    Measure(
        name="hosted",
        run=_hosted,
        lines=(
            Line(
                label="await agent.arun, one after the other (40 us)",
                ours="sequential",
                floor="queue",
                reach=Reach(7.5),
            ),
            Line(
                label="the same, 100 at a time (25,000 a second)",
                ours="concurrent",
                floor="queue",
                reach=Reach(7.5),
            ),
            Line(label="runs a second, 100 at a time", ours="a second", unit="/s"),
        ),
    ),
    Measure(
        name="threads",
        run=_threads,
        pinned=True,
        lines=(
            Line(
                label="agent.run from a thread",
                ours="thread",
                floor="loop",
                reach=Reach(120, absolute=True),
                pinned=Reach(70, absolute=True),
            ),
            Line(
                label="await agent.arun, the runtime on its own thread",
                ours="other loop",
                floor="loop",
                reach=Reach(140, absolute=True),
                pinned=Reach(90, absolute=True),
            ),
        ),
    ),
    Measure(
        name="agents",
        run=_agents,
        lines=(
            Line(label="making an Agent", ours="made", reach=Reach(8, absolute=True)),
            Line(
                label="bytes an Agent",
                ours="weighed",
                unit="B",
                reach=Reach(1_200, absolute=True),
            ),
        ),
    ),
)


if __name__ == "__main__":
    sys.exit(main("benchmarks.agents", MEASURES, __doc__))
