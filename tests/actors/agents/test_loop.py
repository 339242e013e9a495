import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from understudy import (
    Agent,
    AssistantMessage,
    ConfigError,
    DeadlineExceededError,
    Metadata,
    ResponseError,
    RunCancelledError,
    RunContext,
    Runtime,
    ServerError,
    ToolCallFinished,
    ToolCallStarted,
    ToolError,
    ToolMessage,
    TurnsExceededError,
    Usage,
    UserMessage,
    tool,
)
from understudy.messages.agents import AgentSpec, Pending, Result, Resume
from understudy.messages.chat import ToolCall
from understudy.messages.codec import decode, encode
from understudy.testing import FakeModel, assert_quiet, call

if TYPE_CHECKING:
    from tests.conftest import Gate

pytestmark = pytest.mark.anyio


async def weather(city: str) -> str:
    """Current weather."""
    return f"sun in {city}"


def population(city: str) -> int:
    """How many live there."""
    return len(city)


def test_a_model_calls_tools_until_it_answers(runtime: Runtime) -> None:
    """Calls of a turn are made, go back in their order, and the model goes on with them."""
    fake = FakeModel(
        [
            [call("weather", city="Rome"), call("population", city="Rome")],
            call("weather", city="Bonn"),
            "Nice.",
        ]
    )
    result = runtime.run(Agent(fake, tools=[weather, population]), "Where to?")
    assert (result.output, result.finish_reason, result.attempts) == ("Nice.", "stop", 3)
    told = [m.content for m in fake.requests[-1].messages if isinstance(m, ToolMessage)]
    assert told == ["sun in Rome", "4", "sun in Bonn"]
    assert [(r.name, r.arguments, r.result, r.error) for r in result.tool_calls] == [
        ("weather", {"city": "Rome"}, "sun in Rome", None),
        ("population", {"city": "Rome"}, 4, None),
        ("weather", {"city": "Bonn"}, "sun in Bonn", None),
    ]
    assert all(record.duration >= 0 for record in result.tool_calls)
    kinds = [type(message).__name__ for message in result.new_messages]
    assert kinds == [
        *("UserMessage", "AssistantMessage", "ToolMessage", "ToolMessage"),
        *("AssistantMessage", "ToolMessage", "AssistantMessage"),
    ]
    assert [tool.name for tool in fake.requests[0].tools] == ["weather", "population"]
    assert_quiet(runtime)


def test_the_usage_of_every_turn_is_added_up(runtime: Runtime) -> None:
    """What each model call took is in the result, not only the last one."""
    turns: list[Any] = [call("population", city="x" * 400), "done"]
    once = runtime.run(Agent(FakeModel(["done"])), "q").usage
    result = runtime.run(Agent(FakeModel(turns), tools=[population]), "q")
    assert result.usage.input_tokens > 2 * once.input_tokens
    assert result.usage.output_tokens > 100 + once.output_tokens - 1
    assert not result.usage.measured


def test_a_call_of_an_unknown_tool_goes_back_to_the_model(runtime: Runtime) -> None:
    """The model reads that there is no such tool, and which there are."""
    fake = FakeModel([call("wether", city="Rome"), "sorry"])
    result = runtime.run(Agent(fake, tools=[weather]), "q")
    (record,) = result.tool_calls
    assert record.error is not None
    assert "wether" in record.error
    assert "weather" in record.error
    assert result.output == "sorry"


def test_a_tool_that_fails_is_data_for_the_model(runtime: Runtime) -> None:
    """The model reads what went wrong and goes on."""

    async def fails() -> str:
        """Fail."""
        raise ToolError("out of order")

    fake = FakeModel([call("fails"), "so be it"])
    result = runtime.run(Agent(fake, tools=[fails]), "q")
    assert result.output == "so be it"
    answer = fake.requests[1].messages[-1]
    assert isinstance(answer, ToolMessage)
    assert (answer.content, answer.is_error) == ("out of order", True)
    assert result.tool_calls[0].error == "out of order"


