"""The kernel's speed as a Markdown table, on one kind of event loop (see also `speed.py`).

    python -m benchmarks.kernel [--quick] [--only NAME] [--uvloop]

Each row: what the floor and ours took (medians of five rounds in which they took turns, in a
process of their own), the ratio, the target, and whether it is reached. `1 CPU` means pinned to
one. The loop is asyncio's own, also in the thread of a Runtime and also where uvloop is installed;
`--uvloop` puts floors and ours on uvloop. Exit code 0: every target is reached.

The load of the machine is printed before and after: what crosses threads waits for a CPU, so with
more at work than there are CPUs these rows say more about the machine than about us.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import os
import platform
import subprocess
import sys

import msgspec
from benchmarks.measure import Line, Measure, Reach, Samples, Scale, be_child, in_child, run_on_loop
from benchmarks.speed import MEASURES
from benchmarks.table import QUICK

from understudy import Actor, Runtime


class WhichLoop(Actor):
    """Says which event loop it runs on."""

    async def on_receive(self, message: str) -> str:
        """The class of the loop, behind `message`."""
        return message + _kind()


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table."""

    label: str
    unit: str
    ours: float
    floor: float | None
    reach: Reach | None

    @property
    def ratio(self) -> float | None:
        """Ours over the floor."""
        return None if self.floor is None else self.ours / self.floor

    @property
    def reached(self) -> bool:
        """Whether the target is reached; a row without one is not judged."""
        return self.reach is None or self.reach.met(self.ratio, self.ours)

    def __str__(self) -> str:
        cells = [
            self.label,
            "" if self.floor is None else _figure(self.floor, self.unit),
            _figure(self.ours, self.unit),
            "" if self.ratio is None else f"{self.ratio:.2f}x",
            "" if self.reach is None else str(self.reach),
            "" if self.reach is None else "ok" if self.reached else "**short**",
        ]
        return f"| {' | '.join(cells)} |"


def rows(measure: Measure, scale: Scale, *, pinned: bool, loop: str) -> list[Row]:
    """Take one measure."""
    medians = in_child(measure.name, scale, pinned=pinned, loop=loop)
    return [
        Row(
            label=line.label + (", 1 CPU" if pinned else ""),
            unit=line.unit,
            ours=medians[line.ours],
            floor=None if line.floor is None else medians[line.floor],
            reach=_reach(line, pinned=pinned),
        )
        for line in measure.lines
    ]


def _reach(line: Line, *, pinned: bool) -> Reach | None:
    return (line.pinned or line.reach) if pinned else line.reach


def _figure(value: float, unit: str) -> str:
    return f"{value:,.0f}{unit}" if unit == "/s" else f"{value:,.2f} {unit}"


def loops(loop: str) -> list[str]:
    """The loops that a process of a measure runs, asked in one: a Runtime's and a floor's."""
    command = [sys.executable, "-m", "benchmarks.kernel", "--which-loop", loop]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)  # noqa: S603 - ourselves
    return sorted(json.loads(done.stdout))


def _which_loop(scale: Scale) -> Samples:
    del scale
    names: list[str] = []

    async def hosted() -> float:
        names.append(f"floors and hosted runtimes: {_kind()}")
        return 0.0

    run_on_loop(hosted)
    with Runtime() as rt:
        names.append(rt.spawn(WhichLoop).ask("runtimes of a thread: "))
    return {name: [] for name in names}


def _kind() -> str:
    kind = type(asyncio.get_running_loop())
    return f"{kind.__module__}.{kind.__qualname__}"


def _load() -> str:
    return f"load {os.getloadavg()[0]:.1f}"


def _options(names: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kernel", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--quick", action="store_true", help="three short rounds")
    parser.add_argument("--only", action="append", choices=names, metavar="NAME", help="of these")
    parser.add_argument("--uvloop", action="store_true", help="floors and ours on uvloop")
    parser.add_argument("--which-loop", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.uvloop and importlib.util.find_spec("uvloop") is None:
        parser.error("--uvloop needs uvloop: pip install 'understudy[fast]'")
    return given


def main() -> int:
    """Print it all."""
    known = {measure.name: measure for measure in MEASURES}
    given = _options(list(known))
    if given.which_loop:
        which = Measure(name="loop", run=_which_loop, lines=())
        be_child(which, Scale(), pinned=False, loop=given.which_loop)
        return 0
    scale, loop = QUICK if given.quick else Scale(), "uvloop" if given.uvloop else "asyncio"
    print(f"Python {platform.python_version()}, {os.cpu_count()} CPUs, {_load()}")
    print(f"{'; '.join(loops(loop))}\n")
    print("| measure | floor | ours | ratio | target | |\n|---|---|---|---|---|---|", flush=True)
    judged: list[bool] = []
    for name in given.only or known:
        for pinned in (False, True) if known[name].pinned else (False,):
            for row in rows(known[name], scale, pinned=pinned, loop=loop):
                print(row, flush=True)
                judged += [] if row.reach is None else [row.reached]
    print(f"\n{sum(judged)} of {len(judged)} targets reached; {_load()}")
    return 0 if all(judged) else 1


if __name__ == "__main__":
    sys.exit(main())
