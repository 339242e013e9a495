"""How floors and ours are measured side by side, and how the result is judged.

A measure runs in a process of its own, on all CPUs or pinned to one, on the standard event loop or
on uvloop: what one leaves behind (threads, memory, a warm allocator) never helps or harms the next.
Inside it the contenders take turns, in alternating order, so that noise of the machine meets all of
them; what counts is the median of the rounds, and the ratio of ours to its floor.

Why a process for each and not a fixture: affinity and the choice of a loop belong to a process.
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

ROUNDS = 5
QUICK_ROUNDS = 3

Samples = Mapping[str, list[float]]
"""What each contender took, a figure for each round."""


class Scale(msgspec.Struct, frozen=True):
    """How long to measure: the rounds, and a part of each measure's size."""

    rounds: int = ROUNDS
    divisor: int = 1

    def of(self, size: int) -> int:
        """`size`, or the part of it that is enough for a quick look."""
        return max(1, size // self.divisor)


class Reach(msgspec.Struct, frozen=True):
    """What is to be reached: a bound on ours over its floor, or on ours itself."""

    bound: float
    at_least: bool = False
    absolute: bool = False

    def met(self, ratio: float | None, ours: float) -> bool:
        """Whether it is reached."""
        value = ours if self.absolute or ratio is None else ratio
        return value >= self.bound if self.at_least else value <= self.bound

    def __str__(self) -> str:
        sign = ">=" if self.at_least else "<="
        return f"{sign} {self.bound:.3g}" + ("" if self.absolute else "x")


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table: which contender is ours, which its floor, and what is to be reached.

    A line without `reach` is printed beside the others and not judged.
    """

    label: str
    ours: str
    floor: str | None = None
    unit: str = "us"
    reach: Reach | None = None
    pinned: Reach | None = None
    """The reach when pinned to one CPU, where it is another."""


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """Contenders that run in one process, and the lines that they fill.

    Attributes:
        run: measures all contenders; called in the process of the measure.
        pinned: also measured on one CPU.
        uvloop: also measured on uvloop, where that is installed.
    """

    name: str
    run: Callable[[Scale], Samples]
    lines: tuple[Line, ...]
    pinned: bool = False
    uvloop: bool = True


def take_turns(contenders: Mapping[str, Callable[[], float]], scale: Scale) -> Samples:
    """Run the contenders in rounds, forwards and backwards."""
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(scale.rounds):
        for name in list(contenders)[:: 1 if turn % 2 == 0 else -1]:
            gc.collect()
            found[name].append(contenders[name]())
    return found


def in_us(samples: Samples) -> Samples:
    """Seconds as microseconds."""
    return {name: [value * 1e6 for value in values] for name, values in samples.items()}


def in_child(
    measure: str, scale: Scale, *, pinned: bool, loop: str, module: str = "benchmarks.speed"
) -> dict[str, float]:
    """The medians of one measure, taken in a fresh process of `module`."""
    command = [sys.executable, "-m", module, "--child", measure, "--loop", loop]
    command += ["--pinned"] * pinned + ["--quick"] * (scale.divisor > 1)
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)  # noqa: S603 - ourselves
    samples: dict[str, list[float]] = json.loads(done.stdout)
    return {name: statistics.median(values) for name, values in samples.items()}


def be_child(measure: Measure, scale: Scale, *, pinned: bool, loop: str) -> None:
    """Take the measure here and print its samples: what `in_child` reads."""
    if pinned:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    if loop == "asyncio":
        # The runtime takes uvloop where it is installed: here it shall not find it.
        sys.modules["uvloop"] = None  # type: ignore[assignment]
    json.dump(measure.run(scale), sys.stdout)


def run_on_loop(main: Callable[[], Any]) -> float:  # Any: a coroutine of a float
    """`asyncio.run` on the loop that this process measures."""
    import asyncio

    try:
        import uvloop
    except ImportError:
        factory = asyncio.new_event_loop
    else:
        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        result: float = runner.run(main())
        return result