def test_five_hundred_calls_at_once_keep_their_bound(runtime: Runtime) -> None:
    """All are made, at most `tool_concurrency` at a time, and their results keep their order."""
    running = peak = 0

    async def count(n: int) -> int:
        """Count."""
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        await asyncio.sleep(0)
        running -= 1
        return n

    fake = FakeModel([[call("count", n=n) for n in range(500)], "done"])
    result = runtime.run(Agent(fake, tools=[count], tool_concurrency=5), "q")
    assert [record.result for record in result.tool_calls] == list(range(500))
    assert peak == 5


def test_a_model_that_loops_for_ever_ends_after_max_turns(runtime: Runtime) -> None:
    """The error says so, and has the result so far: whole turns, usage, calls."""
    fake = FakeModel(lambda _: [call("population", city="x")])
    with pytest.raises(TurnsExceededError, match=r"after 3 turns.*population") as caught:
        runtime.run(Agent(fake, tools=[population], max_turns=3), "q")
    assert len(fake.requests) == 3
    partial = caught.value.partial
    assert isinstance(partial, Result)
    assert (len(partial.tool_calls), partial.attempts) == (2, 3)
    assert isinstance(partial.messages[-1], ToolMessage)
    assert caught.value.usage == partial.usage
    assert caught.value.run_id == partial.run_id


def test_broken_arguments_are_asked_for_again(runtime: Runtime) -> None:
    """A call that cannot be read is the model's mistake: it is asked once more, and both count."""
    used = Usage(input_tokens=1000, output_tokens=50)
    broken = ResponseError("no JSON object", retryable=True, retry_after=0.001, usage=used)
    fake = FakeModel([broken, call("population", city="abc"), "3"])
    result = runtime.run(Agent(fake, tools=[population]), "q")
    assert (result.output, result.attempts, len(result.tool_calls)) == ("3", 3, 1)
    assert result.usage.input_tokens > 1000
    with pytest.raises(ResponseError, match="no JSON object") as caught:
        runtime.run(Agent(FakeModel([broken]), tools=[population], retries=0), "q")
    assert caught.value.usage == used


def test_an_empty_answer_is_an_empty_output(runtime: Runtime) -> None:
    """A model that says nothing has said nothing: no words are made up."""
    result = runtime.run(Agent(FakeModel([""])), "q")
    assert (result.output, result.text, result.finish_reason) == ("", "", "stop")


def test_prose_that_looks_like_a_call_is_prose(runtime: Runtime) -> None:
    """Only the model's own function calls count."""
    fake = FakeModel(['{"name": "population", "arguments": {"city": "x"}} print(hello)'])
    result = runtime.run(Agent(fake, tools=[population]), "q")
    assert result.output.startswith('{"name"')
    assert result.tool_calls == ()


def test_a_call_without_any_tools_is_an_error(runtime: Runtime) -> None:
    """A model that calls what was not offered has not answered."""
    with pytest.raises(ResponseError, match="calls search, but this agent has no tools"):
        runtime.run(Agent(FakeModel([call("search")])), "q")


def test_two_tools_of_one_name_are_refused(runtime: Runtime) -> None:
    """The error names them, also when one is an agent."""
    helper = Agent(FakeModel.echo()).as_tool("weather")
    for tools in ([weather, weather], [weather, helper], [helper, helper]):
        with pytest.raises(ConfigError, match="weather"):
            runtime.run(Agent(FakeModel(["x"]), tools=tools), "q")


def test_tools_share_the_context_of_their_run(runtime: Runtime) -> None:
    """What one call stores, a later call of the same run reads; another run does not."""

    async def put(ctx: RunContext) -> str:
        """Put."""
        ctx["key"] = ctx.run_id
        return "put"

    async def get(ctx: RunContext) -> str:
        """Get."""
        return str(ctx.get("key"))

    agent = Agent(FakeModel([call("put"), call("get"), "a", call("get"), "b"]), tools=[put, get])
    first = runtime.run(agent, "q")
    assert first.tool_calls[1].result == first.run_id
    assert runtime.run(agent, "q").tool_calls[0].result == "None"


