"""The command line of a benchmark, and the table that it prints.

A line says what the floor and ours took, their ratio, what is to be reached, and whether it is;
`1 CPU` means pinned to one, and the last columns, where there are any, are the same on uvloop.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
from collections.abc import Sequence

import msgspec
from benchmarks.measure import QUICK_ROUNDS, Line, Measure, Reach, Scale, be_child, in_child

QUICK = Scale(rounds=QUICK_ROUNDS, divisor=5)
_HEAD = ("measure", "floor", "ours", "ratio", "reach", "", "uvloop: floor", "ours", "ratio")
_WIDTHS = (58, 13, 13, 8, 9, 6, 13, 12, 8)


def main(
    module: str, measures: Sequence[Measure], about: str | None, *, uvloop: bool = False
) -> int:
    """The command line of a benchmark: take its measures, print them, and say how it went.

    Args:
        module: its name, `benchmarks.tools`; each measure runs in a process of it.
        measures: what it has.
        about: its docstring.
        uvloop: take each measure on uvloop too, where that is installed.

    Returns:
        The exit code; 0: all is reached.
    """
    known = {measure.name: measure for measure in measures}
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=about)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--quick", action="store_true", help="three short rounds")
    parser.add_argument("--only", action="append", choices=known, metavar="NAME", help="of these")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--child", choices=known, help=argparse.SUPPRESS)
    parser.add_argument("--pinned", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--loop", default="asyncio", help=argparse.SUPPRESS)
    given = parser.parse_args()
    scale = QUICK if given.quick else Scale()
    if given.child:
        be_child(known[given.child], scale, pinned=given.pinned, loop=given.loop)
        return 0
    all_found = []
    if not given.json:
        print(f"Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}")
        print(_line(list(_HEAD if uvloop else _HEAD[:6])), flush=True)
    for name in given.only or known:
        for pinned in (False, True) if known[name].pinned else (False,):
            for found in find(module, known[name], scale, pinned=pinned, uvloop=uvloop):
                all_found.append(found)
                if not given.json:
                    print(_row(found), flush=True)
    if given.json:
        print(json.dumps(msgspec.to_builtins(all_found), indent=2))
    return 1 if any(found.passed is False for found in all_found) else 0


class Figures(msgspec.Struct, frozen=True):
    """What one line has found on one loop."""

    ours: float
    floor: float | None

    @property
    def ratio(self) -> float | None:
        """Ours over the floor."""
        return None if self.floor is None else self.ours / self.floor


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table."""

    label: str
    pinned: bool
    unit: str
    figures: Figures
    uvloop: Figures | None
    reach: Reach | None
    passed: bool | None


def find(module: str, measure: Measure, scale: Scale, *, pinned: bool, uvloop: bool) -> list[Found]:
    """Take one measure of `module`, on each loop there is."""
    medians = in_child(measure.name, scale, pinned=pinned, loop="asyncio", module=module)
    on_uvloop = None
    if uvloop and measure.uvloop and importlib.util.find_spec("uvloop"):
        on_uvloop = in_child(measure.name, scale, pinned=pinned, loop="uvloop", module=module)
    found = []
    for line in measure.lines:
        figures = _figures(line, medians)
        reach = (line.pinned or line.reach) if pinned else line.reach
        found.append(
            Found(
                label=line.label,
                pinned=pinned,
                unit=line.unit,
                figures=figures,
                uvloop=None if on_uvloop is None else _figures(line, on_uvloop),
                reach=reach,
                passed=None if reach is None else reach.met(figures.ratio, figures.ours),
            )
        )
    return found


def _figures(line: Line, medians: dict[str, float]) -> Figures:
    return Figures(medians[line.ours], None if line.floor is None else medians[line.floor])


def _row(found: Found) -> str:
    verdict = {None: "", True: "PASS", False: "short"}[found.passed]
    label = found.label + (", 1 CPU" if found.pinned else "")
    reach = "" if found.reach is None else str(found.reach)
    cells = [label, *_cells(found.figures, found.unit), reach, verdict]
    if found.uvloop is not None:
        cells += _cells(found.uvloop, found.unit)
    return _line(cells)


def _cells(figures: Figures, unit: str) -> list[str]:
    floor = "" if figures.floor is None else _figure(figures.floor, unit)
    ratio = "" if figures.ratio is None else f"{figures.ratio:.2f}x"
    return [floor, _figure(figures.ours, unit), ratio]


def _figure(value: float, unit: str) -> str:
    return f"{value:,.0f}{unit}" if unit == "/s" else f"{value:,.2f} {unit}"


def _line(cells: list[str]) -> str:
    first, *rest = (cell.rjust(width) for cell, width in zip(cells, _WIDTHS, strict=False))
    return " ".join([first.strip().ljust(_WIDTHS[0]), *rest]).rstrip()
