"""A page for standard output, as bytes, with colours only where they are wanted.

Columns stand beside each other without rules, so that a page is plain text that other programs can
cut. Text is never narrower than `NARROWEST`, a table of figures never narrower than `FIGURES`: on a
narrower terminal lines run over, and nothing is left out. A mark that the terminal's encoding does
not have is written as its escape.
"""

from __future__ import annotations

import io
import sys

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

NARROWEST = 60
FIGURES = 80
WIDEST = 110


def render(*parts: RenderableType) -> bytes:
    """The page, as standard output would show it."""
    outside = Console(file=sys.stdout)  # knows NO_COLOR, COLUMNS and what a terminal can do
    console = Console(
        file=io.StringIO(),
        width=NARROWEST,
        force_terminal=outside.is_terminal,
        no_color=outside.no_color,
        highlight=False,
        markup=False,
        emoji=False,
    )
    with console.capture() as captured:
        for part in parts:
            figures = isinstance(part, Table) and any(each.no_wrap for each in part.columns)
            console.width = max(FIGURES if figures else NARROWEST, min(WIDEST, outside.width))
            console.print(part)
    lines = (line.rstrip() for line in captured.get().split("\n"))
    return "\n".join(lines).encode(sys.stdout.encoding or "utf-8", errors="backslashreplace")


def moving(console: Console) -> bool:
    """Whether what changes may be shown: on a terminal that can, and not where colours are forced.

    Args:
        console: of standard error.
    """
    return sys.stderr.isatty() and console.is_interactive


def columns(*headings: str, left: int = 1, title: str = "") -> Table:
    """A table without rules: the first `left` columns to the left, numbers to the right."""
    table = Table(
        box=None,
        padding=(0, 2, 0, 0),
        show_header=any(headings),
        title=Text(title, style="bold") if title else None,
        title_justify="left",
        header_style="dim",
    )
    for index, heading in enumerate(headings):
        justify = "left" if index < left else "right"
        table.add_column(heading, justify=justify, overflow="fold", no_wrap=index >= left)  # type: ignore[arg-type]
    return table


def seconds(value: float) -> str:
    """A time in the unit that suits it, three figures."""
    units = (("s", 1.0), ("ms", 1e-3), ("us", 1e-6))
    unit, size = next((each for each in units if value >= each[1]), units[-1])
    number = value / size
    places = 2 if number < 10 else 1 if number < 100 else 0
    return f"{number:,.{places}f} {unit}" if value else "0"
