"""`understudy bench`: what this machine makes of it, in a few seconds."""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
from rich.console import Console, RenderableType
from rich.text import Text

from understudy import __version__
from understudy.messages.codec import encode_json
from understudy.runtime.edge.bench.memory import Weight, weigh
from understudy.runtime.edge.bench.speed import Row, measure
from understudy.runtime.edge.cli import EXIT_FAILED
from understudy.runtime.edge.cli.output import write
from understudy.runtime.edge.cli.page import columns, moving, render, seconds
from understudy.runtime.edge.cli.signals import terminable

SPEED_NOTE = (
    "CPU time of one thread, the median of five rounds that take turns. Machines differ and are "
    "noisy: the ratio to the floor, the same work with asyncio alone, is what can be compared."
)
MEMORY_NOTE = (
    "Bytes for each, while that many are there at once: allocated as tracemalloc counts it, and "
    "growth of the resident set, each in a process of its own."
)


class BenchReport(msgspec.Struct, frozen=True, kw_only=True):
    """What `--json` prints: the machine, and either `speed` or `memory`; times in seconds."""

    version: str
    python: str
    system: str
    cpus: int
    speed: tuple[Row, ...] = ()
    memory: tuple[Weight, ...] = ()


def execute(*, memory: bool, as_json: bool, divisor: int = 1) -> int:
    """Measure and print.

    Args:
        memory: what things weigh, instead of what they cost.
        as_json: one object, for programs.
        divisor: does less of everything; figures are worth less, too.

    Raises:
        UnderstudyError: something could not be measured.
    """
    logging.getLogger("understudy").addHandler(logging.NullHandler())
    with terminable(), _telling() as told:
        speed: list[Row] = []
        weights: list[Weight] = []
        if memory:
            told("memory, in two processes")
            weights = weigh(divisor)
        else:
            speed = asyncio.run(measure(time.process_time, divisor=divisor, told=told))
    report = BenchReport(
        version=__version__,
        python=f"{platform.python_implementation()} {platform.python_version()}",
        system=f"{platform.system()} {platform.machine()}",
        cpus=os.cpu_count() or 1,
        speed=tuple(speed),
        memory=tuple(weights),
    )
    wrong = write(encode_json(report, max_size=1 << 20) + b"\n" if as_json else _page(report))
    if wrong:
        sys.stderr.write(f"understudy: {wrong}\n")
        return EXIT_FAILED
    return 0


@contextmanager
def _telling() -> Iterator[Callable[[str], None]]:
    """Says what is measured, on standard error: one line that changes on a terminal."""
    console = Console(file=sys.stderr, highlight=False, soft_wrap=True)
    if not moving(console):
        yield lambda what: console.print(f"measuring: {what}", markup=False)
        return
    with console.status("measuring") as status:
        yield lambda what: status.update(f"measuring: {what}")


def _page(report: BenchReport) -> bytes:
    head = f"understudy {report.version}, {report.python}, {report.system}, {report.cpus} CPUs"
    table = _speeds(report.speed) if report.speed else _weights(report.memory)
    note = SPEED_NOTE if report.speed else MEMORY_NOTE
    parts: list[RenderableType] = [Text(head), "", table, "", Text(note, style="dim")]
    return render(*parts)


def _speeds(rows: tuple[Row, ...]) -> RenderableType:
    table = columns("", "each", "a second", "floor", "ratio", "floor of")
    table.columns[5].justify = "left"
    for row in rows:
        table.add_row(
            row.name,
            seconds(row.seconds),
            f"{1 / row.seconds:,.0f}" if row.seconds else "",
            seconds(row.floor_seconds),
            f"{row.ratio:.1f}x",
            row.floor,
        )
    return table


def _weights(weights: tuple[Weight, ...]) -> RenderableType:
    table = columns("", "held", "allocated", "resident")
    for each in weights:
        table.add_row(each.kind, f"{each.count:,}", _size(each.traced), _size(each.resident))
    return table


def _size(value: float | None) -> str:
    if value is None:
        return "not told here"
    return f"{value:,.0f} B" if value < 1024 else f"{value / 1024:,.1f} KiB"
