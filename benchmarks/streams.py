"""Streams beside their floors: what a chunk costs, what is held, what is left behind.

    python -m benchmarks.streams [--quick] [--only NAME]

The model is in this process, answers at once, and lets the loop turn once in 50 tokens; the floor
is a bare queue between two tasks, or two threads, with as many items. Each measure runs in a
process of its own; the contenders take turns in it and the median of the rounds counts. Where one
thread does all the work its CPU time is taken, which others disturb least. What is to be reached
is a ratio to the floor where a machine's speed would decide, else a figure. Exit code 0: all is
reached.
"""

from __future__ import annotations

import asyncio
import queue
import sys
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from benchmarks.measure import (
    Line,
    Measure,
    Reach,
    Samples,
    Scale,
    run_on_loop,
    take_turns,
)
from benchmarks.streams_held import check_count, measure_left, measure_live, measure_memory
from benchmarks.table import main

from understudy import Agent, AssistantMessage, Message, Runtime, Usage
from understudy.actors.models.provider import Piece, TextPiece, ThoughtPiece
from understudy.messages.models import Complete, Completion
from understudy.testing import FakeModel

TOKENS = 100_000


# -- throughput ------------------------------------------------------------------------------------


async def _queue(count: int) -> float:
    items: asyncio.Queue[int] = asyncio.Queue(100)

    async def produce() -> None:
        for number in range(count):
            await items.put(number)

    begin = time.process_time()
    task = asyncio.ensure_future(produce())
    for _ in range(count):
        await items.get()
    await task
    return count / (time.process_time() - begin)


async def _stream(agent: Agent, count: int, **options: Any) -> float:  # Any: of the stream
    async with Runtime() as rt:
        begin = time.process_time()
        async with rt.stream(agent, "?", **options) as stream:
            async for _ in stream:
                pass
        taken = time.process_time() - begin
        check_count(len(stream.result.text), 4 * count)
        return count / taken


def _listed(count: int) -> Agent:
    tokens = ["tok "] * count
    return Agent(FakeModel(lambda _: tokens))


def _generated(count: int) -> Agent:
    async def tokens(_: tuple[Message, ...]) -> AsyncIterator[str]:
        for number in range(count):
            if number % 50 == 0:
                await asyncio.sleep(0)
            yield "tok "

    return Agent(FakeModel(tokens))


def _chunks(scale: Scale) -> Samples:
    count = scale.of(TOKENS)
    listed, generated = _listed(count), _generated(count)
    return take_turns(
        {
            "queue": lambda: run_on_loop(lambda: _queue(count)),
            "typed": lambda: run_on_loop(lambda: _stream(listed, count, flush_interval=0)),
            "generated": lambda: run_on_loop(lambda: _stream(generated, count, flush_interval=0)),
            "joined": lambda: run_on_loop(lambda: _stream(listed, count)),
            "joined generated": lambda: run_on_loop(lambda: _stream(generated, count)),
        },
        scale,
    )


def _thread_queue(count: int) -> float:
    items: queue.Queue[int] = queue.Queue(100)

    def produce() -> None:
        for number in range(count):
            items.put(number)

    thread = threading.Thread(target=produce)
    begin = time.perf_counter()
    thread.start()
    for _ in range(count):
        items.get()
    taken = time.perf_counter() - begin
    thread.join()
    return count / taken


def _threads(scale: Scale) -> Samples:
    count = scale.of(TOKENS)
    agent = _generated(count)

    def read() -> float:
        with Runtime() as rt:
            begin = time.perf_counter()
            with rt.stream(agent, "?", flush_interval=0) as stream:
                for _ in stream:
                    pass
            return count / (time.perf_counter() - begin)

    return take_turns({"queue": lambda: _thread_queue(count), "thread": read}, scale)


# -- the first chunk -------------------------------------------------------------------------------


