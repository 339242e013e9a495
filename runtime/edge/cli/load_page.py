"""The report of a load test as people read it: counts, percentiles, bars, kinds of errors."""

from __future__ import annotations

import math

from rich.console import RenderableType
from rich.text import Text

from understudy.messages.codec import encode_json
from understudy.runtime.edge.cli.page import columns, render, seconds
from understudy.runtime.edge.load.plan import Plan
from understudy.runtime.edge.load.tally import PARTS, LoadReport, Part

BAR = 40
ROWS = 16
CLOSED = (
    "Latency counts from when a request was sent. In a closed loop a stall delays the asking too "
    "and hides what would have come meanwhile; --rate does not."
)
OPEN = "Latency counts from when a request was due, whether or not an agent was free to send it."


def asked(plan: Plan) -> str:
    """A plan in words."""
    parts = [f"{plan.agents:,} agent{'s' if plan.agents > 1 else ''}"]
    if plan.requests is not None:
        parts.append(f"{plan.requests:,} request{'s' if plan.requests > 1 else ''} each")
    if plan.rate is not None:
        parts.append(f"{plan.rate:,g} requests a second in all")
    if plan.duration is not None:
        parts.append(f"for {plan.duration:,g} s")
    return ", ".join(parts)


def as_json(report: LoadReport) -> bytes:
    """The report as one line of JSON; times in seconds."""
    return encode_json(report, max_size=1 << 24) + b"\n"


def load_page(plan: Plan, report: LoadReport) -> bytes:
    """The report as a page."""
    head = Text(f"{report.loop} loop: {asked(plan)}; model {report.model}")
    parts: list[RenderableType] = [head]
    if not report.finished:
        parts.append(Text("interrupted: this is what there is", style="yellow"))
    parts += ["", _counts(report), ""]
    if report.latency.most:
        parts += [_times(report), "", _histogram(report.histogram), ""]
    if report.errors:
        table = columns("errors", "", "the first of them said")
        table.columns[2].justify, table.columns[2].no_wrap = "left", False
        for kind, count in report.errors.items():
            table.add_row(kind, f"{count:,}", report.said[kind])
        parts += [table, ""]
    parts.append(Text(_note(report), style="dim"))
    return render(*parts)


def _counts(report: LoadReport) -> RenderableType:
    table = columns("", "")
    table.add_row("answered", f"{report.answered:,}")
    table.add_row("failed", Text(f"{report.failed:,}", style="red" if report.failed else ""))
    table.add_row("unanswered at the end", f"{report.unanswered:,}")
    table.add_row("seconds", f"{report.duration:,.2f}")
    table.add_row("answers a second", f"{report.throughput:,.1f}")
    estimated = "" if report.usage.measured else " (estimated)"
    table.add_row("tokens" + estimated, f"{report.usage.total_tokens:,}")
    return table


def _times(report: LoadReport) -> RenderableType:
    rows = {"latency": report.latency}
    if report.loop == "open":
        rows["of it since sent"] = report.service
    table = columns("", "p50", "p95", "p99", "p99.9", "max", "mean")
    for name, times in rows.items():
        shown = (times.p50, times.p95, times.p99, times.p999, times.most, times.mean)
        table.add_row(name, *map(seconds, shown))
    return table


def _histogram(parts: tuple[Part, ...]) -> RenderableType:
    """Bars, as fine as `ROWS` of them allow."""
    counts = {_place(part): part.count for part in parts}
    joined = 1
    while max(counts) // joined - min(counts) // joined >= ROWS and joined < PARTS:
        joined *= 2
    rows: dict[int, int] = {}
    for place, count in counts.items():
        rows[place // joined] = rows.get(place // joined, 0) + count
    most = max(rows.values())
    table = columns("up to", "requests", "")
    table.columns[0].justify, table.columns[2].justify = "right", "left"
    for row in range(min(rows), max(rows) + 1):
        count = rows.get(row, 0)
        bar = "#" * max(1 if count else 0, round(BAR * count / most))
        table.add_row(seconds(_begin((row + 1) * joined)), f"{count:,}", bar)
    return table


def _place(part: Part) -> int:
    """Where a part stands among all: so many for each doubling of microseconds."""
    mantissa, exponent = math.frexp(max(1, round(part.above * 1e6)))
    return exponent * PARTS + int((mantissa - 0.5) * 2 * PARTS)


def _begin(place: int) -> float:
    """The inverse of `_place`, in seconds."""
    exponent, step = divmod(place, PARTS)
    return math.ldexp(0.5 + step / (2 * PARTS), exponent) / 1e6


def _note(report: LoadReport) -> str:
    if report.loop == "closed":
        return CLOSED
    left = " What was due and had no answer at the end counts with what it had waited."
    return OPEN + (left if report.unanswered else "")
