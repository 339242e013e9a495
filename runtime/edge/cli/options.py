"""What options of several commands are, and what is said when they are given wrongly."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import click

CONTEXT = {"help_option_names": ["-h", "--help"]}
FILE = click.Path(path_type=Path)


def whole(value: str | int) -> int:
    """Reads a whole number above zero.

    Raises:
        click.BadParameter: it is none.
    """
    try:
        number = int(value)
    except ValueError:
        number = 0
    if number < 1:
        raise click.BadParameter(f"{value!r} is not a whole number above 0")
    return number


def positive(value: str | float) -> float:
    """Reads a number above zero.

    Raises:
        click.BadParameter: it is none.
    """
    try:
        number = float(value)
    except ValueError:
        number = 0.0
    if not 0 < number < math.inf:
        raise click.BadParameter(f"{value!r} is not a number above 0")
    return number


def read_input() -> str:
    """All of standard input; on a terminal it is said how to end it.

    Raises:
        click.UsageError: it cannot be read.
    """
    if sys.stdin.isatty():
        sys.stderr.write("understudy: reading from the terminal; Ctrl-D ends it\n")
    try:
        return sys.stdin.buffer.read().decode("utf-8", errors="replace")
    except OSError as error:
        msg = f"standard input cannot be read: {error.strerror}"
        raise click.UsageError(msg) from error
