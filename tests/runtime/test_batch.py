import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from understudy import (
    Agent,
    AssistantMessage,
    ConfigError,
    ContextWindowError,
    Message,
    Pending,
    Price,
    Runtime,
    ServerError,
    SystemMessage,
    Usage,
    UserMessage,
    tool,
)
from understudy.runtime.batch import _shares
from understudy.testing import FakeModel, call

pytestmark = pytest.mark.anyio

Entries = list[dict[str, Any]]


class City(msgspec.Struct):
    name: str


def asked_of(messages: tuple[Message, ...]) -> Entries | None:
    """The requests of a batch, or None where one is asked alone."""
    content = messages[-1].content
    assert isinstance(content, str)
    return json.loads(content[content.index("[") :]) if "requests. Answer each" in content else None


def model(change: Callable[[Entries], Any] = lambda answers: answers) -> FakeModel:
    """Answers each request with a city of its name; `change` spoils the answers of batches."""

    def answer(messages: tuple[Message, ...]) -> str:
        asked = asked_of(messages)
        if asked is None:
            return json.dumps({"name": f"alone {messages[-1].content}"})
        made = change([{"id": e["id"], "answer": {"name": e["request"]}} for e in asked])
        return made if isinstance(made, str) else json.dumps({"items": made})

    return FakeModel(answer)


def names(agent: Agent[City], rt: Runtime, prompts: list[str], **options: Any) -> list[str]:
    """What comes of a batch."""
    return [result.output.name for result in agent.batch(prompts, runtime=rt, **options)]


def test_many_prompts_are_one_request(runtime: Runtime) -> None:
    """The results are what the prompts alone would have given, in their order."""
    fake = model(lambda answers: answers[::-1])
    agent = Agent(fake, output=City, instructions="geo", max_tokens=10, temperature=0.0)
    first, second = agent.batch(["a", "b"], runtime=runtime)
    assert (first.output, second.output) == (City("a"), City("b"))
    assert second.new_messages == (
        UserMessage(content="b"),
        AssistantMessage(content='{"name":"b"}'),
    )
    assert second.messages == second.new_messages
    (request,) = fake.requests
    assert request.messages[0] == SystemMessage(content="geo")
    assert (request.max_tokens, request.temperature) == (20, 0.0)
    assert request.output is not None
    assert first.usage.output_tokens + second.usage.output_tokens > 0
    assert not first.usage.measured


async def test_groups_of_a_size() -> None:
    """A long list is asked in several requests; one that is left over is asked alone."""
    fake = model()
    async with Runtime() as rt:
        results = await Agent(fake, output=City).abatch(list("abcde"), size=2, runtime=rt)
    assert [result.output.name for result in results] == ["a", "b", "c", "d", "alone e"]
    assert len(fake.requests) == 3


def test_text_is_batched_too(runtime: Runtime) -> None:
    """An agent without a type gives each its text."""

    def answer(messages: tuple[Message, ...]) -> str:
        asked = asked_of(messages) or []
        return json.dumps({"items": [{"id": e["id"], "answer": e["request"] * 2} for e in asked]})

    results = Agent(FakeModel(answer)).batch(["a", "b"], runtime=runtime)
    assert [(r.output, r.text) for r in results] == [("aa", "aa"), ("bb", "bb")]


def test_a_text_must_be_one(runtime: Runtime) -> None:
    """Anything else in its place is asked again."""

    def answer(messages: tuple[Message, ...]) -> str:
        asked = asked_of(messages)
        if asked is None:
            return "x"
        return json.dumps({"items": [{"id": e["id"], "answer": 7} for e in asked]})

    results = Agent(FakeModel(answer)).batch(["a", "b"], runtime=runtime)
    assert [result.output for result in results] == ["x", "x"]


SPOILED: list[tuple[str, Callable[[Entries], Any], list[str]]] = [
    ("one is missing", lambda a: a[:2], ["a", "b", "alone c"]),
    ("an id is unknown", lambda a: [a[0], a[1], a[2] | {"id": "3"}], ["a", "b", "alone c"]),
    ("an id is a number", lambda a: [a[0], a[1], a[2] | {"id": 3}], ["a", "b", "alone c"]),
    ("one came twice", lambda a: [*a, a[1]], ["a", "alone b", "c"]),
    ("one came three times", lambda a: [*a, a[1], a[1]], ["a", "alone b", "c"]),
    ("one is of another type", lambda a: [a[0], a[1] | {"answer": 1}, a[2]], ["a", "alone b", "c"]),
    ("one has no answer", lambda a: [a[0], {"id": a[1]["id"]}, a[2]], ["a", "alone b", "c"]),
    ("one is no object", lambda a: ["x", *a], ["a", "b", "c"]),
    ("it is prose", lambda _: "I'd rather not.", ["alone a", "alone b", "alone c"]),
    ("it is another object", lambda _: "{}", ["alone a", "alone b", "alone c"]),
    ("it is fenced", lambda a: f"Here:\n```json\n{json.dumps(a)}\n```", ["a", "b", "c"]),
    ("it is cut", lambda a: json.dumps({"items": a})[:-8], ["a", "b", "alone c"]),
]