def test_a_failure_says_what_the_run_had_and_used(runtime: Runtime) -> None:
    """The third turn fails: two turns are in `.partial`, the usage of all is in `.usage`."""
    fake = FakeModel(
        [call("population", city="a"), call("population", city="bc"), ServerError("x")]
    )
    with pytest.raises(ServerError) as caught:
        runtime.run(Agent(fake, tools=[population]), "q")
    partial = caught.value.partial
    assert isinstance(partial, Result)
    assert [record.result for record in partial.tool_calls] == [1, 2]
    assert partial.usage.total_tokens > 0
    assert caught.value.usage == partial.usage


async def test_a_cancelled_run_says_what_it_had(gate: "Gate") -> None:
    """The call that was cut off is estimated; what was whole is in `.partial`."""

    async def answer(messages: tuple[Any, ...]) -> Any:
        if not any(isinstance(m, ToolMessage) for m in messages):
            return [call("population", city="abc")]
        return await gate()

    async with Runtime() as rt:
        run = rt.submit(Agent(FakeModel(answer), tools=[population]), "q")
        await gate.auntil(waiting=1)
        run.cancel()
        with pytest.raises(RunCancelledError) as caught:
            await run
        assert [record.result for record in caught.value.partial.tool_calls] == [3]
        assert caught.value.usage.input_tokens > 0
        assert not caught.value.usage.measured
        await gate.auntil(cancelled=1)
        again = await rt.arun(Agent(FakeModel(["fine"])), "q")  # the actor is free again
        assert (again.output, again.attempts) == ("fine", 1)


def test_a_deadline_says_what_the_run_had(runtime: Runtime, gate: "Gate") -> None:
    """A run whose time is over has counted the call that was under way."""
    with pytest.raises(DeadlineExceededError) as caught:
        runtime.run(Agent(FakeModel(gate)), "q" * 400, timeout=0.05)
    assert caught.value.usage.input_tokens >= 100
    assert not caught.value.usage.measured
    assert caught.value.partial is None


async def test_a_stream_tells_of_tools_and_of_the_whole_usage() -> None:
    """Calls begin and end in the stream; its last fact is the usage of all turns."""
    fake = FakeModel([call("weather", city="Rome"), "Nice and warm."])
    async with Runtime() as rt:
        async with Agent(fake, tools=[weather]).astream("q", runtime=rt) as stream:
            chunks = [chunk async for chunk in stream]
        facts = [chunk for chunk in chunks if not chunk.delta and not isinstance(chunk, Metadata)]
        names = [type(chunk).__name__ for chunk in facts]
    assert names == [
        *("AgentStarted", "ToolCallStarted", "ToolCallFinished", "AgentFinished", "StreamEnd"),
    ]
    started = next(chunk for chunk in chunks if isinstance(chunk, ToolCallStarted))
    finished = next(chunk for chunk in chunks if isinstance(chunk, ToolCallFinished))
    assert (started.name, started.arguments) == ("weather", {"city": "Rome"})
    assert (finished.id, finished.result, finished.error) == (started.id, "sun in Rome", None)
    assert "".join(chunk.delta for chunk in chunks) == "Nice and warm."
    assert stream.result.attempts == 2


def test_a_tool_timeout_is_enforced(runtime: Runtime, gate: "Gate") -> None:
    """A tool that never ends is given up after `tool_timeout`, and the model reads why."""

    async def hang() -> str:
        """Hang."""
        return await gate()

    fake = FakeModel([call("hang"), "gave up"])
    result = runtime.run(Agent(fake, tools=[hang], tool_timeout=0.05), "q")
    assert result.output == "gave up"
    assert "0.05" in (result.tool_calls[0].error or "")


# -- approvals -------------------------------------------------------------------------------------

DELETED: list[str] = []


@tool(requires_approval=True)
def delete(path: str) -> str:
    """Delete a file."""
    DELETED.append(path)
    return f"deleted {path}"


def pending_of(runtime: Runtime, agent: Agent) -> Pending:
    """Run until it waits."""
    result: Result[str] = runtime.run(agent, "clean up")
    assert (result.output, result.finish_reason) == ("", "tool_calls")
    assert result.pending is not None
    return result.pending


