"""Steps for workflows: they answer at once, later, never, or fail."""

import asyncio
from typing import Any

from understudy import Agent, ServerError
from understudy.testing import FakeModel

ECHO = Agent(FakeModel.echo(), name="echo")


def shout(value: str) -> str:
    """Upper case."""
    return value.upper()


async def never(value: Any) -> None:
    """Wait until it is cancelled."""
    del value
    await asyncio.Event().wait()


async def pass_on(value: Any) -> Any:
    """Give what it was given, a little later."""
    await asyncio.sleep(0)
    return value


def broken(value: Any) -> None:
    """Fail."""
    raise ValueError(str(value))


class Flaky:
    """Fails so many times first."""

    def __init__(self, failures: int, error: Exception | None = None) -> None:
        self.calls = 0
        self.failures = failures
        self.error = error or ServerError("down", retryable=True)

    async def __call__(self, value: Any) -> str:
        self.calls += 1
        if self.calls <= self.failures:
            raise self.error
        return f"{value} after {self.calls}"


async def add(value: str) -> str:
    """One letter more, at most four."""
    return (value + "x")[:4]
