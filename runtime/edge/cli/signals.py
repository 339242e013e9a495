"""SIGTERM as an exception of the main thread, as Python does it with SIGINT."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class TerminatedError(BaseException):
    """SIGTERM came; like `KeyboardInterrupt`, it is nobody's ordinary failure."""


@contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM raises `TerminatedError` in the main thread for as long as the block lasts."""

    def terminate(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise TerminatedError

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def next_one_ends_the_process() -> None:
    """From now on SIGINT and SIGTERM do what they do in a process that does not care."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
