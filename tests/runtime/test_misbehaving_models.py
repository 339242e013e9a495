"""Objects in a model's place that do not do what a provider does."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest

from understudy import (
    Agent,
    ConfigError,
    ResponseError,
    Runtime,
    collect_stream,
    sse_events,
    stream_to_queue,
)
from understudy.testing import FakeModel


class Careless:
    """Gives texts where answers are wanted."""

    name = "careless"

    async def complete(self, *_: Any, **__: Any) -> str:
        """No Completion."""
        return "hello"

    async def stream(self, *_: Any, **__: Any) -> AsyncGenerator[int, None]:
        """No pieces."""
        yield 1

    async def aclose(self) -> None:
        """Nothing."""


def test_what_is_no_answer_is_named(runtime: Runtime) -> None:
    """Whole or streamed, the error says who gave what."""
    agent = Agent(Careless())
    with pytest.raises(ResponseError, match="careless gave a str, no Completion"):
        agent.run("?", runtime=runtime)
    with (
        agent.stream("?", runtime=runtime) as stream,
        pytest.raises(ResponseError, match="careless gave a int in a stream"),
    ):
        stream.collect()


@pytest.mark.parametrize("kind", [SystemExit, GeneratorExit])
def test_a_model_ends_nobody_else(runtime: Runtime, kind: type[BaseException]) -> None:
    """What would end the program is the answer's failure, and the model goes on."""

    def answer(messages: Any) -> str:
        if messages[-1].content == "end":
            raise kind("3")
        return "here"

    agent = Agent(FakeModel(answer))
    with pytest.raises(ResponseError, match=f"fake raised {kind.__name__}: 3"):
        agent.run("end", runtime=runtime)
    assert agent.run("?", runtime=runtime).output == "here"


def test_a_fake_that_gives_no_answer_says_so(runtime: Runtime) -> None:
    """It is the test's mistake, and is named as such."""
    wrong: Any = lambda _: 5  # noqa: E731
    with pytest.raises(ConfigError, match="its function gave a int, no text or calls"):
        Agent(FakeModel(wrong)).run("?", runtime=runtime)


def test_what_is_no_stream(runtime: Runtime) -> None:
    """Helpers say what they take; a stream says what it can be split into."""
    wrong: Any = "text"
    for helper in (sse_events, collect_stream, stream_to_queue):
        with pytest.raises(ConfigError, match=r"no stream; pass what agent.stream\("):
            helper(wrong)
    with Agent(FakeModel(["a"])).stream("?", runtime=runtime) as stream:
        with pytest.raises(ConfigError, match="at least 1 reader"):
            stream.tee(wrong)
        with pytest.raises(ConfigError, match="after='text'"):
            stream.subscribe(after=wrong)
