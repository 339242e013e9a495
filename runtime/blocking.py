"""Blocking a thread on the outcome of work, so that Ctrl-C is heard meanwhile.

See `PULSE` for why a main thread must not just sleep. Other threads take no signals, and looking
around ten times a second costs them nothing that could be measured.
"""

from __future__ import annotations

from concurrent.futures import Future
from typing import TypeVar

from understudy.actors.kernel.parking import PULSE

T = TypeVar("T")


def result_of(future: Future[T]) -> T:
    """Block for the result, or raise what the work has raised."""
    while True:
        try:
            return future.result(PULSE)
        except TimeoutError:
            if future.done():  # then it is the work's own
                raise
