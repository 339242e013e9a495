from collections.abc import AsyncGenerator

import pytest

from understudy import Agent, AssistantMessage, ContentFilterError, Runtime, SystemMessage, Usage
from understudy.actors.models.provider import TextPiece
from understudy.messages.models import Complete, Completion
from understudy.runtime.config.schema import Config, LlmConfig
from understudy.testing import FakeModel

pytestmark = pytest.mark.anyio


class Refusing(FakeModel):
    """A model whose provider refuses half way."""

    async def complete(self, request: Complete, *, timeout: float | None = None) -> Completion:
        self.requests.append(request)
        return Completion(
            message=AssistantMessage(content="I can"),
            finish_reason="content_filter",
            usage=Usage(),
            model="m-2025",
            provider="fake",
            request_id="req-1",
        )


def test_a_refusal_is_an_error_with_its_facts(runtime: Runtime) -> None:
    """A filtered answer is no answer: the error names the model and keeps what came."""
    with pytest.raises(ContentFilterError, match="fake:fake refused to answer") as caught:
        runtime.run(Agent(Refusing([])), "x")
    error = caught.value
    facts = (error.provider, error.model, error.request_id, error.partial)
    assert facts == ("fake", "fake", "req-1", "I can")


class Cut(FakeModel):
    """A model that runs out of tokens, and says what it is called."""

    async def complete(self, request: Complete, *, timeout: float | None = None) -> Completion:
        return Completion(
            message=AssistantMessage(content="cut"),
            finish_reason="length",
            usage=Usage(input_tokens=1, output_tokens=2, cached_tokens=1),
            model="m-2025",
            provider="fake",
            attempts=3,
        )


def test_what_the_model_says_about_itself_is_in_the_result(runtime: Runtime) -> None:
    """Finish reason, model, attempts and usage come from the completion."""
    result = runtime.run(Agent(Cut([])), "x")
    assert (result.finish_reason, result.model, result.attempts) == ("length", "m-2025", 3)
    assert result.usage == Usage(input_tokens=1, output_tokens=2, cached_tokens=1)


async def test_defaults_of_the_configuration_are_used_where_an_agent_is_silent() -> None:
    """`[llm]` fills in temperature and max_tokens; what the agent says wins, 0.0 included."""
    fake = FakeModel.echo()
    config = Config(llm=LlmConfig(temperature=0.7, max_tokens=9))
    async with Runtime(config=config) as rt:
        await rt.arun(Agent(fake), "a")
        await rt.arun(Agent(fake, temperature=0.0, max_tokens=5), "b")
    async with Runtime() as rt:
        await rt.arun(Agent(fake), "c")
    sent = [(request.temperature, request.max_tokens) for request in fake.requests]
    assert sent == [(0.7, 9), (0.0, 5), (None, None)]


async def test_everything_of_a_spec_reaches_the_model() -> None:
    """Sampling, stops, seed and extras are in the request, behind one system message."""
    fake = FakeModel.echo()
    agent = Agent(
        fake,
        instructions="be brief",
        temperature=0.1,
        max_tokens=7,
        stop=("END",),
        seed=4,
        extra={"top_k": 3},
    )
    async with Runtime() as rt:
        await rt.arun(agent, "x")
    (request,) = fake.requests
    assert request.messages[0] == SystemMessage(content="be brief")
    assert (request.temperature, request.max_tokens, request.stop) == (0.1, 7, ("END",))
    assert (request.seed, request.extra) == (4, {"top_k": 3})


class Unfinished(FakeModel):
    """A model whose stream ends without its completion."""

    async def stream(
        self, request: Complete, *, timeout: float | None = None
    ) -> AsyncGenerator[TextPiece | Completion, None]:
        yield TextPiece(text="half")


def test_a_stream_without_its_completion_is_an_error(runtime: Runtime) -> None:
    """A provider that forgets the end is not taken for one that is done."""
    from understudy import ResponseError

    with Agent(Unfinished([])).stream("x", runtime=runtime) as stream:
        assert "".join(chunk.delta for chunk in stream) == "half"
        with pytest.raises(ResponseError, match="without its completion") as caught:
            _ = stream.result
    assert caught.value.partial == "half"


def test_a_run_without_anything_else_is_two_requests(runtime: Runtime) -> None:
    """`RunAgent` and `Complete`, and the answer that comes back if it is not there at once."""
    agent = Agent(FakeModel.echo())
    runtime.run(agent, "warm up")
    before = runtime.ledger.accepted
    runtime.run(agent, "x")
    assert runtime.ledger.accepted - before in (2, 3)


def test_actors_are_reused(runtime: Runtime) -> None:
    """A hundred runs, one after the other, need one agent actor."""
    agent = Agent(FakeModel.echo())
    for number in range(100):
        runtime.run(agent, str(number))
    system = runtime.tree().children[1]
    agents = next(node for node in system.children if node.path == "/system/agents")
    assert len(agents.children) == 1


def test_a_model_that_was_killed_is_made_anew(runtime: Runtime) -> None:
    """A model's actor that is gone does not take the agents that name it with it."""
    agents = [Agent(FakeModel.echo()), Agent("local:extractive")]
    text = "The house stands. It has many rooms. Each room has a door."
    for agent in agents:
        first = runtime.run(agent, text).output
        served = runtime.crew.models.find(agent)
        served.ref.kill().get(timeout=10)
        assert runtime.run(agent, text).output == first