def test_a_call_that_needs_approval_waits_for_it(runtime: Runtime) -> None:
    """The others are made; the run ends as data and goes on, in the model's order of calls."""
    DELETED.clear()
    turns: list[Any] = [
        [call("delete", path="a"), call("population", city="xyz"), call("delete", path="b")],
        "done",
    ]
    fake = FakeModel(turns)
    agent = Agent(fake, tools=[delete, population])
    pending = pending_of(runtime, agent)
    assert [each.arguments["path"] for each in pending.calls] == ["a", "b"]
    assert DELETED == []
    survived = decode(encode(pending), Pending)
    first, second = survived.calls
    result = runtime.run(agent, resume=survived.approve(first.id))
    assert result.output == "done"
    assert DELETED == ["a"]
    told = [m.content for m in fake.requests[-1].messages if isinstance(m, ToolMessage)]
    assert told == ["deleted a", "3", "not approved"]
    assert [m.content for m in result.messages if isinstance(m, UserMessage)] == ["clean up"]
    assert second.arguments == {"path": "b"}


def test_a_rejected_call_is_not_made(runtime: Runtime) -> None:
    """The model reads the reason and goes on; a resume encodes too."""
    DELETED.clear()
    fake = FakeModel([call("delete", path="a"), "all right"])
    agent = Agent(fake, tools=[delete])
    decision = decode(encode(pending_of(runtime, agent).reject("too risky")), Resume)
    result = runtime.run(agent, resume=decision)
    assert (result.output, DELETED) == ("all right", [])
    assert result.tool_calls[0].error == "too risky"


def test_a_pending_result_can_be_gone_on_with_as_history(runtime: Runtime) -> None:
    """Its messages have no call without an answer: providers would refuse those."""
    agent = Agent(FakeModel([call("delete", path="a"), "fresh"]), tools=[delete])
    first = runtime.run(agent, "clean up")
    assert first.messages == (UserMessage(content="clean up"),)
    assert runtime.run(agent, "never mind", history=first.messages).output == "fresh"


def test_mistakes_with_resume_are_named(runtime: Runtime) -> None:
    """A pending run itself, a prompt beside it, an unknown call, an agent without tools."""
    agent = Agent(FakeModel([call("delete", path="a")]), tools=[delete])
    pending = pending_of(runtime, agent)
    with pytest.raises(ConfigError, match=r"approve\(\)"):
        runtime.run(agent, resume=pending)
    with pytest.raises(ConfigError, match="no prompt"):
        runtime.run(agent, "again", resume=pending.approve())
    with pytest.raises(ConfigError, match="no call 'x'"):
        pending.approve("x")
    with pytest.raises(ConfigError, match="has no tools"):
        runtime.run(Agent(FakeModel(["x"])), resume=pending.approve())


def test_max_turns_counts_the_turns_before_the_approval(runtime: Runtime) -> None:
    """A run cannot get new turns by being approved."""
    fake = FakeModel(lambda _: [call("delete", path="a")])
    agent = Agent(fake, tools=[delete], max_turns=2)
    pending = pending_of(runtime, agent)
    with pytest.raises(TurnsExceededError):
        runtime.run(agent, resume=pending.approve())


def test_a_spec_with_tools_encodes(runtime: Runtime) -> None:
    """Functions travel as their path, agents as specs."""
    helper = AgentSpec("openai:gpt-5-mini", name="helper")
    agent = Agent("openai:gpt-5", tools=[delete, Agent(name="x").as_tool(), population])
    found = decode(encode(agent), AgentSpec)
    assert [type(each).__name__ for each in found.tools] == ["ToolSpec", "AgentTool", "FunctionRef"]
    assert helper.tools == ()


def test_the_order_of_messages_is_what_providers_take(runtime: Runtime) -> None:
    """Every call of a turn is answered right behind it, by its id."""
    fake = FakeModel(
        [[ToolCall(id=f"c{n}", name="population", arguments={"city": "x"}) for n in range(3)], "ok"]
    )
    result = runtime.run(Agent(fake, tools=[population]), "q")
    _, turn, *answers = result.messages[:-1]
    assert isinstance(turn, AssistantMessage)
    assert [m.call_id for m in answers if isinstance(m, ToolMessage)] == ["c0", "c1", "c2"]
