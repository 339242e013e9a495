"""Tools as data: the spec, the request to call one, what it gave.

A spec says everything about a tool: what the model is told (name, description, parameters) and how
it is called (isolation, time, retries, bounds). It encodes to msgpack and back when its function is
importable; what comes off the wire holds a `FunctionRef`, which is loaded at the first call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

from understudy.messages.caches import Cached, CacheSpec
from understudy.messages.chat import ToolCall
from understudy.messages.functions import FunctionRef

Effects = Literal["none", "idempotent", "at_most_once"]
"""What happens outside when something runs: whether it may run again."""
Isolation = Literal["inline", "thread", "process"]

if TYPE_CHECKING:
    # Any: a tool takes and gives what it likes
    ToolFunction: TypeAlias = Callable[..., Any] | FunctionRef
    ToolCache: TypeAlias = CacheSpec | str | float | None
else:
    # What may come off the wire: functions travel as their import path.
    ToolFunction = FunctionRef
    ToolCache = CacheSpec | float | None


class ToolSpec(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="tool"):
    """What a tool is.

    Attributes:
        name: what the model calls; letters, digits, `_` and `-`, at most 64.
        description: what the model is told about it.
        parameters: JSON Schema of an object: the arguments.
        function: what is called, or where to find it.
        timeout: seconds for each attempt; None is what the caller says (30).
        retries: further attempts after a failure; None is the runtime's default where `effects`
            allow it.
        max_concurrent: calls at a time in one runtime.
        rate_limit: calls a second in one runtime.
        isolation: where it runs; None: `inline` for async functions, else `thread`.
        effects: what happens outside when it runs; `none` and `idempotent` may run again.
        parallel: False: no other call of the same turn runs meanwhile.
        requires_approval: somebody has to agree before an agent calls it.
        cache: results are kept and given again to the same call: for so many seconds (`tool` takes
            `"5m"` too), or in a `Cache` of its own. None: as `[tools.cache]` says.
        strict: ask providers to enforce the schema, where they and the schema can.
    """

    name: str
    description: str = ""
    parameters: dict[str, Any] = {}  # Any: JSON values
    function: ToolFunction
    timeout: float | None = None
    retries: int | None = None
    max_concurrent: int | None = None
    rate_limit: float | None = None
    isolation: Isolation | None = None
    effects: Effects | None = None
    parallel: bool = True
    requires_approval: bool = False
    cache: ToolCache = None
    strict: bool = True


class ToolsetSpec(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="toolset"):
    """Several tools that are handed around together."""

    tools: tuple[ToolSpec, ...] = ()


class CallTool(msgspec.Struct, frozen=True, kw_only=True):
    """Call a tool once; the reply is what it gave, ready for the model.

    Attributes:
        tool: with its function loaded.
        call: what the model asked for.
        arguments: converted, with the run's context where the function takes it. How long it may
            take is in the envelope.
    """

    tool: ToolSpec
    call: ToolCall
    arguments: dict[str, Any]  # Any: whatever the function takes


class LoadTool(msgspec.Struct, frozen=True, kw_only=True):
    """Import the function of a lazy tool; the reply is the tool with it, and its signature."""

    tool: ToolSpec


class ToolResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a call ended. A failure is data too: the model reads it and goes on.

    Attributes:
        call_id: of the call that it answers.
        content: what the model reads: the value as text or JSON, or the error.
        value: what the function returned, by reference; None after a failure.
        error: what went wrong, or None.
        duration: seconds, with waiting and retries.
        attempts: how often the function was called for this call.
        cached: set when the result was not made for this call.
    """

    call_id: str
    name: str
    content: str
    value: Any = None  # Any: whatever the function returns
    error: str | None = None
    duration: float = 0.0
    attempts: int = 0
    cached: Cached | None = None
