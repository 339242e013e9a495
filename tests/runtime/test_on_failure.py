"""What a failing actor does to its runtime, copies in debug mode, and agents with an end."""

import asyncio
import logging
from typing import Any, Literal

import msgspec
import pytest

from understudy import (
    Actor,
    Agent,
    ConfigError,
    RunCancelledError,
    Runtime,
    RuntimeStoppedError,
    child,
)
from understudy.testing import FakeModel, SimRuntime

pytestmark = pytest.mark.anyio


class Crashing(Actor):
    """Fails at every message."""

    async def on_receive(self, message: int) -> None:
        raise ValueError(message)


def _crash(on_failure: Literal["park", "stop"]) -> tuple[bool, str | None, int]:
    async def main(rt: Runtime) -> tuple[bool, str | None, int]:
        ref = await rt.aspawn(Crashing, name="weak")
        for _ in range(10):
            ref.tell(7)
        await asyncio.sleep(60.0)
        running = rt.is_running
        report = await rt.astop()
        return running, report.failed, report.exit_code

    return SimRuntime(3, on_failure=on_failure, limit=600.0).run(main)


def test_an_actor_that_gives_up_stands_still() -> None:
    """By default the runtime goes on without it."""
    running, failed, code = _crash("park")
    assert (running, failed, code) == (True, None, 0)


def test_an_actor_that_gives_up_may_be_the_end() -> None:
    """Then the report says who it was, and with what; the exit code says it too."""
    running, failed, code = _crash("stop")
    assert (running, failed, code) == (False, "/user/weak: ValueError: 7", 1)


def test_what_may_happen_at_a_failure_is_checked() -> None:
    """A word that is none is named with those that are."""
    wrong: Any = "explode"
    with pytest.raises(ConfigError, match="one of 'park', 'stop'"):
        Runtime(on_failure=wrong)


class Basket(msgspec.Struct):
    """A message that can be changed, which none should."""

    items: list[int]
    extra: Any = None


class Keeper(Actor):
    """Keeps the last message."""

    def __init__(self, kept: list[Basket]) -> None:
        self._kept = kept

    async def on_receive(self, message: Basket) -> None:
        self._kept.append(message)


@pytest.mark.parametrize("debug", [False, True])
async def test_debug_gives_copies(debug: bool) -> None:
    """What the sender changes afterwards is seen by the receiver, unless it has a copy."""
    kept: list[Basket] = []
    sent = Basket([1])
    async with Runtime(debug=debug) as rt:
        ref = await rt.aspawn(child(Keeper, kept))
        await ref.request(sent)
        sent.items.append(2)
    assert kept[0].items == ([1] if debug else [1, 2])


async def test_debug_says_what_does_not_encode(caplog: pytest.LogCaptureFixture) -> None:
    """Once for each type, and the message arrives all the same."""
    kept: list[Basket] = []
    with caplog.at_level(logging.WARNING, "understudy.kernel"):
        async with Runtime(debug=True) as rt:
            ref = await rt.aspawn(child(Keeper, kept), name="keeper")
            for _ in range(2):
                await ref.request(Basket([1], extra=object()))
    assert len(kept) == 2
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 1
    assert "/user/keeper was sent a Basket that does not encode" in said[0]


async def test_an_agent_with_an_end() -> None:
    """Leaving its block cancels what goes on, and nothing more is begun."""
    async with Runtime() as rt:
        async with rt.agent(Agent(FakeModel.echo())) as handle:
            assert (await handle.arun("hello")).output == "echo: hello"
        with pytest.raises(RuntimeStoppedError, match="closed"):
            handle.submit("again")
        async with rt.aagent(Agent(FakeModel.echo(latency=600))) as handle:
            run = handle.submit("never")
        with pytest.raises(RunCancelledError):
            await run


def test_an_agent_with_an_end_on_a_thread() -> None:
    """Its blocking verbs, and a stream that ends with it."""
    with Runtime() as rt, rt.agent(Agent(FakeModel.echo(), name="it")) as handle:
        assert handle.run("hello").output == "echo: hello"
        with handle.stream("one two") as stream:
            assert stream.collect() == "echo: one two"
    wrong: Any = "no agent"
    with Runtime() as rt, pytest.raises(ConfigError, match="is no agent"):
        rt.agent(wrong)
