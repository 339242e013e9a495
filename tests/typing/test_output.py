"""What type checkers infer: mypy and basedpyright both read this file."""

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from understudy import Agent, Result, Runtime
from understudy.testing import FakeModel

if TYPE_CHECKING:
    from typing import assert_type

pytestmark = pytest.mark.anyio


class City(msgspec.Struct):
    """An output."""

    name: str


def shout(agent: Agent, prompt: str, runtime: Runtime) -> str:
    """An agent that is not said to be of anything gives text."""
    return agent.run(prompt, runtime=runtime).output.upper()


def test_the_output_type_is_inferred(runtime: Runtime) -> None:
    """`Agent(output=City)` is an `Agent[City]`, whose results hold a City; text is the default."""
    cities = Agent(FakeModel(['{"name": "Paris"}']), output=City)
    result = cities.run("?", runtime=runtime)
    lists = Agent(FakeModel([]), name="l", temperature=0.0, output=list[City])
    texts = Agent(FakeModel(["a"]))
    anything = Agent(FakeModel([]), output=City | None)
    if TYPE_CHECKING:
        assert_type(cities, Agent[City])
        assert_type(result, Result[City])
        assert_type(result.output, City)
        assert_type(lists, Agent[list[City]])
        assert_type(texts, Agent[str])
        assert_type(texts.with_(name="x"), Agent[str])
        assert_type(texts.with_(output=City), Agent[City])
        assert_type(anything, Agent[Any])
        Agent("m", nme="x")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    assert result.output.name == "Paris"


def test_so_is_what_the_other_verbs_give(runtime: Runtime) -> None:
    """Submitted, streamed and mapped runs hold the same type; a bare `Agent` gives text."""
    cities = Agent(FakeModel(['{"name": "a"}'] * 3), output=City)
    submitted = cities.submit("?", runtime=runtime).get(timeout=10)
    mapped = cities.map(["?"], runtime=runtime)
    with cities.stream("?", runtime=runtime) as stream:
        streamed = stream.wait()
    if TYPE_CHECKING:
        assert_type(submitted, Result[City])
        assert_type(mapped, list[Result[City]])
        assert_type(streamed, Result[City])
    assert submitted.output == mapped[0].output == streamed.output == City("a")
    assert shout(Agent(FakeModel(["a"])), "?", runtime) == "A"


async def test_one_call_with_another_type(runtime: Runtime) -> None:
    """`run(output=City)` gives a City, from whatever agent and verb; a union is of any type."""
    agent = Agent(FakeModel(lambda _: '{"name": "a"}'), output=list[int])
    once = agent.run("?", output=City, runtime=runtime)
    awaited = await agent.arun("?", runtime=runtime, output=City)
    submitted = agent.submit("?", output=City, runtime=runtime).get(timeout=10)
    either = agent.run("?", output=City | None, runtime=runtime)
    with agent.stream("?", output=City, runtime=runtime) as stream:
        streamed = stream.wait()
    async with agent.astream("?", output=City, runtime=runtime) as stream:
        astreamed = await stream
    if TYPE_CHECKING:
        assert_type(once, Result[City])
        assert_type(awaited, Result[City])
        assert_type(submitted, Result[City])
        assert_type(either, Result[Any])
        assert_type(streamed, Result[City])
        assert_type(astreamed, Result[City])
    results = (once, awaited, submitted, either, streamed, astreamed)
    assert all(result.output == City("a") for result in results)
