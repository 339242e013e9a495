"""What an agent with `output=` asks for, and what it makes of the answer.

Purpose: an `OutputPlan` is made once for each type. Its `request` is the schema that goes with the
request: a provider that enforces schemas is told so in its own way, any other model in words (see
`models.wire`). `read` makes the value of the answer's text; `shaped` does so for a run, and asks
once more, with what was wrong, when it does not succeed.

Guarantees: a value that comes out is of the type, validated by msgspec or by the pydantic model.
An agent without `output=` never comes here.

Providers take objects only, so anything else is asked for as the one member of an object, and is
taken out of it again. The answer is read leniently where it surrounds JSON with other words, never
where the JSON itself is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any, NamedTuple, get_origin

import msgspec

from understudy.actors.agents.shapes import MismatchError, Shape, shape_of, with_definitions
from understudy.actors.rules.json_text import json_value, json_values
from understudy.messages.chat import Message, Usage, UserMessage
from understudy.messages.errors import ConfigError, ModelError, OutputError
from understudy.messages.functions import FunctionRef
from understudy.messages.models import Complete, Completion, OutputSchema
from understudy.messages.types import TypeRef

_UNNAMED = re.compile(r"[^a-zA-Z0-9_-]+")
_SHOWN = 2_000


class OutputPlan:
    """See the module's docstring. Immutable; any number of runs share it.

    Args:
        shape: of what the answer shall be.
        name: of the type, for the provider and for errors.
    """

    def __init__(self, shape: Shape, name: str) -> None:
        self._shape = shape
        self.name = name
        kinds = shape.root.get("type")
        self._member = None if kinds == "object" else "items" if kinds == "array" else "value"
        schema = shape.complete
        if self._member is not None:
            wrapper = {
                "type": "object",
                "properties": {self._member: shape.schema},
                "required": [self._member],
            }
            schema = with_definitions(wrapper, shape.definitions)
        given = _UNNAMED.sub("_", name).strip("_")[:64] or "answer"
        self.request = OutputSchema(name=given, schema=schema)

    def read(self, text: str) -> Any:  # Any: a value of the type
        """The value that the text means.

        Raises:
            MismatchError: there is none in it; says what is wrong.
        """
        problem = ""
        for data in json_values(text):
            try:
                return read_value(self._shape, self._unwrapped(data))
            except MismatchError as error:
                problem = problem or str(error)  # of the likeliest
        bare = text.strip().strip("`\"'")
        if self._member == "value" and bare and "{" not in bare:  # a word, where one was asked for
            try:
                return read_value(self._shape, bare)
            except MismatchError:
                pass
        raise MismatchError(problem or "It holds no complete JSON")

    def read_item(self, text: str) -> Any:  # Any: an element of the list
        """The value of one element.

        Raises:
            MismatchError: it is none; or the plan is for something else than a list.
        """
        if self._shape.item is None:
            raise MismatchError(f"{self.name} is no list")
        try:
            data = json_value(text)
        except ValueError as error:
            raise MismatchError(str(error)) from error
        return read_value(self._shape.item, data)

    @property
    def is_list(self) -> bool:
        """Whether its elements can be had one by one."""
        return self._shape.item is not None

    @property
    def shape(self) -> Shape:
        """The shape itself, for plans that are made of plans."""
        return self._shape

    def _unwrapped(self, data: Any) -> Any:  # Any: JSON
        if self._member is not None and isinstance(data, dict) and data.keys() == {self._member}:
            return data[self._member]
        return data


def read_value(shape: Shape, data: Any) -> Any:  # Any: JSON in, a value out
    """The value; whatever goes wrong on the way is a `MismatchError`."""
    try:
        return shape.read(data)
    except MismatchError:
        raise
    except Exception as error:
        # Classes check themselves in code of their own, and whatever that raises is told to the
        # model: it is about its answer. It comes back as the cause of the OutputError.
        raise MismatchError(f"{type(error).__name__}: {error}") from error


def output_plan(output: Any, agent: str | None = None) -> OutputPlan:  # Any: a type
    """The plan for the `output=` of an agent.

    Args:
        output: a type, or a plan.
        agent: the agent's name, for the error.

    Raises:
        ConfigError: names the agent and the type that no answer can have.
    """
    if isinstance(output, OutputPlan):
        return output
    try:
        return _planned(output)
    except (TypeError, NameError, ValueError) as error:
        who = f"agent {agent!r}" if agent else "an agent without a name"
        raise ConfigError(f"{who}: output={_shown(output)} {_why(output, error)}") from error


@lru_cache(maxsize=256)
def _planned(output: Any) -> OutputPlan:  # Any: a type
    shape = shape_of(output)
    if not shape.schema:
        raise TypeError("it says nothing about the answer")
    return OutputPlan(shape, _shown(output))


def _why(output: Any, error: Exception) -> str:  # Any: what was given instead of a type
    if isinstance(output, (FunctionRef, TypeRef)):
        return "was decoded and not loaded: pass the spec to load_functions first"
    if isinstance(error, NameError):
        return f"refers to a class that does not exist here: {error}"
    if not isinstance(output, type) and get_origin(output) is None and not _is_form(output):
        return (
            "is not a type; pass a class (a msgspec.Struct, a dataclass, a TypedDict, a pydantic "
            "model) or a type such as list[City] or Literal['a', 'b']"
        )
    reason = str(error).rsplit("\n", 1)[-1]
    return (
        f"has no JSON form: {reason}; use a msgspec.Struct, a dataclass, a TypedDict, a pydantic "
        "model, or a list or union of them"
    )


def _is_form(output: Any) -> bool:  # Any: what was given instead of a type
    return type(output).__module__ in ("typing", "typing_extensions") and not callable(output)


def _shown(output: Any) -> str:  # Any: a type
    if isinstance(output, type) and not hasattr(output, "__args__"):
        return output.__qualname__.rsplit(".", 1)[-1]
    name = getattr(output, "__qualname__", None)
    if name is not None and callable(output) and not hasattr(output, "__args__"):
        return str(name)
    return re.sub(r"\b(?:\w+\.|<locals>\.)+", "", repr(output))[:200]


# -- runs ------------------------------------------------------------------------------------------


class Shaped(NamedTuple):
    """What a run with `output=` came to.

    Attributes:
        value: the output.
        said: the messages since the prompt: the answer, or the first one, what was wrong with it,
            and the second.
        completion: the answer that counts, with the usage and the attempts of all.
    """

    value: Any  # Any: a value of the type
    said: tuple[Message, ...]
    completion: Completion


async def shaped(
    plan: OutputPlan,
    request: Complete,
    completion: Completion,
    ask: Callable[[Complete], Awaitable[Completion]],
) -> Shaped:
    """Read an answer; ask once more, with the problem, when it cannot be read.

    Args:
        plan: for the type.
        request: what was asked.
        completion: what came.
        ask: asks again; its answer is not streamed, so that a stream never says a thing twice.

    Raises:
        OutputError: the second answer cannot be read either, or `max_tokens` cut the first.
    """
    answer = completion.message
    try:
        return Shaped(plan.read(answer.content), (answer,), completion)
    except MismatchError as error:
        problem = error
    if completion.finish_reason == "length":
        raise _failed(plan, completion, problem) from problem
    complaint = UserMessage(content=_complaint(problem))
    again = msgspec.structs.replace(
        request,
        messages=(*request.messages, answer, complaint),
        tool_choice="none" if request.tools else None,  # it has called what it wanted to
    )
    try:
        second = await ask(again)
    except ModelError as error:
        error.usage = completion.usage + (error.usage or Usage())
        raise
    second = msgspec.structs.replace(
        second,
        usage=completion.usage + second.usage,
        attempts=completion.attempts + second.attempts,
    )
    try:
        value = plan.read(second.message.content)
    except MismatchError as error:
        raise _failed(plan, second, error) from error
    return Shaped(value, (answer, complaint, second.message), second)


def _complaint(problem: MismatchError) -> str:
    return (
        f"That answer does not have the shape that was asked for. {str(problem)[:_SHOWN]}. "
        "Answer again, with JSON that matches the schema and nothing else."
    )


def _failed(plan: OutputPlan, completion: Completion, problem: MismatchError) -> OutputError:
    cut = completion.finish_reason == "length"
    told = (
        "its answer was cut at max_tokens; raise it"
        if cut
        else f"{str(problem)[:_SHOWN]} (asked twice)"
    )
    return OutputError(
        f"{completion.provider}:{completion.model} gave no {plan.name}: {told}",
        problem=str(problem)[:_SHOWN],
        partial=completion.message.content,
        usage=completion.usage,
        provider=completion.provider,
        model=completion.model,
        request_id=completion.request_id,
        attempts=completion.attempts,
    )
