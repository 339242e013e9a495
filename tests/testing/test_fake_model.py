import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Literal

import msgspec
import pytest

from understudy import (
    Agent,
    ConfigError,
    ConnectError,
    DeadlineExceededError,
    Message,
    ModelError,
    RateLimitError,
    ResponseError,
    Runtime,
    ServerError,
    StreamBrokenError,
    TextDelta,
    ToolCall,
    UserMessage,
)
from understudy.messages.models import Complete
from understudy.testing import FakeModel, SimRuntime, call
from understudy.testing.provider_server import (
    BadChunk,
    Blackhole,
    Malformed,
    Reset,
    Status,
    StreamFault,
    Truncate,
)
from understudy.testing.provider_server.script import ScriptExhaustedError

pytestmark = pytest.mark.anyio


def ask(text: str) -> Complete:
    """A request with one user message."""
    return Complete(model="fake", messages=(UserMessage(content=text),))


def test_scripted_turns_come_in_order_and_requests_are_kept(runtime: Runtime) -> None:
    """The n-th run gets the n-th turn, and what was asked can be looked at."""
    fake = FakeModel(["Paris.", "Madrid."])
    agent = Agent(fake, instructions="Be terse.", temperature=0.0)
    assert runtime.run(agent, "France?").output == "Paris."
    assert runtime.run(agent, "Spain?").output == "Madrid."
    assert [request.messages[-1].content for request in fake.requests] == ["France?", "Spain?"]
    assert fake.requests[0].messages[0].content == "Be terse."
    assert fake.requests[0].temperature == 0.0


def test_exceptions_in_the_script_are_raised(runtime: Runtime) -> None:
    """An exception, or its class, stands for a call that fails with it."""
    agent = Agent(FakeModel([ServerError("down", status=503), ServerError, "up"]))
    with pytest.raises(ServerError, match="down") as caught:
        runtime.run(agent, "?")
    assert caught.value.status == 503
    with pytest.raises(ServerError, match="scripted"):
        runtime.run(agent, "?")
    assert runtime.run(agent, "?").output == "up"


@pytest.mark.unquiet(failures=(ScriptExhaustedError,))
def test_one_call_too_many_says_so(runtime: Runtime) -> None:
    """A script that is used up is an error that says how long it was, and what was asked."""
    agent = Agent(FakeModel(["one"]))
    runtime.run(agent, "first")
    with pytest.raises(ScriptExhaustedError, match=r"has 1 turns, and this is call 2.*'second'"):
        runtime.run(agent, "second")
    with pytest.raises(ScriptExhaustedError):
        runtime.run(agent, "third")


def words(messages: tuple[Message, ...]) -> Iterator[str]:
    """Tokens, one after the other."""
    yield from ("a", " b", "", " c")


async def later(messages: tuple[Message, ...]) -> str:
    """A text, after a turn of the loop."""
    await asyncio.sleep(0)
    return "a b c"


async def flowing(messages: tuple[Message, ...]) -> AsyncIterator[str]:
    """Tokens, with turns of the loop between them."""
    for token in ("a", " b", " c"):
        await asyncio.sleep(0)
        yield token


@pytest.mark.parametrize(
    "answers", [lambda _: "a b c", words, later, flowing, lambda _: ["a", " b", " c"]]
)
def test_functions_of_every_kind(runtime: Runtime, answers: object) -> None:
    """A function may give a text or tokens, at once, later or bit by bit."""
    agent = Agent(FakeModel(answers))  # type: ignore[arg-type]
    assert runtime.run(agent, "?").output == "a b c"
    with agent.stream("?", runtime=runtime, flush_interval=0) as stream:
        deltas = [chunk.delta for chunk in stream if isinstance(chunk, TextDelta)]
    assert deltas == ["a", " b", " c"]


async def test_echo_and_usage() -> None:
    """The echo repeats the last user message; its usage is an estimate and says so."""
    async with Runtime() as rt:
        result = await rt.arun(Agent(FakeModel.echo()), "hello there")
    assert result.output == "echo: hello there"
    assert result.usage.input_tokens == 3
    assert result.usage.output_tokens == 5
    assert not result.usage.measured


