"""What actors cost: to make and end, one by one and in crowds."""

from __future__ import annotations

import time
from functools import partial

from benchmarks.floors import pykka_spawn
from benchmarks.measure import Line, Measure, Reach, Samples, Scale, in_us, run_on_loop, take_turns
from benchmarks.speed_loop import Echo

from understudy import Runtime

CROWD = 100_000


# -- made and ended --------------------------------------------------------------------------------


async def spawn_on_loop(count: int) -> float:
    """Make an actor and await its end."""
    async with Runtime() as rt:
        begin = time.perf_counter()
        for _ in range(count):
            ref = await rt.aspawn(Echo)
            await ref.stop()
        return (time.perf_counter() - begin) / count


def spawn_from_thread(count: int) -> float:
    """The same from another thread."""
    with Runtime() as rt:
        begin = time.perf_counter()
        for _ in range(count):
            rt.spawn(Echo).stop().get()
        return (time.perf_counter() - begin) / count


def _spawns(scale: Scale) -> Samples:
    found = take_turns(
        {
            "pykka": lambda: pykka_spawn(scale.of(1_000)),
            "loop": lambda: run_on_loop(lambda: spawn_on_loop(scale.of(10_000))),
            "thread": lambda: spawn_from_thread(scale.of(2_000)),
        },
        scale,
    )
    return in_us(found)


# -- in crowds -------------------------------------------------------------------------------------


async def crowd_seconds(size: int) -> float:
    """All made, told once, stopped."""
    async with Runtime() as rt:
        begin = time.perf_counter()
        refs = [await rt.aspawn(Echo) for _ in range(size)]
        for ref in refs:
            ref.tell(1)
        ends = [ref.stop() for ref in refs]
        for end in ends:
            await end
        taken = time.perf_counter() - begin
        ledger = rt.ledger
        if (ledger.handled, len(refs)) != (size, size) or not ledger.balanced:
            raise AssertionError(f"{size} were told once: {ledger}")
        return taken


def _crowds(scale: Scale) -> Samples:
    large = scale.of(CROWD)
    found = take_turns(
        {
            name: partial(run_on_loop, partial(crowd_seconds, size))
            for name, size in {"small": large // 5, "large": large}.items()
        },
        scale,
    )
    return {
        "seconds": [value * CROWD / large for value in found["large"]],
        "each of few": [value / (large // 5) * 1e6 for value in found["small"]],
        "each of many": [value / large * 1e6 for value in found["large"]],
    }


MEASURES = (
    Measure(
        name="spawn",
        run=_spawns,
        pinned=True,
        lines=(
            Line(
                label="spawn + stop, awaited on the loop",
                ours="loop",
                floor="pykka",
                reach=Reach(1 / 12),
            ),
            Line(
                label="spawn + stop, from a thread",
                ours="thread",
                floor="pykka",
                reach=Reach(1 / 1.5),
                pinned=Reach(1 / 2.5),
            ),
        ),
    ),
    Measure(
        name="crowd",
        run=_crowds,
        lines=(
            Line(
                label="100,000 made, told, stopped",
                ours="seconds",
                unit="s",
                reach=Reach(4.0, absolute=True),
            ),
            Line(
                label="each, at 100,000 over at 20,000",
                ours="each of many",
                floor="each of few",
                reach=Reach(1.5),
            ),
        ),
    ),
)
