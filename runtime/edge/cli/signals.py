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


@contextmanager
def held_back() -> Iterator[None]:
    """SIGINT and SIGTERM wait for the end of the block: what it begins has an owner then."""
    came: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda it, _: came.append(it)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
    if came:
        signal.raise_signal(came[0])


def next_one_ends_the_process() -> None:
    """From now on SIGINT and SIGTERM do what they do in a process that does not care."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
