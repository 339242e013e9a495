"""Hooks: a user's functions before and after each call of a model and of a tool.

They are the one extension point of the agent loop: guard rails, redaction, logging, tests. All four
may be `async`; a plain one runs on the loop and must not block. Each returns None to change
nothing, or what shall stand in its place:

    before_model(request)          Complete instead, or a Completion: then no model is asked
    after_model(request, answer)   Completion instead
    before_tool(call)              ToolCall instead, or a ToolResult: then no tool is called
    after_tool(call, result)       ToolResult instead

`before_tool` may raise `ToolError`: the call is refused, and the model reads why. Whatever else a
hook raises fails the run with `HookError`, which names the hook.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from understudy.messages.errors import ConfigError
from understudy.messages.functions import FunctionRef

if TYPE_CHECKING:
    # Any: see the module's docstring; sync or async
    Hook: TypeAlias = Callable[..., Any] | None
else:
    # What may come off the wire: functions travel as their import path.
    Hook = FunctionRef | None


class Hooks(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """See the module's docstring."""

    before_model: Hook = None
    after_model: Hook = None
    before_tool: Hook = None
    after_tool: Hook = None

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            hook: object = getattr(self, name)
            if hook is not None and not callable(hook) and not isinstance(hook, FunctionRef):
                raise ConfigError(f"Hooks({name}={hook!r}): pass a function")
