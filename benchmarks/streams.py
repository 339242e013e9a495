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

import argparse
import asyncio
import gc
import queue
import sys
import threading
import time
import tracemalloc
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from benchmarks.measure import (
    QUICK_ROUNDS,
    Line,
    Measure,
    Reach,
    Samples,
    Scale,
    be_child,
    in_child,
    run_on_loop,
    take_turns,
)

from understudy import Agent, AssistantMessage, Message, Runtime, Usage
from understudy.actors.models.provider import Piece, TextPiece, ThoughtPiece
from understudy.messages.models import Complete, Completion
from understudy.testing import FakeModel, ProviderServer

TOKENS = 100_000
GIGABYTE = 1 << 30


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


def _check(got: int, expected: int) -> None:
    if got != expected:
        raise RuntimeError(f"{got} characters came, {expected} were sent")


async def _stream(agent: Agent, count: int, **options: Any) -> float:  # Any: of the stream
    async with Runtime() as rt:
        begin = time.process_time()
        async with rt.stream(agent, "?", **options) as stream:
            async for _ in stream:
                pass
        taken = time.process_time() - begin
        _check(len(stream.result.text), 4 * count)
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
    _check(read, size // len(piece) * len(piece))
    return {"peak": [(peak - idle) / 1024]}


def _memory(scale: Scale) -> Samples:
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


def _left(scale: Scale) -> Samples:
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


def _live(scale: Scale) -> Samples:
    found: dict[str, list[float]] = {}
    run_on_loop(lambda: _keep(found, _lag(1000, 1.0 + 4.0 / scale.divisor)))
    return found


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
        run=_memory,
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
        run=_left,
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
        run=_live,
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
QUICK = Scale(rounds=QUICK_ROUNDS, divisor=5)


def _print(measure: Measure, scale: Scale) -> bool:
    medians = in_child(
        measure.name, scale, pinned=False, loop="asyncio", module="benchmarks.streams"
    )
    reached = True
    for line in measure.lines:
        ours = medians[line.ours]
        floor = None if line.floor is None else medians[line.floor]
        ratio = None if floor is None else ours / floor
        met = None if line.reach is None else line.reach.met(ratio, ours)
        reached = reached and met is not False
        cells = [
            line.label.ljust(52),
            ("" if floor is None else f"{floor:,.0f}").rjust(12),
            f"{ours:,.0f}".rjust(12),
            line.unit.ljust(4),
            ("" if ratio is None else f"{ratio:.2f}x").rjust(8),
            ("" if line.reach is None else str(line.reach)).rjust(9),
            {None: "", True: "PASS", False: "short"}[met],
        ]
        print(" ".join(cells).rstrip(), flush=True)
    return reached


def main() -> int:
    """Print it all."""
    known = {measure.name: measure for measure in MEASURES}
    parser = argparse.ArgumentParser(prog="python -m benchmarks.streams", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--quick", action="store_true", help="three short rounds")
    parser.add_argument("--only", action="append", choices=known, metavar="NAME", help="of these")
    parser.add_argument("--child", choices=known, help=argparse.SUPPRESS)
    parser.add_argument("--loop", default="asyncio", help=argparse.SUPPRESS)
    given = parser.parse_args()
    scale = QUICK if given.quick else Scale()
    if given.child:
        be_child(known[given.child], scale, pinned=False, loop=given.loop)
        return 0
    print("measure".ljust(52), "floor".rjust(12), "ours".rjust(12), "", "ratio".rjust(11), "reach")
    reached = [_print(known[name], scale) for name in given.only or known]
    return 0 if all(reached) else 1


if __name__ == "__main__":
    sys.exit(main())
