"""Structured output from end to end: over sockets, in every protocol, and in workflows."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from understudy import Agent, Message, OutputError, Runtime, Secret, Workflow, step
from understudy.testing import FakeModel, ProviderServer

KEY = Secret("k")


class City(msgspec.Struct):
    name: str
    people: int = 7


class Plan(msgspec.Struct):
    topics: list[str]
    tone: str


@pytest.fixture
def server() -> Iterator[ProviderServer]:
    """Says something wrong, then the right thing, with nulls as strict schemas have them."""
    answers = ['{"name": 1, "people": null}', '{"name": "Paris", "people": null}']
    with ProviderServer(answers) as server:
        yield server


@pytest.mark.parametrize(
    ("model", "under", "native"),
    [
        ("openai:gpt-5-mini", "/v1", True),
        ("openai-responses:gpt-5-mini", "/v1", True),
        ("anthropic:claude-sonnet-4-5", "", True),
        ("anthropic:claude-3-5-haiku-latest", "", False),
        ("ollama:llama3.2", "", True),
        ("openai-compatible:m", "/v1", True),
        ("groq:llama-3.3-70b-versatile", "/v1", False),
    ],
)
def test_every_protocol(
    runtime: Runtime, server: ProviderServer, model: str, under: str, native: bool
) -> None:
    """A value comes of it, after one more question; the schema is in both requests."""
    agent = Agent(model, output=City, base_url=server.url + under, api_key=KEY)
    result = agent.run("Capital of France?", runtime=runtime)
    assert result.output == City("Paris", 7)
    first, second = (json.dumps(request.json) for request in server.requests)
    assert ('"strict": true' in first or '"format"' in first or "_schema" in first) is native
    for told in (first, second):
        assert '"people"' in told or r"\"people\"" in told
    assert "Expected `str`, got `int` - at `$.name`" in second
    assert result.usage.measured
    assert result.attempts == 2


def test_twice_wrong_over_a_socket(runtime: Runtime) -> None:
    """The error has the measured usage of both answers."""
    with ProviderServer("nothing of the kind") as server:
        agent = Agent("openai:gpt-5-mini", output=City, base_url=server.base_url, api_key=KEY)
        with pytest.raises(OutputError, match="openai:gpt-5-mini gave no City") as caught:
            agent.run("?", runtime=runtime)
        assert len(server.requests) == 2
    assert caught.value.usage.measured
    assert caught.value.usage.output_tokens == 8


def test_elements_over_a_socket(runtime: Runtime) -> None:
    """A stream of events is cut anywhere; the elements are whole."""
    cities = [City(f"city {n}", n) for n in range(20)]
    text = msgspec.json.format(msgspec.json.encode({"items": cities}), indent=1).decode()
    with ProviderServer(text) as server:
        agent = Agent("openai:gpt-5-mini", output=list[City], base_url=server.base_url, api_key=KEY)
        with agent.stream("?", runtime=runtime) as stream:
            assert list(stream.items()) == cities


def test_a_batch_over_a_socket(runtime: Runtime) -> None:
    """One request for all."""

    def answer(messages: tuple[Message, ...]) -> str:
        asked = json.loads(str(messages[-1].content).partition("\n\n")[2])
        return json.dumps({"items": [{"id": e["id"], "answer": len(e["request"])} for e in asked]})

    with ProviderServer(answer) as server:
        agent = Agent("openai:gpt-5-mini", output=int, base_url=server.base_url, api_key=KEY)
        results = agent.batch(["a", "bb", "ccc"], runtime=runtime)
        assert len(server.requests) == 1
    assert [result.output for result in results] == [1, 2, 3]


def test_steps_use_the_fields_of_an_output(runtime: Runtime) -> None:
    """A placeholder names a field, `each` runs over a list in it, JSON stands for the whole."""
    seen: list[Any] = []

    def write(messages: tuple[Message, ...]) -> str:
        seen.append(messages[-1].content)
        return "written"

    planner = Agent(FakeModel(['{"topics": ["a", "b"], "tone": "dry"}']), output=Plan)
    writer = Agent(FakeModel(write))
    report = Workflow.dag(
        "report",
        step("plan", planner, "Plan {input}"),
        step("write", writer, "{item}, {plan.tone}", each="{plan.topics}", after="plan"),
        step("check", writer, "{plan}", after=("plan", "write")),
    )
    result = report.run("actors", runtime=runtime)
    assert result.steps["plan"].output == Plan(["a", "b"], "dry")
    assert sorted(seen[:2]) == ["a, dry", "b, dry"]
    assert json.loads(seen[2]) == {"topics": ["a", "b"], "tone": "dry"}
