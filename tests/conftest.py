"""Fixtures that every test may ask for, and how hypothesis runs."""

import asyncio
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings

from understudy.actors.kernel.reply import Reply
from understudy.messages.chat import Message

# Built on the profile in force, so that a CI run stays deterministic. A deadline for one example
# would be an assertion about the wall clock of a machine that does other things too.
settings.register_profile("house", settings.default, deadline=None)
settings.load_profile("house")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts what it puts into the background so; children would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio alone: the loop dispatcher is built on it."""
    return "asyncio"


class Gate:
    """A function for `FakeModel` (or a step) that waits until it is opened, from any thread."""

    def __init__(self) -> None:
        self.arrived = 0
        self.peak = 0
        self.cancelled = 0
        self._waiting: list[Reply[str]] = []
        self._changed = threading.Condition()

    async def __call__(self, messages: tuple[Message, ...] | str = "") -> str:
        """Wait, and say what `open` says."""
        reply: Reply[str] = Reply()
        with self._changed:
            self.arrived += 1
            self._waiting.append(reply)
            self.peak = max(self.peak, len(self._waiting))
            self._changed.notify_all()
        try:
            return await reply
        except asyncio.CancelledError:
            with self._changed:
                self.cancelled += 1
                self._waiting.remove(reply)
                self._changed.notify_all()
            raise

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def open(self, text: str = "open", count: int = 1) -> None:
        """Let the `count` that came first go on."""
        for _ in range(count):
            with self._changed:
                reply = self._waiting.pop(0)
            reply.set(text)

    def until(self, *, arrived: int = 0, waiting: int = 0, cancelled: int = 0) -> None:
        """Block until as many have arrived in all, wait at this moment, and were cancelled."""
        with self._changed:
            assert self._changed.wait_for(
                lambda: (
                    self.arrived >= arrived
                    and len(self._waiting) >= waiting
                    and self.cancelled >= cancelled
                ),
                timeout=10,
            ), f"{self.arrived} arrived, {len(self._waiting)} wait, {self.cancelled} cancelled"

    async def auntil(self, *, arrived: int = 0, waiting: int = 0, cancelled: int = 0) -> None:
        """The twin of `until`, for tests on the loop that does the work."""
        async with asyncio.timeout(10):
            while (  # noqa: ASYNC110 - what it waits for happens on other threads too
                self.arrived < arrived or len(self._waiting) < waiting or self.cancelled < cancelled
            ):
                await asyncio.sleep(0)


async def turns(count: int = 40) -> None:
    """Let the loop turn."""
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.fixture
def gate() -> Gate:
    """Something to wait at."""
    return Gate()


Lines = Callable[[Callable[[], Any]], int]


@pytest.fixture
def lines_of() -> Lines:
    """Counts the lines that a call runs on this thread: its work, whatever the machine is at."""

    def count(work: Callable[[], Any]) -> int:
        lines = 0

        def trace(_frame: object, event: str, _argument: object) -> Any:
            nonlocal lines
            lines += event == "line"
            return trace

        outer = sys.gettrace()
        sys.settrace(trace)
        try:
            work()
        finally:
            sys.settrace(outer)
        return lines

    return count
