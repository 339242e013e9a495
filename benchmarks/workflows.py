"""What workflows cost: runs a second, makespans, memory and cancels, beside floors of the same run.

    python -m benchmarks.workflows [--quick] [--only NAME]

Steps are `async def` functions that do nothing, unless it says otherwise; the floor is what plain
asyncio takes for the same work (`asyncio.gather` of as many coroutines, an ideal makespan). Rates
are runs in a second of CPU time of the process, which other work on the machine changes least;
makespans and cancels are by the clock. Exit code 0: all is reached.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
import time
import tracemalloc
from collections.abc import Awaitable, Callable
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
from benchmarks.table import main

from understudy import RunCancelledError, Runtime, Workflow, step

RUNS = 1_500
IN_FLIGHT = 10_000


async def noop(value: Any) -> Any:  # Any: whatever comes
    """Do nothing."""
    return value


def plain(value: Any) -> Any:  # Any: whatever comes
    """Do nothing, on a thread."""
    return value


async def short(value: Any) -> Any:  # Any: whatever comes
    """50 ms."""
    await asyncio.sleep(0.05)
    return value


async def long(value: Any) -> Any:  # Any: whatever comes
    """100 ms."""
    await asyncio.sleep(0.1)
    return value


def sequence(count: int, target: Any = noop) -> Workflow:  # Any: a function
    """So many steps, one after the other."""
    return Workflow.sequential("seq", *(step(f"s{n}", target) for n in range(count)))


def diamond(target: Any = noop) -> Workflow:  # Any: a function
    """One step, eight behind it, one behind those."""
    middle = [step(f"m{n}", target, after="first") for n in range(8)]
    last = step("last", target, "{m0}", after=tuple(each.name for each in middle))
    return Workflow.dag("diamond", step("first", target), *middle, last)


PARALLEL = Workflow.parallel("par", *(step(f"s{n}", noop) for n in range(3)))
FAN = Workflow.sequential("fan", step("all", noop, each="{input}"))


async def _rate(flow: Workflow, runs: int, value: Any = 1) -> float:  # Any: an input
    """Runs in a second of CPU time, one after the other."""
    async with Runtime() as rt:
        for _ in range(max(3, runs // 20)):
            await rt.arun(flow, value)
        begin = time.process_time()
        for _ in range(runs):
            await rt.arun(flow, value)
        return runs / (time.process_time() - begin)


async def _gathered(count: int, runs: int) -> float:
    begin = time.process_time()
    for _ in range(runs):
        await asyncio.gather(*(noop(1) for _ in range(count)))
    return runs / (time.process_time() - begin)


def _on_loop(main: Callable[[], Awaitable[float]]) -> Callable[[], float]:
    return lambda: run_on_loop(main)


def _rates(scale: Scale) -> Samples:
    runs, few = scale.of(RUNS), scale.of(20)
    items = list(range(1_000))
    return take_turns(
        {
            "gather of 3": _on_loop(lambda: _gathered(3, runs * 5)),
            "gather of 10": _on_loop(lambda: _gathered(10, runs * 5)),
            "gather of 1,000": _on_loop(lambda: _gathered(1_000, few)),
            "sequence": _on_loop(lambda: _rate(sequence(3), runs)),
            "threads": _on_loop(lambda: _rate(sequence(3, plain), runs)),
            "parallel": _on_loop(lambda: _rate(PARALLEL, runs)),
            "diamond": _on_loop(lambda: _rate(diamond(), runs // 2)),
            "fan": _on_loop(lambda: _rate(FAN, few, items)),
        },
        scale,
    )


def _slopes(scale: Scale) -> Samples:
    """Seconds for each step or branch, by how many there are."""

    async def each(flow: Workflow, count: int, value: Any = 1) -> float:  # Any: an input
        return 1 / (count * await _rate(flow, max(3, scale.of(10_000) // count), value))

    return take_turns(
        {
            "10 steps": _on_loop(lambda: each(sequence(10), 10)),
            "1,000 steps": _on_loop(lambda: each(sequence(1_000), 1_000)),
            "1,000 branches": _on_loop(lambda: each(FAN, 1_000, list(range(1_000)))),
            "10,000 branches": _on_loop(lambda: each(FAN, 10_000, list(range(10_000)))),
        },
        scale,
    )


async def _crowd() -> float:
    """Makespan of a hundred diamonds at a time, over the ideal of three waves."""
    flow = diamond(short)
    async with Runtime() as rt:
        await rt.arun(flow, 1)
        begin = time.perf_counter()
        await asyncio.gather(*(rt.arun(flow, 1) for _ in range(100)))
        return (time.perf_counter() - begin) / 0.15


async def _crowd_floor() -> float:
    async def one() -> None:
        await short(1)
        await asyncio.gather(*(short(1) for _ in range(8)))
        await short(1)

    begin = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(100)))
    return (time.perf_counter() - begin) / 0.15


async def _instant() -> float:
    """Milliseconds for a, then b and c beside it, of 100 ms each."""
    flow = Workflow.dag(
        "w", step("a", long), step("b", long, after="a"), step("c", long, after="a")
    )
    async with Runtime() as rt:
        await rt.arun(sequence(1), 1)
        begin = time.perf_counter()
        await rt.arun(flow, 1)
        return (time.perf_counter() - begin) * 1e3


def _makespans(scale: Scale) -> Samples:
    return take_turns(
        {
            "gather": _on_loop(_crowd_floor),
            "diamonds": _on_loop(_crowd),
            "instant": _on_loop(_instant),
        },
        scale,
    )


async def _waiting(runs: int) -> float:
    """KiB of a run that waits in a step."""
    arrived, all_there, gate = 0, asyncio.Event(), asyncio.Event()

    async def wait(value: int) -> int:
        nonlocal arrived
        arrived += 1
        if arrived == runs:
            all_there.set()
        await gate.wait()
        return value

    flow = Workflow.sequential("wait", step("wait", wait))
    async with Runtime(workers=IN_FLIGHT) as rt:
        await rt.arun(sequence(1), 1)
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        held = [rt.submit(flow, 1) for _ in range(runs)]
        await all_there.wait()
        gc.collect()
        used = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        gate.set()
        for run in held:
            await run
        return used / runs / 1024


async def _cancel(steps: int) -> float:
    """Milliseconds until a run with so many steps in flight is answered and nothing is left."""
    arrived, all_there = 0, asyncio.Event()

    async def wait(value: int) -> None:
        nonlocal arrived
        arrived += 1
        if arrived == steps:
            all_there.set()
        await asyncio.sleep(3_600 + value)

    flow = Workflow.sequential("w", step("all", wait, each="{input}"), max_concurrent=steps)
    async with Runtime() as rt:
        run = rt.submit(flow, list(range(steps)))
        await all_there.wait()
        pool = rt.crew.steps.pools[0]
        begin = time.perf_counter()
        run.cancel()
        with contextlib.suppress(RunCancelledError):
            await run
        while (stats := pool.stats).workers != stats.idle:  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0)
        return (time.perf_counter() - begin) * 1e3


def _bulk(scale: Scale) -> Samples:
    return {
        "waiting": [run_on_loop(lambda: _waiting(scale.of(IN_FLIGHT)))],
        **take_turns({"cancel": _on_loop(lambda: _cancel(1_000))}, scale),
    }


def _least(bound: float) -> Reach:
    return Reach(bound, at_least=True, absolute=True)


def _most(bound: float) -> Reach:
    return Reach(bound, absolute=True)


MEASURES = (
    Measure(
        name="rates",
        run=_rates,
        lines=(
            Line(label="3 in sequence", ours="sequence", unit="/s", reach=_least(12_000)),
            Line(label="3 in sequence, on threads", ours="threads", unit="/s", reach=_least(4_000)),
            Line(
                label="3 in parallel",
                ours="parallel",
                floor="gather of 3",
                unit="/s",
                reach=_least(10_000),
            ),
            Line(
                label="diamond of 10",
                ours="diamond",
                floor="gather of 10",
                unit="/s",
                reach=_least(4_000),
            ),
            Line(
                label="fan-out of 1,000",
                ours="fan",
                floor="gather of 1,000",
                unit="/s",
                reach=_least(60),
            ),
        ),
    ),
    Measure(
        name="slopes",
        run=lambda scale: {n: [v * 1e6 for v in vs] for n, vs in _slopes(scale).items()},
        lines=(
            Line(
                label="a step of 1,000 over one of 10",
                ours="1,000 steps",
                floor="10 steps",
                reach=Reach(1.3),
            ),
            Line(
                label="a branch of 10,000 over one of 1,000",
                ours="10,000 branches",
                floor="1,000 branches",
                reach=Reach(1.3),
            ),
        ),
    ),
    Measure(
        name="makespans",
        run=_makespans,
        lines=(
            Line(
                label="100 diamonds of 50 ms steps / ideal",
                ours="diamonds",
                floor="gather",
                unit="x",
                reach=_most(1.25),
            ),
            Line(label="a, then b and c, of 100 ms", ours="instant", unit="ms", reach=_most(210)),
        ),
    ),
    Measure(
        name="bulk",
        run=_bulk,
        lines=(
            Line(label="a run in flight, of 10,000", ours="waiting", unit="KiB", reach=_most(12.0)),
            Line(
                label="cancel with 1,000 steps in flight", ours="cancel", unit="ms", reach=_most(50)
            ),
        ),
    ),
)


if __name__ == "__main__":
    sys.exit(main("benchmarks.workflows", MEASURES, __doc__))
