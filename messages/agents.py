"""Agents as data: the spec, the request to run it, the result.

A spec says everything that is needed to run an agent and holds no state, so one spec serves any
number of concurrent runs and encodes to msgpack and back (an in-process model object is the one
field that does not).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypedDict, TypeVar

import msgspec

from understudy.messages.chat import Message, Usage
from understudy.messages.functions import FunctionRef
from understudy.messages.models import FinishReason
from understudy.messages.secrets import Secret
from understudy.messages.types import TypeRef

T = TypeVar("T")

if TYPE_CHECKING:
    Model = Any  # Any: "provider:model", or a model object of this process (FakeModel)
    ApiKey = str | Secret | None
    Output = Any  # Any: a type, in whatever spelling; None for text
else:
    # What may come off the wire: a name and a reference, never an object or a key.
    Model = str | None
    ApiKey = str | None
    Output = FunctionRef | TypeRef | None


class NamedModel(msgspec.Struct, frozen=True):
    """The one field of an agent that may be given unnamed: `Agent("openai:gpt-5-mini")`."""

    model: Model = None


class AgentSpec(NamedModel, frozen=True, kw_only=True, tag_field="kind", tag="agent"):
    """What an agent is.

    Attributes:
        name: shown in paths and events; defaults to a digest of the spec.
        instructions: the system message.
        output: the type of the answer (None: text): a Struct, dataclass, TypedDict, pydantic model,
            a list or union of them, a Literal, a scalar.
        temperature: not sent when None; 0.0 is sent.
        max_tokens: bound on each answer.
        timeout: seconds for a whole run (600 when None).
        base_url: the provider's address, without the operation's path.
        api_key: a `Secret`, or `"env:NAME"`.
        extra: further fields for the provider's request body.
    """

    name: str | None = None
    instructions: str | None = None
    output: Output = None
    temperature: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    timeout: float | None = None
    base_url: str | None = None
    api_key: ApiKey = None
    extra: dict[str, Any] = {}  # Any: JSON values of the provider's own


class AgentOptions(TypedDict, total=False):
    """The fields of `AgentSpec` that are given by name, for type checkers; a test keeps it so."""

    name: str | None
    instructions: str | None
    temperature: float | None
    max_tokens: int | None
    stop: tuple[str, ...]
    seed: int | None
    timeout: float | None
    base_url: str | None
    api_key: ApiKey
    extra: dict[str, Any]  # Any: JSON values of the provider's own


class RunAgent(msgspec.Struct, frozen=True, kw_only=True):
    """Run `spec` once; the reply is a `Result`.

    Attributes:
        history: messages before the prompt, oldest first.
        sink: where chunks go while the run lasts, or None.
    """

    spec: AgentSpec
    prompt: str
    history: tuple[Message, ...] = ()
    sink: Any = None  # Any: a stream's producer side; never encoded


class Result(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """What a run of an agent gave.

    Attributes:
        output: the answer; the text unless the agent has an `output=` type.
        messages: the whole conversation, to pass on as `history=`.
        new_messages: what this run added (the prompt and the answer).
        duration: seconds from submission to the end.
        time_to_first_token: seconds to the first text, None when the run was not streamed.
    """

    output: T
    text: str
    messages: tuple[Message, ...]
    new_messages: tuple[Message, ...]
    usage: Usage
    duration: float
    time_to_first_token: float | None
    finish_reason: FinishReason
    model: str
    provider: str
    attempts: int
    run_id: str
    trace_id: str
