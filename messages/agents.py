"""Agents as data: the spec, the request to run it, the result.

A spec says everything that is needed to run an agent and holds no state, so one spec serves any
number of concurrent runs and encodes to msgpack and back (an in-process model object is the one
field that does not).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Generic, TypedDict, TypeVar, get_origin

import msgspec

from understudy.messages.budgets import Budget
from understudy.messages.caches import Cached, CacheSpec
from understudy.messages.chat import Message, ToolCall, Usage
from understudy.messages.errors import ConfigError
from understudy.messages.functions import FunctionRef
from understudy.messages.hooks import Hooks
from understudy.messages.memories import MemorySpec, Passage, Trimmed
from understudy.messages.models import FinishReason
from understudy.messages.secrets import Secret
from understudy.messages.tools import ToolResult, ToolsetSpec, ToolSpec
from understudy.messages.types import TypeRef

T = TypeVar("T")

if TYPE_CHECKING:
    Model = Any  # Any: "provider:model", or a model object of this process (FakeModel)
    ApiKey = str | Secret | None
    Cache = CacheSpec | str | float | None
    Output = Any  # Any: a type, in whatever spelling; None for text
    Tool = Any  # Any: a function, a ToolSpec, a toolset or an AgentTool
else:
    # What may come off the wire: a name and a reference, never an object or a key.
    Model = str | None
    ApiKey = str | None
    Cache = CacheSpec | bool | None
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
        tools: what the model may call: functions, `@tool`s, toolsets, `agent.as_tool()`.
        temperature: not sent when None; 0.0 is sent.
        max_tokens: bound on each answer.
        max_turns: model calls of one run, at most.
        tool_timeout: seconds for each attempt of tools that do not say (None: `[tools]`, 30).
        tool_concurrency: tool calls of one run at a time.
        rate_limit: runs a second, over all agents of this name in a Runtime.
        max_concurrent: runs at a time, over all agents of this name in a Runtime.
        timeout: seconds for a whole run (600 when None).
        retries: further attempts of a model call that failed (2 when None).
        fallback: models to go on with, in order, where one is overloaded or its window too small.
        hooks: a user's functions around each call of a model and of a tool.
        budget: what each run may spend, the runs that it causes included.
        cache: answers of its model are kept and given again: a `Cache`, or for how long (`"10m"`,
            seconds); True: as `[llm.cache]` says, at any temperature; False: never. None: as
            `[llm.cache]` says, at temperature 0.
        memory: keeps the conversations of its sessions, and documents whose passages it is shown.
        history_limit: messages before the prompt that are sent, at most (None: all).
        context_window: tokens of a request, at most; what is oldest is left out.
        keep_first: the first turn of a conversation is not left out before others.
        base_url: the provider's address, without the operation's path.
        api_key: a `Secret`, or `"env:NAME"`.
        extra: further fields for the provider's request body.
    """

    name: str | None = None
    instructions: str | None = None
    output: Output = None
    tools: tuple[Tool, ...] = ()
    temperature: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    max_turns: int = 10
    tool_timeout: float | None = None
    tool_concurrency: int = 8
    rate_limit: float | None = None
    max_concurrent: int | None = None
    timeout: float | None = None
    retries: int | None = None
    fallback: tuple[Model, ...] = ()
    hooks: Hooks | None = None
    budget: Budget | None = None
    cache: Cache = None
    memory: MemorySpec | None = None
    history_limit: int | None = None
    context_window: int | None = None
    keep_first: bool = False
    base_url: str | None = None
    api_key: ApiKey = None
    extra: dict[str, Any] = {}  # Any: JSON values of the provider's own

    @property
    def identity(self) -> str:
        """The name, or a digest of the spec where it has none."""
        if self.name is not None:
            return self.name
        from hashlib import blake2b

        data = msgspec.msgpack.encode(self, enc_hook=_described, order="deterministic")
        return f"agent-{blake2b(data, digest_size=6).hexdigest()}"


class AgentTool(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="agent_tool"):
    """An agent that another agent may call: it is given a prompt and answers with a text."""

    name: str
    description: str
    agent: AgentSpec
    requires_approval: bool = False


def _described(value: object) -> str:
    """What tells apart what does not encode: objects of this process."""
    if get_origin(value) is not None:  # list[City] is made anew each time it is written
        return repr(value)
    if isinstance(value, Secret):  # the same key is the same agent
        from hashlib import blake2b

        return blake2b(value.reveal().encode(), digest_size=16).hexdigest()
    name = getattr(value, "__qualname__", type(value).__qualname__)
    return f"{name}-{id(value):x}"


if not TYPE_CHECKING:
    # What may come off the wire; functions travel as their import path.
    Tool = ToolSpec | ToolsetSpec | FunctionRef | AgentTool


