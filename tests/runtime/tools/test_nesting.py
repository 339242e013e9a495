import asyncio
from collections.abc import Callable

import pytest

from understudy import Agent, RunContext, Runtime, ToolCall, arun_tools, run_tools, tool
from understudy.testing import FakeModel, assert_quiet
from understudy.testing import call as of_tool

pytestmark = pytest.mark.anyio

Call = Callable[..., ToolCall]
DEPTH = 8
WIDTH = 4


def test_nested_tools_on_one_thread_with_one_slot(call: Call) -> None:
    """Width four, depth eight, every bound one: nobody waits for what an ancestor holds."""
    leaves = 0

    @tool(max_concurrent=1)
    def dig(depth: int) -> int:
        nonlocal leaves
        if depth == DEPTH:
            leaves += 1
            return 1
        deeper = call("dig", depth=depth + 1)
        return sum(r.value for r in run_tools([deeper], [dig], max_concurrent=1))

    with Runtime(threads=1, workers=1) as rt:
        results = run_tools([call("dig", depth=1)] * WIDTH, [dig], runtime=rt, max_concurrent=4)
        assert [r.value for r in results] == [1] * WIDTH
        assert leaves == WIDTH
        assert_quiet(rt)


async def test_a_slot_is_lent_to_one_at_a_time(call: Call) -> None:
    """With two slots, at most two calls really work, however they nest."""
    working = peak = 0

    @tool(max_concurrent=2)
    async def dig(depth: int) -> int:
        nonlocal working, peak
        if depth:
            nested = await arun_tools([call("dig", depth=depth - 1)] * 3, [dig])
            assert not any(r.error for r in nested)
            return sum(r.value for r in nested)
        working += 1
        peak = max(peak, working)
        for _ in range(3):
            await asyncio.sleep(0)
        working -= 1
        return 1

    async with Runtime() as rt:
        results = await arun_tools([call("dig", depth=2)] * 3, [dig], runtime=rt)
        assert [r.value for r in results] == [9, 9, 9]
        assert peak == 2
        assert_quiet(rt)


def test_agents_in_tools_in_workers(call: Call) -> None:
    """A thread tool that runs an agent, and that four times at once on one thread."""
    agent = Agent(FakeModel.echo())

    @tool(max_concurrent=1)
    def consult(what: str) -> str:
        return str(agent.run(what).output)

    with Runtime(threads=1, max_runs=4) as rt:
        calls = [call("consult", what=str(n)) for n in range(WIDTH)]
        results = run_tools(calls, [consult], runtime=rt)
        assert [r.value for r in results] == [f"echo: {n}" for n in range(WIDTH)]


def test_a_slot_is_lent_through_an_agent(runtime: Runtime) -> None:
    """A tool with one slot runs an agent whose model calls the same tool."""

    @tool(max_concurrent=1)
    async def consult(depth: int) -> str:
        model = FakeModel([of_tool("consult", depth=depth - 1), "deep"])
        return (await Agent(model, tools=[consult]).arun("?")).output if depth else "bottom"

    model = FakeModel([of_tool("consult", depth=3), "end"])
    result = runtime.run(Agent(model, tools=[consult]), "?", timeout=20)
    assert result.tool_calls[0].result == "deep"


async def test_tools_that_call_themselves_for_ever(call: Call) -> None:
    """There is a bottom, and the model is told."""

    async def again() -> str:
        (result,) = await arun_tools([call("again")], [again])
        return result.content

    async with Runtime() as rt:
        (result,) = await arun_tools([call("again")], [again], runtime=rt)
        assert result.content == "Tool calls nest more than 16 deep."


async def test_what_a_tool_starts_inherits_its_deadline(call: Call) -> None:
    """A nested call with all the time in the world ends with the one around it."""
    cancelled = asyncio.Event()

    @tool(timeout=60)
    async def inner() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    @tool(timeout=0.05)
    async def outer() -> str:
        return (await arun_tools([call("inner")], [inner]))[0].content

    async with Runtime() as rt:
        (result,) = await arun_tools([call("outer")], [outer], runtime=rt)
        assert "'outer' did not return within 0.05 s" in str(result.error)
        await cancelled.wait()


def test_tools_of_one_turn_share_a_context(runtime: Runtime, call: Call) -> None:
    """What the caller passes is what every tool gets, by reference."""
    context = RunContext("run", {"plan": "outline"})

    def note(ctx: RunContext, n: int) -> str:
        ctx.update("seen", lambda seen: (*(seen or ()), n))
        return str(ctx["plan"])

    async def work() -> list[str]:
        directory = runtime.crew.tools
        calls = tuple(call("note", n=n) for n in range(5))
        results = await directory.call(
            directory.table((note,)), calls, timeout=None, max_concurrent=8, context=context
        )
        return [r.content for r in results]

    assert runtime.complete(work(), "work") == ["outline"] * 5
    assert sorted(context["seen"]) == [0, 1, 2, 3, 4]