@pytest.mark.parametrize("turn", [call("look", at="x"), [call("look", at="x"), call("go")]])
def test_a_tool_call_without_tools_is_an_error(runtime: Runtime, turn: object) -> None:
    """A model that calls a tool nobody gave it is told apart from one that answers."""
    agent = Agent(FakeModel([turn]))  # type: ignore[list-item]
    with pytest.raises(ResponseError, match=r"fake:fake calls look.*has no tools"):
        runtime.run(agent, "?")


async def test_tool_calls_get_ids_of_their_own() -> None:
    """Every call that a fake makes has another id, as with a provider."""
    fake = FakeModel([[call("a"), call("b")], call("c")])
    first = (await fake.complete(ask("?"))).message.tool_calls
    second = (await fake.complete(ask("?"))).message.tool_calls
    assert [each.name for each in (*first, *second)] == ["a", "b", "c"]
    assert len({each.id for each in (*first, *second)}) == 3
    assert isinstance(first[0], ToolCall)


async def test_latency_and_pace_are_timers_of_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer waits for its latency and then gives a token at a time."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    fake = FakeModel(["one two three"], latency=2.0, tokens_per_second=4.0)
    await fake.complete(ask("?"))
    assert slept[0] == 2.0
    assert slept[1:] == pytest.approx([0.0, 0.25, 0.5], abs=0.2)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: FakeModel("text"), "write a list of turns"),
        (lambda: FakeModel([], tokens_per_second=0), "tokens_per_second=0"),
    ],
)
def test_mistakes_are_named(make: object, match: str) -> None:
    """A fake that cannot be meant is refused when it is made."""
    with pytest.raises(ConfigError, match=match):
        make()  # type: ignore[operator]


def test_what_was_said_before_a_failure_is_streamed(runtime: Runtime) -> None:
    """A generator that raises half way is a stream that breaks half way, with what had come."""

    def answer(messages: tuple[Message, ...]) -> Iterator[str]:
        yield "half "
        yield "an answer"
        raise ServerError("down", retryable=False)

    with Agent(FakeModel(answer)).stream("?", runtime=runtime) as stream:
        assert "".join(chunk.delta for chunk in stream) == "half an answer"
        with pytest.raises(ServerError, match="down") as caught:
            _ = stream.result
    assert caught.value.partial == "half an answer"


async def test_a_generator_is_closed_with_its_stream() -> None:
    """What a model function holds is let go of at once, and empty tokens are no deltas."""
    closed = asyncio.Event()

    async def tokens(messages: tuple[Message, ...]) -> AsyncIterator[str]:
        try:
            while True:
                yield ""
                yield "word "
        finally:
            closed.set()

    async with Runtime() as rt:
        async with rt.stream(Agent(FakeModel(tokens)), "?", flush_interval=0) as stream:
            async for chunk in stream:
                if isinstance(chunk, TextDelta):
                    assert chunk.delta == "word "
                if chunk.index == 20:
                    break
        await asyncio.wait_for(closed.wait(), 10)


def weather(city: str, days: int, unit: Literal["C", "F"] = "C") -> str:
    """The weather."""
    return f"{city} {days} {unit}"


def nothing() -> str:
    """Nothing is needed."""
    return "nothing"


class Forecast(msgspec.Struct):
    """An output with bounds and parts."""

    city: str
    degrees: Annotated[int, msgspec.Meta(ge=5, le=9)]
    inner: "Forecast | None"
    kind: Literal["sun", "rain"]
    hours: Annotated[list[float], msgspec.Meta(min_length=2)]


