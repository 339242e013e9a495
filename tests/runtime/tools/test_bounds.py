import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from understudy import (
    ConfigError,
    Runtime,
    ToolCall,
    ToolError,
    ToolResult,
    arun_tools,
    run_tools,
    tool,
)
from understudy.testing import ManualClock, assert_quiet

if TYPE_CHECKING:
    from tests.conftest import Gate

pytestmark = pytest.mark.anyio

Call = Callable[..., ToolCall]


async def turns(count: int = 30) -> None:
    """Let the loop turn."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_turn_makes_so_many_calls_at_a_time(call: Call, gate: "Gate") -> None:
    """500 calls at once run eight at a time, and all are answered in order."""

    async def wait(n: int) -> int:
        await gate()
        return n

    async with Runtime() as rt:
        calls = [call("wait", n=n) for n in range(500)]
        task = asyncio.create_task(arun_tools(calls, [wait], runtime=rt))
        for done in range(500):
            await gate.auntil(arrived=min(done + 8, 500), waiting=1)
            gate.open()
        results = await task
        assert [r.value for r in results] == list(range(500))
        assert gate.peak == 8
        assert_quiet(rt)


async def test_a_tools_own_bound_holds_for_all_turns_together(call: Call, gate: "Gate") -> None:
    """Two agents' turns share the two slots; who came first goes first."""

    @tool(max_concurrent=2)
    async def wait(n: int) -> int:
        await gate()
        return n

    async with Runtime() as rt:
        first = asyncio.create_task(
            arun_tools([call("wait", n=n) for n in range(3)], [wait], runtime=rt)
        )
        await gate.auntil(waiting=2)
        second = asyncio.create_task(arun_tools([call("wait", n=9)], (wait, max), runtime=rt))
        with pytest.raises(ConfigError):
            await second
        second = asyncio.create_task(arun_tools([call("wait", n=9)], [wait], runtime=rt))
        await turns()
        assert gate.arrived == 2
        for arrived in (3, 4):
            gate.open()
            await gate.auntil(arrived=arrived)
        gate.open(count=2)
        assert [r.value for r in await first] == [0, 1, 2]
        assert [r.value for r in await second] == [9]
        assert gate.peak == 2


async def test_who_finds_no_slot_in_time_is_told(call: Call, gate: "Gate") -> None:
    """Waiting has the bound that running has, and who gives up waiting leaves no trace."""
    clock = ManualClock()

    @tool(max_concurrent=1, timeout=10)
    async def wait() -> str:
        return await gate()

    async with Runtime(clock=clock) as rt:

        async def begin() -> asyncio.Task[list[ToolResult]]:
            task = asyncio.create_task(arun_tools([call("wait")], [wait], runtime=rt))
            await turns()
            return task

        first, given_up, second, third = [await begin() for _ in range(4)]
        given_up.cancel()
        await asyncio.wait([given_up])
        clock.advance(9)
        gate.open("first")
        assert (await first)[0].value == "first"
        await gate.auntil(arrived=2, waiting=1)
        clock.advance(2)
        (refused,) = await third
        assert refused.error == "The tool 'wait' is busy: there was no slot within 10 s"
        assert refused.attempts == 0
        gate.open("second")
        assert (await second)[0].value == "second"
        last = await begin()
        gate.open("last")
        assert (await last)[0].value == "last"


async def test_a_tool_that_runs_alone(call: Call) -> None:
    """It begins when the calls before it have ended, and those behind it wait for its end."""
    running: list[str] = []
    seen: list[tuple[str, ...]] = []

    async def together(n: int) -> int:
        running.append(f"together{n}")
        await turns(3)
        seen.append(tuple(running))
        running.remove(f"together{n}")
        return n

    @tool(parallel=False)
    async def alone(n: int) -> int:
        running.append("alone")
        await turns(3)
        seen.append(tuple(running))
        running.remove("alone")
        return n

    async with Runtime() as rt:
        names = ["together", "together", "alone", "alone", "together"]
        calls = [call(name, n=n) for n, name in enumerate(names)]
        results = await arun_tools(calls, [together, alone], runtime=rt)
    assert [r.value for r in results] == [0, 1, 2, 3, 4]
    assert ("together0", "together1") in seen
    assert seen.count(("alone",)) == 2
    assert all(each == ("alone",) for each in seen if "alone" in each)


