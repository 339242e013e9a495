"""What jobs cost: a pool of workers beside an executor."""

from __future__ import annotations

import time

from benchmarks.floors import executor_rate
from benchmarks.measure import Line, Measure, Reach, Samples, Scale, run_on_loop, take_turns
from benchmarks.speed_loop import Echo

from understudy import Actor, Runtime

WORKERS = 8
JOBS = 100_000


class Worker(Actor):
    """Does nothing, on the runtime's threads."""

    def on_receive(self, message: int) -> int:
        """Answer."""
        return message


async def rate_on_loop(jobs: int) -> float:
    """Jobs a second: all submitted on the loop, all awaited there."""
    async with Runtime() as rt:
        pool = await rt.apool("workers", Echo, size=WORKERS, queue=jobs)
        await pool.submit(1)
        begin = time.perf_counter()
        for reply in [pool.submit(1) for _ in range(jobs)]:
            await reply
        return jobs / (time.perf_counter() - begin)


def rate_from_thread(kind: type[Actor], jobs: int) -> float:
    """Jobs a second: all submitted by one thread, which then waits for all."""
    with Runtime() as rt:
        pool = rt.pool("workers", kind, size=WORKERS, queue=jobs)
        pool.submit(1).get()
        begin = time.perf_counter()
        for reply in [pool.submit(1) for _ in range(jobs)]:
            reply.get()
        return jobs / (time.perf_counter() - begin)


def _pools(scale: Scale) -> Samples:
    jobs = scale.of(JOBS)
    return take_turns(
        {
            "executor": lambda: executor_rate(jobs, WORKERS),
            "loop": lambda: run_on_loop(lambda: rate_on_loop(jobs)),
            "threads": lambda: rate_from_thread(Worker, jobs),
            "loop from a thread": lambda: rate_from_thread(Echo, jobs),
        },
        scale,
    )


MEASURES = (
    Measure(
        name="pool",
        run=_pools,
        pinned=True,
        lines=(
            Line(
                label="pool of 8 loop workers",
                ours="loop",
                floor="executor",
                unit="/s",
                reach=Reach(1.5, at_least=True),
            ),
            Line(
                label="pool of 8 thread workers",
                ours="threads",
                floor="executor",
                unit="/s",
                reach=Reach(0.8, at_least=True),
            ),
            Line(
                label="loop workers, jobs from a thread",
                ours="loop from a thread",
                floor="executor",
                unit="/s",
            ),
        ),
    ),
)
