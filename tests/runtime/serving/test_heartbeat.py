"""A sign of life stands for a message that went round, and for nothing less."""

import asyncio

import pytest

from understudy import Actor, Runtime, child
from understudy.runtime.serving.heartbeat import Beat, Echo, Heart
from understudy.testing import ManualClock

pytestmark = pytest.mark.anyio


async def settle() -> None:
    """Let everything that is ready run."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_beat_for_each_interval() -> None:
    """One for each time that the answer came."""
    clock, beats = ManualClock(), []
    async with Runtime(clock=clock) as rt:
        echo = await rt.aspawn(Echo)
        await rt.aspawn(child(Heart, echo, 1.0, lambda: beats.append(clock.now())))
        for _ in range(3):
            clock.advance(1.0)
            await settle()
    assert len(beats) == 3


async def test_no_beat_without_an_answer() -> None:
    """Timers ring and the loop turns, but whoever was asked is stuck: no sign of life."""
    stuck = asyncio.Event()

    class Stuck(Actor):
        async def on_receive(self, message: Beat) -> Beat:
            await stuck.wait()
            return message

    clock, beats = ManualClock(), []
    async with Runtime(clock=clock) as rt:
        echo = await rt.aspawn(Stuck)
        await rt.aspawn(child(Heart, echo, 1.0, lambda: beats.append(clock.now())))
        for _ in range(5):
            clock.advance(1.0)
            await settle()
        assert beats == []
        stuck.set()
        await settle()
        clock.advance(1.0)
        await settle()
        assert beats
        assert not rt.system.failures, (
            "it goes on looking: a heart that is parked never beats again"
        )