async def test_a_rate_spreads_calls(call: Call) -> None:
    """Two a second: two at once, the next ones half a second apart; too long a wait is refused."""
    clock = ManualClock()
    times: list[float] = []

    @tool(rate_limit=2, timeout=1.2)
    async def note() -> None:
        times.append(clock.now())

    async with Runtime(clock=clock) as rt:
        calls = [call("note", str(n)) for n in range(6)]
        task = asyncio.create_task(arun_tools(calls, [note], runtime=rt))
        for _ in range(20):
            await turns()
            clock.advance(0.1)
        results = await task
    begin = times[0]
    assert [round(t - begin, 1) for t in times] == [0, 0, 0.5, 1.0]
    refused = [r for r in results if r.error]
    assert len(refused) == 2
    assert all("is called too often; try again in" in str(r.error) for r in refused)
    assert all(r.attempts == 0 for r in refused)


@pytest.mark.parametrize(
    ("options", "attempts"),
    [
        ({}, 1),
        ({"retries": 2}, 3),
        ({"effects": "none", "retries": 2}, 3),
        ({"effects": "idempotent"}, 1),
        ({"effects": "at_most_once"}, 1),
    ],
)
async def test_retries_follow_the_effects(
    call: Call, options: dict[str, object], attempts: int
) -> None:
    """Only what may happen twice, and only as often as somebody has said."""
    clock, seen = ManualClock(), 0

    async def flaky() -> None:
        nonlocal seen
        seen += 1
        raise ConnectionError("gone")

    async with Runtime(clock=clock) as rt:
        made = tool(**options)(flaky)  # type: ignore[call-overload]
        task = asyncio.create_task(arun_tools([call("flaky")], [made], runtime=rt))
        while not task.done():
            await turns()
            clock.advance(6)
        (result,) = await task
        assert (seen, result.attempts) == (attempts, attempts)
        assert result.error == "ConnectionError: gone"
        assert_quiet(rt)


async def test_what_is_said_on_purpose_is_not_tried_again(call: Call) -> None:
    """A ToolError is an answer, unless it says that trying again may help; so are mistakes."""
    clock, seen = ManualClock(), 0

    @tool(retries=3)
    async def say(retryable: bool) -> str:
        nonlocal seen
        seen += 1
        if seen < 3 or not retryable:
            raise ToolError("not now", retryable=retryable)
        return "now"

    async with Runtime(clock=clock) as rt:
        (told,) = await arun_tools([call("say", retryable=False)], [say], runtime=rt)
        assert (told.error, told.attempts) == ("not now", 1)
        (wrong,) = await arun_tools([call("say", retryable=7)], [say], runtime=rt)
        assert (wrong.attempts, seen) == (0, 1)
        seen = 0
        task = asyncio.create_task(arun_tools([call("say", retryable=True)], [say], runtime=rt))
        while not task.done():
            await turns()
            clock.advance(6)
        assert (task.result()[0].value, task.result()[0].attempts) == ("now", 3)


def test_bounds_of_a_turn_are_checked(runtime: Runtime, call: Call) -> None:
    """Nonsense is refused before anything runs."""
    with pytest.raises(ConfigError, match="max_concurrent=0: at least 1"):
        run_tools([call("x")], [], runtime=runtime, max_concurrent=0)
    with pytest.raises(ConfigError, match="timeout=-1: more than 0"):
        run_tools([call("x")], [], runtime=runtime, timeout=-1)
    assert run_tools([], [], runtime=runtime) == []
