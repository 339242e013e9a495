import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from understudy import (
    Agent,
    ConfigError,
    Message,
    ResponseError,
    Runtime,
    ServerError,
    TextDelta,
    ToolCall,
    UserMessage,
)
from understudy.messages.models import Complete
from understudy.testing import FakeModel, call
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
