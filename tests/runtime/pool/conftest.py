"""A runtime whose time the test moves, workers that do as they are told, and ways to wait."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from understudy import Actor, Runtime
from understudy.testing import ManualClock


class Hand(Actor):
    """Does what it is sent: waits for an event, raises an error, calls a function, or answers."""

    async def on_receive(self, message: Any) -> Any:
        if isinstance(message, asyncio.Event):
            await message.wait()
            return "waited"
        if isinstance(message, BaseException):
            raise message
        return message(self) if callable(message) else message


class ThreadHand(Actor):
    """As `Hand`, on a thread."""

    def on_receive(self, message: Any) -> Any:
        if isinstance(message, threading.Event):
            message.wait(timeout=20)
            return "waited"
        if isinstance(message, BaseException):
            raise message
        return message(self) if callable(message) else message


async def until(condition: Callable[[], object]) -> None:
    """Let the loop turn until `condition` holds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - turns of the loop are what it waits for
            await asyncio.sleep(0)


async def let_pass(clock: ManualClock, seconds: float) -> None:
    """Let time pass, and what rings be done."""
    clock.advance(seconds)
    for _ in range(40):
        await asyncio.sleep(0)


@pytest.fixture
def clock() -> ManualClock:
    """Time that the test moves."""
    return ManualClock()


@pytest.fixture
async def rt(clock: ManualClock) -> AsyncIterator[Runtime]:
    """A runtime whose time the test moves; its account balances before its end and after."""
    made = Runtime(clock=clock, seed=3)
    await made.__aenter__()
    yield made
    before = made.ledger
    await made.astop(drain=False)  # whose time stands still would drain for ever
    assert before.balanced, before
    assert made.ledger.balanced, made.ledger
    assert not made.ledger.queued + made.ledger.stashed + made.ledger.running
