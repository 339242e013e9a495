"""What the demos share: their switches, and a claim beside what was measured.

A demo is a function from `Switches` to claims, and ends with `main("Heading", function)`. The
verdict is computed from what was measured in this run, never written down beforehand.
"""

from __future__ import annotations

import argparse
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypeVar

import msgspec

T = TypeVar("T")
Verdict = Literal["holds", "in part", "does not hold", "not judged", "no figure"]


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """One claim of the guide: its words, what was measured, whether it holds, and how we know."""

    claimed: str
    measured: str
    verdict: Verdict
    how: str


class Switches(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line says: a model that takes the fake's place, and small sizes."""

    model: str | None = None
    quick: bool = False

    def model_or(self, fake: Any) -> Any:  # Any: a model's name, or a model object
        """The model of `--model`, else the one that the demo brought."""
        return self.model or fake

    def size(self, full: int, quick: int) -> int:
        """How many."""
        return quick if self.quick else full

    def seconds(self, full: float, quick: float) -> float:
        """How long."""
        return quick if self.quick else full


def judged(true: bool) -> Verdict:  # noqa: FBT001 - a sentence: judged(ratio > 2)
    """The verdict where there is only yes or no."""
    return "holds" if true else "does not hold"


def seconds(work: Callable[[], object]) -> float:
    """How long it takes, by the clock."""
    return _clocked(work, time.perf_counter)


def cpu_seconds(work: Callable[[], object]) -> float:
    """CPU time of this process, all threads: other programs disturb it less than the clock."""
    return _clocked(work, time.process_time)


def in_turns(
    contenders: Mapping[T, Callable[[], object]],
    rounds: int,
    measure: Callable[[Callable[[], object]], float] = seconds,
) -> dict[T, float]:
    """The best of a few rounds for each; they take turns, so that noise meets all of them."""
    taken: dict[T, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, work in contenders.items():
            taken[name].append(measure(work))
    return {name: min(times) for name, times in taken.items()}


def peak_mib(work: Callable[[], object]) -> float:
    """The most memory that Python held on top of what it held before, in MiB (tracemalloc)."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return max(0, peak - before) / 2**20


def main(
    heading: str, claims: Callable[[Switches], Iterable[Claim]], *, asks_model: bool = True
) -> None:
    """Read the switches, measure, and print the claims: as text, or as JSON with `--json`."""
    parser = argparse.ArgumentParser(description=f"{heading}: what is claimed, what is measured.")
    parser.add_argument("--model", help="ask this model, such as openai:gpt-5-mini, not the fake")
    parser.add_argument("--quick", action="store_true", help="small sizes: does it run?")
    parser.add_argument("--json", action="store_true", help="print the claims as JSON")
    given = parser.parse_args()
    if given.model and not asks_model:
        print(f"{heading}: no model is asked here, so --model changes nothing", file=sys.stderr)
    found = list(claims(Switches(model=given.model, quick=given.quick)))
    if given.model and asks_model:
        note = f"; {given.model} was asked instead of a fake"
        found = [msgspec.structs.replace(each, how=each.how + note) for each in found]
    if given.json:
        sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
        return
    print(heading)
    for claim in found:
        for name in claim.__struct_fields__:
            print(f"  {name:<9} {getattr(claim, name)}")
        print()


def _clocked(work: Callable[[], object], clock: Callable[[], float]) -> float:
    begin = clock()
    work()
    return clock() - begin
