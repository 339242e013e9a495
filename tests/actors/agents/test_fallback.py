from typing import Any

import pytest

from understudy import (
    Agent,
    BadRequestError,
    BreakerOpenError,
    Budget,
    ConfigError,
    ContextWindowError,
    OverloadedError,
    Price,
    Runtime,
    ServerError,
)
from understudy.actors.agents.asking import spec_for
from understudy.actors.models.directory import Served
from understudy.messages.agents import AgentSpec
from understudy.testing import FakeModel, call

pytestmark = pytest.mark.anyio


async def nothing() -> str:
    """Do nothing."""
    return "nothing"


@pytest.mark.parametrize(
    "error", [OverloadedError, BreakerOpenError, ContextWindowError, ServerError]
)
def test_another_model_goes_on(runtime: Runtime, error: type[Exception]) -> None:
    """Overload, an open breaker and a window that is too small are the first model's alone."""
    first, second = FakeModel([error], name="a"), FakeModel(["fine"], name="b")
    result = runtime.run(Agent(first, fallback=[second]), "q")
    assert (result.output, result.provider) == ("fine", "b")
    assert [m.content for m in second.requests[0].messages] == ["q"]
    assert second.requests[0].model == "b"


async def test_a_budget_in_dollars_asks_no_model_without_a_price() -> None:
    """Nor the one that would go on, whose calls nobody could count."""
    first, second = FakeModel([ServerError("down")], name="a"), FakeModel(["fine"], name="b")
    async with Runtime(prices={"a:*": Price(input=1.0, output=1.0)}) as rt:
        with pytest.raises(ConfigError, match=r"needs the price of b:b"):
            await rt.arun(Agent(first, fallback=[second]), "q", budget=Budget(usd=1))
    assert second.requests == []


def test_a_run_stays_with_the_model_that_can(runtime: Runtime) -> None:
    """The next turn does not try the one that could not; the next run does."""
    first = FakeModel([ServerError("x"), "back"], name="a")
    second = FakeModel([call("nothing"), "done"], name="b")
    agent = Agent(first, fallback=[second], tools=[nothing])
    assert runtime.run(agent, "q").output == "done"
    assert (len(first.requests), len(second.requests)) == (1, 2)
    assert runtime.run(agent, "q").output == "back"


def test_the_last_models_error_is_raised(runtime: Runtime) -> None:
    """In order, each once."""
    models: list[Any] = [FakeModel([ServerError(name)], name=name) for name in "abc"]
    with pytest.raises(ServerError, match="c"):
        runtime.run(Agent(models[0], fallback=models[1:]), "q")
    assert [len(model.requests) for model in models] == [1, 1, 1]


def test_a_mistake_is_a_mistake_for_every_model(runtime: Runtime) -> None:
    """A bad request is not sent to the next model."""
    second = FakeModel(["fine"], name="b")
    with pytest.raises(BadRequestError):
        runtime.run(Agent(FakeModel([BadRequestError]), fallback=[second]), "q")
    assert second.requests == []


def test_retries_of_an_agent_win_over_those_of_its_model(runtime: Runtime) -> None:
    """`retries=0` asks once; `retries=1` twice, and the attempts say so."""
    error = ServerError("x", retryable=True, retry_after=0.001)
    once = FakeModel([error, "never"])
    with pytest.raises(ServerError) as caught:
        runtime.run(Agent(once, retries=0), "q")
    assert (len(once.requests), caught.value.attempts) == (1, 1)
    twice = FakeModel([ServerError("x", retryable=True, retry_after=0.001), "fine"])
    assert runtime.run(Agent(twice, retries=1), "q").attempts == 2


async def test_a_stream_that_has_begun_is_not_begun_again() -> None:
    """A second answer behind half of a first one would be nonsense."""

    async def half() -> Any:
        yield "half"
        raise ServerError("gone")

    second = FakeModel(["whole"], name="b")
    async with Runtime() as rt:
        agent = Agent(FakeModel(lambda _: half()), fallback=[second])
        async with agent.astream("q", runtime=rt) as stream:
            text = "".join([chunk.delta async for chunk in stream])
        with pytest.raises(ServerError):
            _ = stream.result
    assert (text, second.requests) == ("half", [])


def test_address_and_key_stay_with_their_provider() -> None:
    """Another provider never gets them; another model of the same one does."""
    spec = AgentSpec("openai:a", base_url="http://here", api_key="env:MINE")
    before = Served(None, "a", "openai")  # type: ignore[arg-type]  # nobody is asked
    other = spec_for(spec, "anthropic:b", before)
    assert (other.model, other.base_url, other.api_key) == ("anthropic:b", None, None)
    same = spec_for(spec, "openai:b", before)
    assert (same.model, same.base_url, same.api_key) == ("openai:b", "http://here", "env:MINE")
