"""What an agent's model reads when its calls go wrong."""

from typing import Any

import pytest

from understudy import (
    Agent,
    ConfigError,
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


END = {
    "json": {
        "id": "y",
        "model": "m",
        "choices": [{"index": 0, "message": {"content": "ok"}, "finish_reason": "stop"}],
    }
}


async def test_arguments_that_are_not_even_json() -> None:
    """The model is told so at once, like of any wrong argument, and asked no request twice."""
    transport = ScriptedTransport([completion('{"n": '), completion("[1]"), END])
    agent = Agent("openai-compatible:m", base_url="http://x.example/v1", tools=[double])
    async with Runtime(transport=transport, clock=ManualClock()) as rt:
        result = await rt.arun(agent, "?")
    cut, listed = told(result)
    assert "no JSON object" in cut
    assert '{"n": ' in cut
    assert "no JSON object: [1]" in listed
    assert [each.error is None for each in result.tool_calls] == [False, False]
    assert (result.output, result.attempts, len(transport.requests)) == ("ok", 3, 3)


async def test_nobody_approves_of_arguments_that_are_not_even_json() -> None:
    """Such a call is never made, so nobody is asked; nor does an agent run for it."""

    @tool(requires_approval=True)
    async def double(n: int) -> int:
        return 2 * n

    inner = Agent(FakeModel([]), name="double")
    for callee in (double, inner.as_tool()):
        transport = ScriptedTransport([completion('{"prompt'), END])
        agent = Agent("openai-compatible:m", base_url="http://x.example/v1", tools=[callee])
        async with Runtime(transport=transport, clock=ManualClock()) as rt:
            result = await rt.arun(agent, "?")
        assert result.pending is None
        assert "no JSON object" in told(result)[0]
