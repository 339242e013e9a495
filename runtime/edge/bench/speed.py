"""What the runtime's verbs cost beside their floors, in the same process and the same minute.

Everything happens on one loop, so what is counted is CPU time of this process: other programs
disturb it least, and nothing waits for the kernel to wake a thread. Rounds take turns, and the
median of each counts. `benchmarks/` has more measures, and their targets.
"""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from statistics import median

import msgspec

from understudy.runtime.edge.bench import floors
from understudy.runtime.edge.bench.floors import CROWD, WORKERS
from understudy.runtime.edge.bench.works import Echo, Works
from understudy.runtime.runtime import Runtime

ROUNDS = 5
Work = Callable[[int], Awaitable[None]]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One measure.

    Attributes:
        name: what was done.
        floor: with what the floor did it.
        seconds, floor_seconds: of CPU time, for one.
    """

    name: str
    floor: str
    seconds: float
    floor_seconds: float

    @property
    def ratio(self) -> float:
        """How often the floor fits in."""
        return self.seconds / self.floor_seconds if self.floor_seconds else 0.0


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """Something to do `count` times, and its floor."""

    name: str
    floor: str
    count: int
    ours: Work
    theirs: Work


async def measure(
    timer: Callable[[], float],
    *,
    rounds: int = ROUNDS,
    divisor: int = 1,
    told: Callable[[str], None] = lambda _: None,
) -> list[Row]:
    """Every measure, in rounds that take turns.

    Args:
        timer: CPU seconds of this process.
        rounds: of which the median counts.
        divisor: makes each round smaller.
        told: is told what is measured now.
    """
    async with _stage() as measures:
        rows = []
        for each in measures:
            told(each.name)
            count = max(CROWD, each.count // divisor)
            await each.ours(CROWD)  # what is made at its first use is made now
            ours, theirs = [], []
            for _ in range(rounds):
                theirs.append(await _timed(timer, each.theirs, count))
                ours.append(await _timed(timer, each.ours, count))
            row = Row(
                name=each.name, floor=each.floor,
                seconds=median(ours), floor_seconds=median(theirs),
            )  # fmt: skip
            rows.append(row)
        return rows


async def _timed(timer: Callable[[], float], work: Work, count: int) -> float:
    gc.collect()
    begin = timer()
    await work(count)
    return (timer() - begin) / count


@asynccontextmanager
async def _stage() -> AsyncIterator[list[Measure]]:
    async with Runtime(name="bench") as rt:
        works = Works(rt, await rt.aspawn(Echo), await rt.apool("jobs", Echo, size=WORKERS))

        def made(name: str, count: int, ours: Work, floor: str, theirs: Work) -> Measure:
            return Measure(name=name, floor=floor, count=count, ours=ours, theirs=theirs)

        queue, crowd = "queue, future", partial(floors.requests, askers=CROWD)
        yield [
            made("a request", 8_000, works.ask, queue, floors.requests),
            made("an agent run", 1_500, works.run, queue, floors.requests),
            made("a run, 100 at once", 1_500, works.crowd, queue, crowd),
            made("a stream's chunk", 20_000, works.stream, "queue of 100", floors.chunks),
            made("3 steps side by side", 300, works.parallel, "gather", floors.in_parallel),
            made("3 steps in turn", 300, works.sequence, "3 tasks", floors.in_sequence),
            made("a pool's job", 5_000, works.jobs, "queue, 8 tasks", floors.jobs),
        ]
