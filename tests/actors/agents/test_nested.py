import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from understudy import (
    Agent,
    ConfigError,
    DeadlineExceededError,
    OverloadedError,
    RunCancelledError,
    Runtime,
    ServerError,
    ToolMessage,
    tool,
)
from understudy.testing import FakeModel, assert_quiet, call

if TYPE_CHECKING:
    from tests.conftest import Gate

pytestmark = pytest.mark.anyio


def test_an_agent_is_a_tool_of_another(runtime: Runtime) -> None:
    """It is given a prompt, answers with its text, and its usage is part of the whole."""
    helper = Agent(FakeModel.echo(), name="helper", instructions="help")
    fake = FakeModel([[call("helper", prompt="a"), call("helper", prompt="b")], "both"])
    result = runtime.run(Agent(fake, tools=[helper.as_tool(description="Ask it.")]), "q")
    assert [record.result for record in result.tool_calls] == ["echo: a", "echo: b"]
    assert result.attempts == 4
    assert fake.requests[0].tools[0].description == "Ask it."
    told = [m.content for m in fake.requests[1].messages if isinstance(m, ToolMessage)]
    assert told == ["echo: a", "echo: b"]
    assert_quiet(runtime)


def test_agents_and_functions_in_one_turn_keep_their_order(runtime: Runtime) -> None:
    """Both kinds run beside one another."""

    async def plain(n: int) -> int:
        """Give it back."""
        return n

    helper = Agent(FakeModel.echo()).as_tool("helper")
    calls = [call("plain", n=1), call("helper", prompt="x"), call("plain", n=2)]
    result = runtime.run(Agent(FakeModel([calls, "ok"]), tools=[plain, helper]), "q")
    assert [record.result for record in result.tool_calls] == [1, "echo: x", 2]


def test_a_nested_agent_that_fails_is_data(runtime: Runtime) -> None:
    """Its error is what the model reads; wrong arguments too."""
    helper = Agent(FakeModel([ServerError("it is down")])).as_tool("helper")
    turns: list[Any] = [[call("helper", prompt="x"), call("helper", q="x")], "so be it"]
    result = runtime.run(Agent(FakeModel(turns), tools=[helper]), "q")
    first, second = (record.error or "" for record in result.tool_calls)
    assert first == "ServerError: it is down"
    assert "prompt" in second
    assert result.output == "so be it"


async def test_cancelling_reaches_the_innermost_call(gate: "Gate") -> None:
    """A cancelled run cancels the agents that it called."""
    helper = Agent(FakeModel(gate)).as_tool("helper")
    outer = Agent(FakeModel([call("helper", prompt="x")]), tools=[helper])
    async with Runtime() as rt:
        run = rt.submit(outer, "q")
        await gate.auntil(waiting=1)
        run.cancel()
        await gate.auntil(cancelled=1)
        with pytest.raises(RunCancelledError):
            await run


async def test_a_cancelled_run_counts_what_the_agents_in_it_had_used(gate: "Gate") -> None:
    """Two levels down a call is cut off behind a whole one: both are in the outermost error."""

    async def answer(messages: tuple[Any, ...]) -> Any:
        if not any(isinstance(message, ToolMessage) for message in messages):
            return [call("nothing")]
        return await gate()

    @tool
    async def nothing() -> str:
        """Nothing."""
        return "nothing"

    inner = Agent(FakeModel(answer), tools=[nothing], name="inner")
    middle = Agent(FakeModel([call("inner", prompt="y" * 800)]), tools=[inner.as_tool()], name="m")
    outer = Agent(FakeModel([call("m", prompt="x")]), tools=[middle.as_tool()])
    async with Runtime() as rt:
        run = rt.submit(outer, "q")
        await gate.auntil(waiting=1)
        run.cancel()
        with pytest.raises(RunCancelledError) as caught:
            await run
        await gate.auntil(cancelled=1)
    error = caught.value
    assert 400 < error.usage.input_tokens < 1200  # the inner prompt twice, and said once as a call
    assert error.partial.attempts == 4
    assert error.partial.usage == error.usage


async def test_deadlines_reach_the_innermost_call(gate: "Gate") -> None:
    """The time of the run around is the time of the agents in it."""
    helper = Agent(FakeModel(gate), timeout=600).as_tool("helper")
    outer = Agent(FakeModel([call("helper", prompt="x")]), tools=[helper])
    async with Runtime() as rt:
        with pytest.raises(DeadlineExceededError):
            await rt.arun(outer, "q", timeout=0.05)
        await gate.auntil(cancelled=1)


