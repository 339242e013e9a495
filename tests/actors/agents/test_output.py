import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import msgspec
import pytest

from understudy import (
    Agent,
    AgentSpec,
    AssistantMessage,
    BadRequestError,
    ConfigError,
    OutputError,
    Runtime,
    ServerError,
    Usage,
    UserMessage,
)
from understudy.actors.agents.output import output_plan
from understudy.actors.agents.shapes import MismatchError
from understudy.messages.codec import decode, encode
from understudy.messages.models import Complete, Completion
from understudy.testing import FakeModel, call

pytestmark = pytest.mark.anyio


class City(msgspec.Struct):
    name: str
    people: int = 0


@dataclasses.dataclass
class Fussy:
    n: int

    def __post_init__(self) -> None:
        if self.n < 0:
            raise ValueError("n counts things")


class Broken(msgspec.Struct):
    n: int

    def __post_init__(self) -> None:
        raise LookupError("a mistake of the class")


def test_the_schema_goes_with_the_request(runtime: Runtime) -> None:
    """An object as it is, anything else as the one member of an object; under a fit name."""
    fake = FakeModel(['{"name": "a"}', '{"items": [{"name": "a"}]}', '{"value": 4}', '{"a": 1}'])
    outputs: list[Any] = [City, list[City], int, dict[str, int]]
    results = [Agent(fake, output=output).run("?", runtime=runtime).output for output in outputs]
    assert results == [City("a"), [City("a")], 4, {"a": 1}]
    sent = [request.output for request in fake.requests]
    assert [each.name for each in sent if each] == ["City", "list_City", "int", "dict_str_int"]
    members = [list(each.schema.get("properties", {})) for each in sent if each]
    assert members == [["name", "people"], ["items"], ["value"], []]
    assert all(each.schema["type"] == "object" for each in sent if each)


def test_an_agent_without_output_asks_for_none(runtime: Runtime) -> None:
    """Nor does one whose output is `str`: that is what text is."""
    fake = FakeModel(['{"name": "a"}'] * 2)
    assert Agent(fake).run("?", runtime=runtime).output == '{"name": "a"}'
    assert Agent(fake, output=str).run("?", runtime=runtime).output == '{"name": "a"}'
    assert [request.output for request in fake.requests] == [None, None]


def test_a_value_may_be_none(runtime: Runtime) -> None:
    """None of a union is an output, not the lack of one."""
    agent = Agent(FakeModel(["null"]), output=City | None)
    result = agent.run("?", runtime=runtime)
    assert (result.output, result.text) == (None, "null")


def look(place: str) -> str:
    """Look something up.

    Args:
        place: where.
    """
    return f"{place}: 5"


def test_tools_come_first_and_the_second_answer_calls_none(runtime: Runtime) -> None:
    """The schema is in every request of the loop; asked again, the model has to answer."""
    fake = FakeModel([call("look", place="Paris"), "5?", '{"name": "Paris", "people": 5}'])
    result = Agent(fake, output=City, tools=[look]).run("?", runtime=runtime)
    assert result.output == City("Paris", 5)
    assert [record.result for record in result.tool_calls] == ["Paris: 5"]
    assert [request.output is not None for request in fake.requests] == [True, True, True]
    assert [request.tool_choice for request in fake.requests] == [None, None, "none"]


@pytest.mark.parametrize(
    ("output", "text", "value"),
    [
        (City, 'Sure:\n```json\n{"name": "a"}\n```', City("a")),
        (City, 'Like {"name": 1}? No: {"name": "b"}. Or [1]', City("b")),
        (list[City], '[{"name": "a"}]', [City("a")]),
        (list[City], 'Here: [{"name": "a"}]', [City("a")]),
        (int, "42", 42),
        (Literal["yes", "no"], " `yes`\n", "yes"),
        (Literal["yes", "no"], "yes", "yes"),
        (City | None, "null", None),
    ],
)
def test_answers_are_read_leniently_around_the_json(output: Any, text: str, value: Any) -> None:
    """Fences, sentences, a list or a word without its object: nothing of it is lost."""
    assert output_plan(output).read(text) == value


@pytest.mark.parametrize(
    ("output", "text", "told"),
    [
        (City, '{"name": "a"', "It holds no complete JSON"),
        (City, "Paris", "It holds no complete JSON"),
        (City, '{"nam": "a"}', "missing required field `name`"),
        (int, "4.5", "Expected `int`"),
        (list[City], '{"name": "a"}', "Expected `array`, got `object`"),
        (str | int, '{"value": "cut', "It holds no complete JSON"),
        (Fussy, '{"n": -1}', "n counts things"),
        (Broken, '{"n": 1}', "LookupError: a mistake of the class"),
    ],
)
def test_wrong_json_is_not_repaired(output: Any, text: str, told: str) -> None:
    """What is cut or of another shape is told, never guessed."""
    with pytest.raises(MismatchError, match=told):
        output_plan(output).read(text)


class Counted(FakeModel):
    """A model whose every answer takes ten tokens in and one out."""

    async def complete(self, request: Complete, *, timeout: float | None = None) -> Completion:
        answer = await super().complete(request)
        return msgspec.structs.replace(answer, usage=Usage(input_tokens=10, output_tokens=1))


