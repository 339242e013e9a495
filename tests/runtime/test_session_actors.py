"""The actors behind sessions: busy with one, let go when idle, made again."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from understudy import Agent, Runtime
from understudy.testing import FakeModel, ManualClock

pytestmark = pytest.mark.anyio


def test_an_actor_of_a_session_serves_nobody_else(runtime: Runtime, gate: Any) -> None:
    """Also after a turn that was cancelled while it waited for it."""
    agent = Agent(FakeModel(gate))
    busy = agent.submit("1", session="s", runtime=runtime)
    waiting = agent.submit("2", session="s", runtime=runtime)
    gate.until(waiting=1)
    waiting.cancel()
    others = [agent.submit("x", runtime=runtime) for _ in range(3)]
    gate.until(waiting=4)
    gate.open(count=4)
    assert [run.get(timeout=10).output for run in (busy, *others)] == ["open"] * 4


@pytest.fixture
def clock() -> ManualClock:
    """Time that passes when a test says so."""
    return ManualClock()


@pytest.fixture
def timed(clock: ManualClock) -> Iterator[Runtime]:
    """A runtime in that time."""
    with Runtime(clock=clock) as rt:
        yield rt


def seats(rt: Runtime) -> list[str]:
    """The actors of sessions."""
    nodes = [rt.tree()]
    while nodes:
        node = nodes.pop()
        if node.path == "/system/sessions":
            return [each.path for each in node.children]
        nodes += node.children
    return []


def test_an_idle_actor_is_let_go_and_made_again(timed: Runtime, clock: ManualClock) -> None:
    """After 60 seconds without a run; its history stays."""
    fake = FakeModel.echo()
    agent = Agent(fake)
    agent.run("1", session="a", runtime=timed)
    (seat,) = seats(timed)
    clock.advance(59.0)
    agent.run("2", session="a", runtime=timed)
    assert seats(timed) == [seat]
    clock.advance(59.0)
    agent.run("3", session="b", runtime=timed)
    assert seat in seats(timed)
    clock.advance(1.5)
    agent.run("4", session="b", runtime=timed)
    assert seat not in seats(timed)
    agent.run("5", session="a", runtime=timed)
    assert len(fake.requests[-1].messages) == 5
    assert len(seats(timed)) == 2


def test_a_busy_actor_is_not_idle(timed: Runtime, clock: ManualClock, gate: Any) -> None:
    """However long its run takes."""
    agent = Agent(FakeModel(gate))
    done = agent.submit("0", session="b", runtime=timed)
    gate.until(waiting=1)
    gate.open()
    done.get(timeout=10)
    run = agent.submit("1", session="a", runtime=timed)
    gate.until(waiting=1)
    clock.advance(200.0)
    gate.open()
    assert run.get(timeout=10).output == "open"


async def test_messages_that_meet_actors_that_leave_are_answered(clock: ManualClock) -> None:
    """Whichever comes first: every run has its answer and its turn."""
    async with Runtime(clock=clock) as rt:
        agent = Agent(FakeModel.echo())
        for _ in range(20):
            clock.advance(60.0)
            runs = [agent.arun("x", session=s, runtime=rt) for s in "ab" for _ in range(3)]
            await asyncio.gather(*runs)
        for session in "ab":
            assert len(await rt.memory.ahistory(session, runtime=rt)) == 20 * 3 * 2