def nest(depth: int, width: int, **options: Any) -> Agent:
    """Agents that call agents, `width` at each of `depth` levels."""

    @tool(max_concurrent=1)
    async def leaf() -> str:
        """The innermost."""
        await asyncio.sleep(0)
        return "leaf"

    if depth == 0:
        once = [call("leaf")]

        def innermost(messages: tuple[Any, ...]) -> Any:
            return "leaf" if isinstance(messages[-1], ToolMessage) else once

        return Agent(FakeModel(innermost), tools=[leaf], name="leaf", **options)
    inner = nest(depth - 1, 1, **options)

    def outer(messages: tuple[Any, ...]) -> Any:
        if isinstance(messages[-1], ToolMessage):
            return f"{depth}"
        return [call("inner", prompt="go") for _ in range(width)]

    return Agent(FakeModel(outer), tools=[inner.as_tool("inner")], name=f"level-{depth}", **options)


async def test_nesting_never_waits_for_its_own_places() -> None:
    """Eight deep and four wide with every bound set to one: all of them end."""
    agent = nest(8, 4, tool_concurrency=1, max_concurrent=1)
    async with Runtime(workers=1, threads=1, max_runs=1) as rt, asyncio.timeout(30):
        result = await rt.arun(agent, "q")
    assert len(result.tool_calls) == 4
    assert {record.error for record in result.tool_calls} == {None}


async def test_an_agent_that_calls_itself_is_bounded() -> None:
    """Its own place is taken once; the depth has an end that the model reads of."""
    turns: list[str] = []

    def again(messages: tuple[Any, ...]) -> Any:
        if isinstance(messages[-1], ToolMessage):
            turns.append(messages[-1].content)
            return "done"
        return [call("self", prompt="again")]

    fake = FakeModel(again)
    agent = Agent(fake, name="self", max_concurrent=1)
    for _ in range(12):
        agent = Agent(fake, name="self", max_concurrent=1, tools=[agent.as_tool()])
    async with Runtime() as rt, asyncio.timeout(30):
        assert (await rt.arun(agent, "q")).output == "done"
    assert "more than 8 deep" in turns[0]


async def test_bounds_hold_for_all_agents_of_one_name(gate: "Gate") -> None:
    """Two agents of one name share `max_concurrent`; another name has its own."""
    one = Agent(FakeModel(gate), name="n", max_concurrent=2)
    two = Agent(FakeModel(gate), name="n", max_concurrent=2, temperature=0.0)
    async with Runtime() as rt:
        runs = [rt.submit(agent, "q") for agent in (one, two, one, two)]
        await gate.auntil(waiting=2)
        other = rt.submit(Agent(FakeModel(["free"]), name="m", max_concurrent=1), "q")
        assert (await other).output == "free"
        assert gate.arrived == 2
        for arrived in (3, 4):
            gate.open()
            await gate.auntil(arrived=arrived)
        gate.open(count=2)
        assert [(await run).output for run in runs] == ["open"] * 4
    assert gate.peak == 2


async def test_a_rate_bounds_runs_by_name() -> None:
    """A run that cannot have its turn before its deadline fails at once and says why."""
    agent = Agent(FakeModel.echo(), rate_limit=1)
    async with Runtime() as rt:
        assert (await rt.arun(agent, "a")).output == "echo: a"
        from understudy import RateLimitError

        with pytest.raises((RateLimitError, OverloadedError), match="agent"):
            await rt.arun(agent, "b", timeout=0.2)


async def test_different_bounds_for_one_name_are_refused() -> None:
    """The error says what the other agent has."""
    async with Runtime() as rt:
        await rt.arun(Agent(FakeModel.echo(), name="n", max_concurrent=2), "q")
        with pytest.raises(ConfigError, match="max_concurrent=2 here"):
            await rt.arun(Agent(FakeModel.echo(), name="n", max_concurrent=3), "q")


async def test_an_agent_in_need_of_approval_cannot_be_a_tool_without() -> None:
    """Its model is told; the agent itself may need approval instead."""

    @tool(requires_approval=True)
    def delete() -> str:
        """Delete."""
        return "deleted"

    helper = Agent(FakeModel([call("delete")]), tools=[delete])
    async with Runtime() as rt:
        outer = Agent(FakeModel([call("h", prompt="x"), "ok"]), tools=[helper.as_tool("h")])
        result = await rt.arun(outer, "q")
        assert "approval for delete" in (result.tool_calls[0].error or "")
        asked = helper.as_tool("h", requires_approval=True)
        outer = Agent(FakeModel([call("h", prompt="x"), "ok"]), tools=[asked])
        pending = (await rt.arun(outer, "q")).pending
        assert pending is not None
        assert [each.name for each in pending.calls] == ["h"]


def test_a_tool_needs_a_name() -> None:
    """An agent without one is told how to give it."""
    with pytest.raises(ConfigError, match=r'as_tool\("search"\)'):
        Agent(FakeModel.echo()).as_tool()