def test_it_asks_once_more_with_what_was_wrong(runtime: Runtime) -> None:
    """The second answer counts; the conversation, usage and attempts hold both."""
    fake = Counted(['{"name": 1}', '{"name": "Paris"}', "later"])
    agent = Agent(fake, output=City, instructions="geo")
    result = agent.run("?", runtime=runtime)
    assert result.output == City("Paris")
    assert result.text == '{"name": "Paris"}'
    asked, first, complaint, second = result.new_messages
    assert (asked, first) == (UserMessage(content="?"), AssistantMessage(content='{"name": 1}'))
    assert isinstance(complaint, UserMessage)
    assert "Expected `str`, got `int` - at `$.name`" in complaint.content
    assert second == AssistantMessage(content='{"name": "Paris"}')
    assert fake.requests[1].messages[1:] == (asked, first, complaint)
    assert fake.requests[1].output == fake.requests[0].output
    assert result.attempts == 2
    assert result.usage == Usage(input_tokens=20, output_tokens=2)
    more = agent.run("and?", history=result.messages, runtime=runtime, output=None)
    assert fake.requests[2].messages[1:] == (*result.messages, UserMessage(content="and?"))
    assert more.output == "later"


def test_twice_wrong_is_an_error_with_its_facts(runtime: Runtime) -> None:
    """The text of the last answer, the usage of both, and what was wrong."""
    fake = Counted(['{"name": 1}', "I cannot."])
    with pytest.raises(OutputError, match=r"fake:fake gave no City: .*asked twice") as caught:
        Agent(fake, output=City).run("?", runtime=runtime)
    error = caught.value
    assert (error.partial, error.problem) == ("I cannot.", "It holds no complete JSON")
    assert (error.provider, error.model, error.attempts) == ("fake", "fake", 2)
    assert error.usage == Usage(input_tokens=20, output_tokens=2)
    assert not error.retryable
    assert len(fake.requests) == 2


class Cut(FakeModel):
    """A model that runs out of tokens."""

    async def complete(self, request: Complete, *, timeout: float | None = None) -> Completion:
        answer = await super().complete(request)
        return msgspec.structs.replace(answer, finish_reason="length")


def test_a_cut_answer_is_not_asked_for_again(runtime: Runtime) -> None:
    """It would be cut again; the error names the option. One that is whole all the same counts."""
    fake = Cut(['{"name": "Par', '{"name": "Paris"}'])
    with pytest.raises(OutputError, match="cut at max_tokens; raise it") as caught:
        Agent(fake, output=City).run("?", runtime=runtime)
    assert caught.value.partial == '{"name": "Par'
    assert len(fake.requests) == 1
    assert Agent(fake, output=City).run("?", runtime=runtime).output == City("Paris")


def test_usage_of_the_first_answer_is_kept_when_the_second_fails(runtime: Runtime) -> None:
    """What was paid for is in the error."""
    spent = Usage(input_tokens=3)
    fake = Counted(["no", ServerError("down", retryable=False, usage=spent)])
    with pytest.raises(ServerError, match="down") as caught:
        Agent(fake, output=City).run("?", runtime=runtime)
    assert caught.value.usage == Usage(input_tokens=13, output_tokens=1)


def test_a_stream_never_says_a_thing_twice(runtime: Runtime) -> None:
    """The second answer is in the result, not in the text that was already read."""
    with Agent(FakeModel(["no", '{"name": "a"}']), output=City).stream("?", runtime=runtime) as s:
        assert "".join(chunk.delta for chunk in s) == "no"
        assert s.result.output == City("a")


def test_a_model_without_words_refuses(runtime: Runtime) -> None:
    """The extractive model writes no JSON and says so."""
    with pytest.raises(BadRequestError, match="writes no JSON"):
        Agent("local:extractive", output=City).run("Some text.", runtime=runtime)


def test_a_type_that_was_not_loaded_is_named(runtime: Runtime) -> None:
    """A spec that came in bytes needs its types before it runs."""
    spec = decode(encode(AgentSpec(name="geo", output=Usage)), AgentSpec)
    spec = msgspec.structs.replace(spec, model=FakeModel(["{}"]))
    with pytest.raises(ConfigError, match=r"agent 'geo': output=.*load_functions first"):
        runtime.run(spec, "?")


def test_a_plan_is_made_once() -> None:
    """Runs of one type share it."""
    assert output_plan(list[City]) is output_plan(list[City])


def test_elements_are_read_one_by_one() -> None:
    """Only those of a list."""
    plan = output_plan(list[City])
    assert plan.is_list
    assert plan.read_item('{"name": "a"}') == City("a")
    refused: list[tuple[Callable[[str], Any], str]] = [
        (plan.read_item, '{"name": 1}'),
        (plan.read_item, "{"),
        (plan.read_item, '{"name": ' + "[" * 100_000 + "]" * 100_000 + "}"),
        (output_plan(City).read_item, '{"name": "a"}'),
    ]
    for read, text in refused:
        with pytest.raises(MismatchError):
            read(text)
