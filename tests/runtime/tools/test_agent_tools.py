"""What an agent's model reads when its calls go wrong."""

import asyncio
from typing import Any

import pytest

from understudy import (
    Agent,
    ConfigError,
    ResponseError,
    Runtime,
    ToolMessage,
    Toolset,
    tool,
)
from understudy.testing import FakeModel, ManualClock, ScriptedTransport, assert_quiet, call

pytestmark = pytest.mark.anyio


@tool(effects="none")
async def double(n: int) -> int:
    """Twice as much."""
    return 2 * n


def told(result: Any) -> list[str]:
    """What the tools said."""
    return [m.content for m in result.messages if isinstance(m, ToolMessage)]


def test_a_model_learns_from_what_went_wrong(runtime: Runtime) -> None:
    """A wrong name, wrong arguments, then the right call: the run goes on all the time."""
    model = FakeModel([call("dubble", n=1), call("double", m=1), call("double", n="4"), "8"])
    result = Agent(model, tools=[double]).run("2 * 4?", runtime=runtime)
    assert result.output == "8"
    first, second, third = told(result)
    assert "Did you mean 'double'?" in first
    assert "n: missing" in second
    assert third == "8"
    assert [each.error is None for each in result.tool_calls] == [False, False, True]
    assert_quiet(runtime)


def test_two_hundred_calls_in_one_turn(runtime: Runtime) -> None:
    """All are answered, in order, each by its id."""
    model = FakeModel([[call("double", n=n) for n in range(200)], "done"])
    result = Agent(model, tools=[double]).run("?", runtime=runtime)
    answers = [m for m in result.messages if isinstance(m, ToolMessage)]
    assert [m.content for m in answers] == [str(2 * n) for n in range(200)]
    assert len({m.call_id for m in answers}) == 200


@pytest.mark.parametrize(
    ("tools", "why"),
    [
        ([double, double.function], "two tools are named 'double'"),
        ([lambda n: n], "a lambda has no name"),
        (["double"], "is a str; a tool is a function"),
        ([Toolset.of(double), double], "two tools are named 'double'"),
    ],
)
def test_wrong_tools_are_the_programs_mistake(runtime: Runtime, tools: list[Any], why: str) -> None:
    """They are raised before any model is asked."""
    model = FakeModel([])
    with pytest.raises(ConfigError, match=why):
        Agent(model, tools=tools).run("?", runtime=runtime)
    assert model.requests == []


def completion(arguments: str) -> dict[str, Any]:
    """An answer of OpenAI's protocol that calls `double`."""
    message = {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": "c1",
                "type": "function",
                "function": {"name": "double", "arguments": arguments},
            }
        ],
    }
    return {
        "json": {
            "id": "x",
            "model": "m",
            "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
        }
    }


async def test_arguments_that_are_not_even_json() -> None:
    """The model is asked again; it is not left to a tool to make sense of them."""
    end = {
        "json": {
            "id": "y",
            "model": "m",
            "choices": [
                {"index": 0, "message": {"content": "ok"}, "finish_reason": "stop"},
            ],
        }
    }
    clock = ManualClock()
    transport = ScriptedTransport([completion('{"n": '), completion('{"n": 3}'), end])
    agent = Agent("openai-compatible:m", base_url="http://x.example/v1", tools=[double])
    async with Runtime(transport=transport, clock=clock) as rt:
        run = rt.submit(agent, "?")
        while run.status == "running":
            clock.advance(1)
            await asyncio.sleep(0)
        result = await run
        assert told(result) == ["6"]
        assert len(transport.requests) == 3
    broken = ScriptedTransport(lambda _: completion("[1]"))
    async with Runtime(transport=broken, clock=clock) as rt:
        run = rt.submit(agent, "?")
        while run.status == "running":
            clock.advance(1)
            await asyncio.sleep(0)
        with pytest.raises(ResponseError, match="tool call 'double' are no JSON object"):
            await run