class AgentOptions(TypedDict, total=False):
    """The fields of `AgentSpec` that are given by name, for type checkers; a test keeps it so."""

    name: str | None
    instructions: str | None
    tools: Iterable[Tool]
    temperature: float | None
    max_tokens: int | None
    stop: tuple[str, ...]
    seed: int | None
    max_turns: int
    tool_timeout: float | None
    tool_concurrency: int
    rate_limit: float | None
    max_concurrent: int | None
    timeout: float | None
    retries: int | None
    fallback: Iterable[Model]
    hooks: Hooks | None
    budget: Budget | None
    cache: Cache
    memory: MemorySpec | None
    history_limit: int | None
    context_window: int | None
    keep_first: bool
    base_url: str | None
    api_key: ApiKey
    extra: dict[str, Any]  # Any: JSON values of the provider's own


class RunAgent(msgspec.Struct, frozen=True, kw_only=True):
    """Run `spec` once; the reply is a `Result`.

    Attributes:
        history: messages before the prompt, oldest first.
        resume: what was decided about a run that waited for approval; goes on with it.
        context: what the run shares with its tools (a `RunContext`), or None.
        sink: where chunks go while the run lasts, or None.
        outer: the run of the agent that calls this one as a tool, or None.
        memory: what it has from a memory (a `Bond` of the agents' family), or None.
    """

    spec: AgentSpec
    prompt: str
    history: tuple[Message, ...] = ()
    resume: Resume | None = None
    context: Any = None  # Any: a RunContext, which is defined above us; never encoded
    sink: Any = None  # Any: a stream's producer side; never encoded
    outer: Any = None  # Any: a run's progress; never encoded
    memory: Any = None  # Any: a Bond, which is defined above us; never encoded


class ToolRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One tool call of a run: what was asked, what came of it, how long it took.

    Attributes:
        id: the provider's id of the call.
        result: what the tool returned; None after a failure.
        error: why it failed, in the words that the model read; None when it did not.
        cached: set when the result came from a cache.
    """

    id: str
    name: str
    arguments: dict[str, Any]  # Any: JSON values
    result: Any = None  # Any: whatever the tool returns
    error: str | None = None
    duration: float = 0.0
    cached: Cached | None = None


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """A run that waits for somebody to agree: data, so it survives a restart of the process.

        result = agent.run("Delete the old files")
        if result.pending is not None:
            result = agent.run(resume=result.pending.approve())

    Attributes:
        calls: the tool calls that wait; look at their names and arguments.
        messages: the conversation up to them.
        done: results of the other calls of the same turn, which needed no approval.
        turns: model calls that were made so far.
        before: how many of `messages` are the conversation before this run.
    """

    calls: tuple[ToolCall, ...]
    messages: tuple[Message, ...]
    done: tuple[ToolResult, ...] = ()
    turns: int = 0
    before: int = 0

    def approve(self, *ids: str) -> Resume:
        """Agree to all calls, or to those with these ids; the others are rejected."""
        chosen = self._chosen(ids)
        rejected = {call.id: "not approved" for call in self.calls if call.id not in chosen}
        return Resume(pending=self, rejected=rejected)

    def reject(self, reason: str = "rejected by the user", *ids: str) -> Resume:
        """Refuse all calls, or those with these ids; the model reads the reason and goes on."""
        return Resume(pending=self, rejected=dict.fromkeys(self._chosen(ids), reason))

    def _chosen(self, ids: tuple[str, ...]) -> tuple[str, ...]:
        known = tuple(call.id for call in self.calls)
        unknown = [id_ for id_ in ids if id_ not in known]
        if unknown:
            raise ConfigError(f"no call {unknown[0]!r} waits for approval; there is {known}")
        return ids or known


class Resume(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided about a pending run: calls that are not in `rejected` are made.

    Attributes:
        rejected: the reason for each call that shall not be made, by its id.
    """

    pending: Pending
    rejected: dict[str, str] = {}


class Result(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """What a run of an agent gave.

    Attributes:
        output: the answer; the text unless the agent has an `output=` type.
        messages: the whole conversation, to pass on as `history=`.
        new_messages: what this run added: the prompt, turns with tool calls, the answer.
        usage: tokens of all model calls of this run, repeated and failed ones included, and of the
            agents that it called as tools.
        duration: seconds from submission to the end.
        time_to_first_token: seconds to the first text, None when the run was not streamed.
        tool_calls: every tool call, in the order in which the model made them.
        cost: US dollars; None where a model's price is not known.
        attempts: requests to models, repeated ones included.
        pending: set when a tool call waits for approval; then there is no answer yet.
        waited: seconds that it waited for limits, of its own name and of its models.
        cached: set when the last answer of the model came from a cache: how old it is, and where it
            was found. It has cost nothing; what the turns before it took is in `usage`.
        session: whose turn it was; empty for a run without one.
        passages: of documents that the model was shown (`Agent(memory=...)`).
        trimmed: how the history was cut; None where nothing said that it should be.
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
    tool_calls: tuple[ToolRecord, ...] = ()
    cost: float | None = None
    pending: Pending | None = None
    waited: float = 0.0
    cached: Cached | None = None
    session: str = ""
    passages: tuple[Passage, ...] = ()
    trimmed: Trimmed | None = None