async def _first_of_queue(times: int) -> float:
    taken = []
    for _ in range(times):
        begin = time.perf_counter()
        items: asyncio.Queue[int] = asyncio.Queue(100)
        task = asyncio.ensure_future(items.put(1))
        await items.get()
        taken.append(time.perf_counter() - begin)
        await task
    return sorted(taken)[times // 2] * 1e6


async def _first_of_stream(times: int, *, text: bool) -> float:
    agent, taken = Agent(FakeModel(lambda _: ["tok "] * 10)), []
    async with Runtime() as rt:
        for _ in range(times):
            begin = time.perf_counter()
            async with rt.stream(agent, "?", text_only=text) as stream:
                async for _ in stream:
                    taken.append(time.perf_counter() - begin)
                    break
                await stream
    return sorted(taken)[times // 2] * 1e6


def _first(scale: Scale) -> Samples:
    times = scale.of(1000)
    return take_turns(
        {
            "queue": lambda: run_on_loop(lambda: _first_of_queue(times)),
            "chunk": lambda: run_on_loop(lambda: _first_of_stream(times, text=False)),
            "text": lambda: run_on_loop(lambda: _first_of_stream(times, text=True)),
        },
        scale,
    )


# -- text only -------------------------------------------------------------------------------------


class Thinking:
    """A model of whose pieces six in ten are thoughts."""

    name = "thinking"

    def __init__(self, count: int) -> None:
        self._count = count

    async def stream(
        self, request: Complete, *, timeout: float | None = None
    ) -> AsyncGenerator[Piece, None]:
        """Think and speak in turns."""
        del timeout
        said, thought = TextPiece(text="tok "), ThoughtPiece(text="hm ")
        for number in range(self._count):
            if number % 50 == 0:
                await asyncio.sleep(0)
            yield said if number % 10 < 4 else thought
        yield Completion(
            message=AssistantMessage(content="."),
            finish_reason="stop",
            usage=Usage(input_tokens=1, output_tokens=1),
            model=request.model,
            provider=self.name,
        )

    async def complete(self, request: Complete, *, timeout: float | None = None) -> Completion:
        """Not asked for."""
        raise NotImplementedError

    async def aclose(self) -> None:
        """Nothing to let go of."""


async def _cpu(agent: Agent, count: int, *, text_only: bool) -> float:
    async with Runtime() as rt:
        begin = time.process_time()
        async with rt.stream(agent, "?", flush_interval=0, text_only=text_only) as stream:
            async for _ in stream:
                pass
        return (time.process_time() - begin) / count * 1e6


def _text_only(scale: Scale) -> Samples:
    count = scale.of(TOKENS)
    agent = Agent(Thinking(count))
    return take_turns(
        {
            "all": lambda: run_on_loop(lambda: _cpu(agent, count, text_only=False)),
            "text": lambda: run_on_loop(lambda: _cpu(agent, count, text_only=True)),
        },
        scale,
    )


MEASURES = (
    Measure(
        name="chunks",
        run=_chunks,
        lines=(
            Line(
                label="typed chunks to `async for`, flush_interval=0",
                ours="typed",
                floor="queue",
                unit="/s",
                reach=Reach(0.63, at_least=True),
            ),
            Line(
                label="the same, tokens from an async generator",
                ours="generated",
                floor="queue",
                unit="/s",
                reach=Reach(0.63, at_least=True),
            ),
            Line(
                label="tokens, flush_interval=0.1",
                ours="joined",
                floor="queue",
                unit="/s",
                reach=Reach(3.1, at_least=True),
            ),
            Line(
                label="the same, tokens from an async generator",
                ours="joined generated",
                floor="queue",
                unit="/s",
            ),
        ),
    ),
    Measure(
        name="threads",
        run=_threads,
        lines=(
            Line(
                label="typed chunks to a thread, flush_interval=0",
                ours="thread",
                floor="queue",
                unit="/s",
                reach=Reach(0.89, at_least=True),
            ),
        ),
    ),
    Measure(
        name="first",
        run=_first,
        lines=(
            Line(
                label="first chunk",
                ours="chunk",
                floor="queue",
                reach=Reach(100, absolute=True),
            ),
            Line(label="first text", ours="text", floor="queue"),
        ),
    ),
    Measure(
        name="text_only",
        run=_text_only,
        lines=(
            Line(
                label="text_only, 60 % other chunks: CPU a piece",
                ours="text",
                floor="all",
                reach=Reach(0.7),
            ),
        ),
    ),
    Measure(
        name="memory",
        run=measure_memory,
        uvloop=False,
        lines=(
            Line(
                label="1 GiB with retain='none': peak above idle",
                ours="peak",
                unit="KiB",
                reach=Reach(1024, absolute=True),
            ),
        ),
    ),
    Measure(
        name="abandoned",
        run=measure_left,
        uvloop=False,
        lines=(
            Line(
                label="200 left after the first chunk: tasks and runs",
                ours="tasks",
                unit="",
                reach=Reach(0, absolute=True),
            ),
            Line(label="threads", ours="threads", unit="", reach=Reach(0, absolute=True)),
            Line(label="until the last socket is closed", ours="closed", unit="ms"),
        ),
    ),
    Measure(
        name="live",
        run=measure_live,
        lines=(
            Line(
                label="1,000 at 20 tokens/s: p99 added lag (floor: timers)",
                ours="added",
                floor="timer",
                unit="ms",
                reach=Reach(50, absolute=True),
            ),
        ),
    ),
)


if __name__ == "__main__":
    sys.exit(main("benchmarks.streams", MEASURES, __doc__))