def test_auto_calls_every_tool_once_and_answers(runtime: Runtime) -> None:
    """With arguments that the tools take; each run anew, also in one conversation."""
    agent = Agent(FakeModel.auto(), tools=[weather, nothing])
    result = runtime.run(agent, "?")
    assert [(each.name, each.error) for each in result.tool_calls] == [
        ("weather", None),
        ("nothing", None),
    ]
    assert result.output == '{"weather": "a 0 C", "nothing": "nothing"}'
    again = runtime.run(agent, "?", history=result.messages)
    assert len(again.tool_calls) == 2
    assert runtime.run(Agent(FakeModel.auto()), "?").output == "auto"


def test_auto_answers_with_the_output_type(runtime: Runtime) -> None:
    """Behind the tools comes a value of the type."""
    result = runtime.run(Agent(FakeModel.auto(), tools=[nothing], output=Forecast), "?")
    assert len(result.tool_calls) == 1
    assert isinstance(result.output, Forecast)
    assert (result.output.degrees, result.output.kind, result.output.hours) == (5, "rain", [0, 0])


@pytest.mark.parametrize("streamed", [False, True])
def test_faults_are_the_errors_that_a_client_makes_of_them(
    runtime: Runtime, streamed: bool
) -> None:
    """With status, Retry-After and whether a retry may help."""
    faults = [Status(status=429, retry_after=2.5), Status(status=500), Malformed(), Reset()]
    agent = Agent(FakeModel([*faults, "up"]), retries=0)
    errors = []
    for _ in faults:
        with pytest.raises(ModelError) as caught:
            _answer(runtime, agent, streamed=streamed)
        errors.append(caught.value)
    assert [type(each) for each in errors] == [
        RateLimitError,
        ServerError,
        ResponseError,
        ConnectError,
    ]
    assert [each.status for each in errors] == [429, 500, 200, None]
    assert errors[0].retry_after == 2.5
    assert errors[0].provider == "fake"
    assert _answer(runtime, agent, streamed=streamed) == "up"


def test_faults_are_retried_as_the_clients_are() -> None:
    """A 429 is waited for as long as it says, in virtual time."""

    async def main(rt: Runtime) -> float:
        begin = rt.system.now()
        agent = Agent(FakeModel([Status(status=429, retry_after=20.0), "up"]), retries=1)
        assert (await rt.arun(agent, "?")).output == "up"
        return rt.system.now() - begin

    assert SimRuntime(1).run(main) >= 20.0


def test_a_dropped_stream_keeps_what_came(runtime: Runtime) -> None:
    """It breaks the turn behind it off, which is the next call's again."""
    agent = Agent(FakeModel([Truncate(after=2), "one two three"]), retries=0)
    with runtime.stream(agent, "?") as stream:
        text = [chunk.delta for chunk in stream if isinstance(chunk, TextDelta)]
    assert "".join(text) == "one two"
    with pytest.raises(StreamBrokenError):
        stream.collect()
    assert runtime.run(agent, "?").output == "one two three"


def test_a_silent_provider_ends_at_the_deadline() -> None:
    """A blackhole holds the call until who asked has had enough."""

    async def main(rt: Runtime) -> None:
        with pytest.raises(DeadlineExceededError):
            await rt.arun(Agent(FakeModel([Blackhole()])), "?", timeout=50.0)

    SimRuntime(1).run(main)


def test_a_function_may_give_a_fault(runtime: Runtime) -> None:
    """As the server's may; it breaks an echo off."""
    agent = Agent(FakeModel(lambda _: StreamFault(after=1)), retries=0)
    with runtime.stream(agent, "?") as stream:
        assert "".join(chunk.delta for chunk in stream) == "echo:"
    with pytest.raises(ServerError):
        stream.collect()


def test_what_only_bytes_can_do_is_refused(runtime: Runtime) -> None:
    """It names what can."""
    with pytest.raises(ConfigError, match="use a ProviderServer"):
        runtime.run(Agent(FakeModel([BadChunk()])), "?")


def _answer(runtime: Runtime, agent: Agent, *, streamed: bool) -> str:
    if not streamed:
        return agent.run("?", runtime=runtime).output
    with agent.stream("?", runtime=runtime) as stream:
        return stream.collect()
