"""`understudy doctor`: the performance guide's checklist against a configuration.

Nothing is run and nobody is asked: it reads the file and the environment, as a daemon would at its
start. Advice is no failure, so the exit code is 0 whatever is to be changed.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from rich.console import RenderableType
from rich.text import Text

from understudy.messages.codec import encode_json
from understudy.runtime.config.load import load_config
from understudy.runtime.edge.cli import EXIT_FAILED
from understudy.runtime.edge.cli.output import write
from understudy.runtime.edge.cli.page import columns, render
from understudy.runtime.edge.doctor.checklist import judge
from understudy.runtime.edge.doctor.point import DoctorReport, Point
from understudy.runtime.graph import check_workflow

USUAL = Path("understudy.toml")
"""Read when no file is named, if it is there."""
STYLES = {"ok": "green", "change": "yellow", "unknown": "dim"}
WORDS = {"ok": "ok", "change": "change", "unknown": "not judged"}


def execute(file: Path | None, *, as_json: bool) -> int:
    """Judge, and print.

    Raises:
        ConfigError: the configuration is wrong, with everything that is.
    """
    if file is None and USUAL.is_file():
        file = USUAL
    source = "the environment and the defaults" if file is None else str(file)
    report = judge(load_config(file or "", os.environ, check=check_workflow), source)
    wrong = write(encode_json(report, max_size=1 << 24) + b"\n" if as_json else _page(report))
    if wrong:
        sys.stderr.write(f"understudy: {wrong}\n")
        return EXIT_FAILED
    return 0


def _page(report: DoctorReport) -> bytes:
    head = Text(
        f"The performance guide's checklist against {report.source}: {report.ok} ok, "
        f"{report.change} to change, {report.unknown} that a configuration does not decide",
        style="bold",
    )
    parts: list[RenderableType] = [head]
    for point in report.points:
        parts += ["", *_shown(point)]
    return render(*parts)


def _shown(point: Point) -> list[RenderableType]:
    title = Text(f"{point.number:2}. {point.title}: ")
    title.append(WORDS[point.verdict], style=STYLES[point.verdict])
    table = columns("", "", "", left=3)
    rows = [("found", each) for each in point.found]
    rows += [("guide", point.recommended)]
    rows += [("change", str(change)) for change in point.changes]
    rows += [("decided", point.elsewhere)] if point.elsewhere else []
    before = ""
    for label, text in rows:
        style = STYLES["change"] if label == "change" else ""
        table.add_row("  ", "" if label == before else label.ljust(7), Text(text, style=style))
        before = label
    return [title, table]
