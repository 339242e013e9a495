import asyncio
import dataclasses
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from understudy import Agent, ConfigError, OutputError, Runtime, ServerError, UnderstudyError
from understudy.messages.chunks import AnyChunk, TextDelta, ToolCallStarted
from understudy.runtime.items import Items
from understudy.testing import FakeModel, assert_quiet

pytestmark = pytest.mark.anyio


class City(msgspec.Struct):
    name: str


@dataclasses.dataclass(eq=False)
class Incomparable:
    n: int


async def test_elements_come_before_the_list_is_complete() -> None:
    """Each as soon as the model has written it; the result holds them all."""
    more = asyncio.Event()

    async def tokens(messages: object) -> AsyncIterator[str]:
        yield '{"items": [{"na'
        yield 'me": "Paris"},'
        await asyncio.wait_for(more.wait(), 10)
        yield ' {"name": "Rome"}]}'

    agent = Agent(FakeModel(tokens), output=list[City])
    async with Runtime() as rt:
        async with agent.astream("?", runtime=rt) as stream:
            items = aiter(stream.items())
            assert await asyncio.wait_for(anext(items), 10) == City("Paris")
            more.set()
            assert [city async for city in items] == [City("Rome")]
            assert stream.result.output == [City("Paris"), City("Rome")]
        assert_quiet(rt)


def items_of(rt: Runtime, answers: list[Any], output: Any = list[City]) -> list[Any]:
    """What the stream of an agent with these answers gives."""
    with Agent(FakeModel(answers), output=output).stream("?", runtime=rt) as stream:
        return list(stream.items())


@pytest.mark.parametrize(
    "text",
    [
        '{"items": [{"name": "a"}, {"name": "b"}]}',
        '[{"name": "a"}, {"name": "b"}]',
        '```json\n[{"name": "a"}, {"name": "b"}]\n```',
        'Here [they] are: [{"name": "a"}, {"name": "b"}]',
    ],
)
def test_whatever_surrounds_the_list(runtime: Runtime, text: str) -> None:
    """What cannot be given early is given at the end."""
    assert items_of(runtime, [text]) == [City("a"), City("b")]


def test_when_the_model_is_asked_again_the_rest_follows(runtime: Runtime) -> None:
    """The elements that were right are not repeated."""
    first = '[{"name": "a"}, {"name": 2}, {"name": "c"}]'
    second = first.replace("2", '"b"')
    assert items_of(runtime, [first, second]) == [City("a"), City("b"), City("c")]


def test_what_was_given_is_not_taken_back(runtime: Runtime) -> None:
    """A second list that begins otherwise is an error, not a list with a strange beginning."""
    with Agent(
        FakeModel(['[{"name": "a"}, {"name": 2}]', '[{"name": "b"}]']), output=list[City]
    ).stream("?", runtime=runtime) as stream:
        items = iter(stream.items())
        assert next(items) == City("a")
        with pytest.raises(OutputError, match="does not begin with the 1 elements") as caught:
            next(items)
    assert caught.value.partial == '[{"name": "b"}]'
    assert caught.value.usage.total_tokens > 0


def test_readers_along_get_them_too(runtime: Runtime) -> None:
    """Each reader of a stream splits for itself."""
    agent = Agent(FakeModel(['[{"name": "a"}, {"name": "b"}]']), output=list[City])
    with agent.stream("?", runtime=runtime) as stream:
        first, second = stream.tee(2)
        assert list(first.items()) == list(second.items()) == [City("a"), City("b")]


class Scripted:
    """A stream of these chunks."""

    def __init__(self, chunks: list[AnyChunk], output: list[City]) -> None:
        self.chunks = chunks
        self.result = SimpleNamespace(output=output, text="")

    def __iter__(self) -> Iterator[AnyChunk]:
        return iter(self.chunks)


def test_what_was_said_before_a_call_is_not_the_answer() -> None:
    """A model that talks, then calls a tool, still gives its list early."""
    chunks: list[AnyChunk] = [
        TextDelta(delta="Let me see: "),
        ToolCallStarted(id="1", name="look", arguments={}),
        TextDelta(delta='[{"name": "a"}, '),
    ]
    stream: Any = Scripted(chunks, [])
    assert next(iter(Items[City](stream, list[City]))) == City("a")


def test_elements_need_no_equality(runtime: Runtime) -> None:
    """The list is the same when its text is."""
    found = items_of(runtime, ['[{"n": 1}, {"n": 2}]'], list[Incomparable])
    assert [each.n for each in found] == [1, 2]


def test_a_failure_is_raised_at_the_end(runtime: Runtime) -> None:
    """What came before it has been given."""

    async def tokens(messages: object) -> AsyncIterator[str]:
        yield '[{"name": "a"}, '
        raise ServerError("down", retryable=False)

    agent = Agent(FakeModel(tokens), output=list[City])
    with agent.stream("?", runtime=runtime) as stream:
        items = iter(stream.items())
        assert next(items) == City("a")
        with pytest.raises(UnderstudyError, match="down"):
            next(items)


@pytest.mark.parametrize(
    ("output", "told"), [(City, "output=City"), (None, "has text"), (str, "has text")]
)
def test_only_lists_have_elements(runtime: Runtime, output: Any, told: str) -> None:
    """Anything else is refused at once, and the error says what would work."""
    with pytest.raises(ConfigError, match=rf"{told}; give it output=list\[...\]"):
        items_of(runtime, ["{}", "{}"], output)