@pytest.mark.parametrize(("change", "expected"), [pytest.param(*s[1:], id=s[0]) for s in SPOILED])
def test_what_is_not_certain_is_asked_alone(
    runtime: Runtime, change: Callable[[Entries], Any], expected: list[str]
) -> None:
    """Only the prompts concerned; no answer is ever given to another prompt."""
    fake = model(change)
    assert names(Agent(fake, output=City), runtime, ["a", "b", "c"]) == expected
    assert len(fake.requests) == 1 + sum(name.startswith("alone") for name in expected)


def test_answers_that_moved_up_are_nobodys(runtime: Runtime) -> None:
    """Ids do not follow from each other, so a model that counts does not fit by accident."""
    counted = model(lambda answers: [e | {"id": str(n)} for n, e in enumerate(answers)])
    assert names(Agent(counted, output=City), runtime, ["a", "a"]) == ["alone a", "alone a"]


def test_the_usage_of_all_requests_is_in_the_results(runtime: Runtime) -> None:
    """The shared one is shared out, also to those that had to be asked alone."""
    fake = model(lambda answers: answers[:1])
    first, second = Agent(fake, output=City).batch(["a", "b"], runtime=runtime)
    alone = Agent(model(), output=City).run("b", runtime=runtime).usage
    assert second.usage.input_tokens > alone.input_tokens
    assert abs(second.usage.input_tokens - alone.input_tokens - first.usage.input_tokens) <= 1
    assert (first.attempts, second.attempts) == (1, 2)


def test_shares_add_up() -> None:
    """No token is lost or counted twice."""
    usage = Usage(input_tokens=100, output_tokens=7, cached_tokens=1, reasoning_tokens=0)
    total = sum(_shares(usage, 3), start=Usage())
    assert total == msgspec.structs.replace(usage, measured=False)


def test_prompts_that_are_too_long_together_are_asked_alone(runtime: Runtime) -> None:
    """What fits one by one is not refused because it was batched."""

    def answer(messages: tuple[Message, ...]) -> str:
        if asked_of(messages) is not None:
            raise ContextWindowError("too long", retryable=False)
        return json.dumps({"name": str(messages[-1].content)})

    assert names(Agent(FakeModel(answer), output=City), runtime, ["a", "b"]) == ["a", "b"]


def test_another_failure_is_a_failure(runtime: Runtime) -> None:
    """It is raised as it is."""
    fake = FakeModel([ServerError("down", retryable=False)])
    with pytest.raises(ServerError, match="down"):
        Agent(fake).batch(["a", "b"], runtime=runtime)


def test_options_of_the_call(runtime: Runtime) -> None:
    """They reach the shared request, and the history every result."""
    fake = model()
    history = (UserMessage(content="hi"), AssistantMessage(content="ho"))
    agent = Agent(fake, output=City)
    first, _ = agent.batch(["a", "b"], runtime=runtime, history=history, temperature=0.5)
    assert fake.requests[0].messages[:2] == history
    assert fake.requests[0].temperature == 0.5
    assert first.messages[:2] == history


def test_a_call_that_waits_for_approval_is_made_for_its_own_prompt(runtime: Runtime) -> None:
    """Nobody can approve for all at once: each prompt comes back with what it waits for."""

    @tool(requires_approval=True)
    def delete(name: str) -> str:
        """Delete it."""
        return name

    def answer(messages: tuple[Message, ...]) -> Any:
        return call("delete", name=str(messages[-1].content)[:4])

    agent = Agent(FakeModel(answer), output=City, tools=[delete])
    results = agent.batch(["a", "b"], runtime=runtime)
    waiting = [result.pending.calls[0].arguments for result in results if result.pending]
    assert waiting == [{"name": "a"}, {"name": "b"}]


def test_the_cost_is_shared_out() -> None:
    """What the results cost together is what was spent."""
    with Runtime(prices={"fake:fake": Price(input=1e6, output=0.0)}) as rt:
        results = Agent(model(), output=City).batch(["a", "b"], runtime=rt)
        spent = sum(result.usage.input_tokens for result in results)
    assert [result.cost for result in results] == [spent / 2, spent / 2]


def test_bad_input(runtime: Runtime) -> None:
    """No prompts are no request; sizes and prompts that cannot be are named."""
    agent = Agent(FakeModel([]))
    assert agent.batch([], runtime=runtime) == []
    resume = Pending(calls=(), messages=()).approve()
    with pytest.raises(ConfigError, match="resume= goes on with one run"):
        agent.batch(["a"], runtime=runtime, resume=resume)
    with pytest.raises(ConfigError, match="size=0"):
        agent.batch(["a"], runtime=runtime, size=0)
    with pytest.raises(ConfigError, match="takes a text, not a int"):
        agent.batch(["a", 3], runtime=runtime)  # type: ignore[list-item]
    with pytest.raises(ConfigError, match="did you mean temperature="):
        agent.batch(["a", "b"], runtime=runtime, temprature=1)
