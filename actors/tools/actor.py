"""The Tool actors: each makes one call at a time, on the loop or on a thread.

They hold nothing, so any of them can make any call. Whatever a function raises is the answer, also
`SystemExit`: nothing that a tool does ends an actor. Deadline and cancellation are those of the
message, which the kernel enforces: a handler on the loop is cancelled, a thread that does not
return is abandoned and replaced.
"""

from __future__ import annotations

import inspect
from functools import lru_cache
from types import CoroutineType
from typing import Any

from understudy.actors.kernel.actor import Actor
from understudy.actors.tools.rendering import Rendered, explain, render
from understudy.actors.tools.signature import Signature
from understudy.actors.tools.station import loaded
from understudy.messages.errors import ToolError, UnhandledMessageError
from understudy.messages.functions import FunctionRef
from understudy.messages.tools import CallTool, LoadTool, ToolSpec

_MEANT = (StopIteration, UnhandledMessageError)
"""What has a meaning of its own on the way back: to coroutines, and to the kernel."""


class InlineToolActor(Actor):
    """Calls on the loop."""

    expects = (BaseException,)

    async def on_receive(self, message: CallTool) -> Rendered:
        """Call once."""
        try:
            value = _call(message)
            if type(value) is CoroutineType or inspect.isawaitable(value):
                value = await value
        except _MEANT as error:
            raise ToolError(explain(error)) from error
        return render(value)


class ThreadToolActor(Actor):
    """Calls on a thread; also imports lazy tools, because that blocks."""

    expects = (BaseException,)

    def on_receive(self, message: CallTool | LoadTool) -> Rendered | tuple[ToolSpec, Signature]:
        """Call once, or load."""
        if isinstance(message, LoadTool):
            return loaded(message.tool)
        try:
            value = _call(message)
        except _MEANT as error:
            raise ToolError(explain(error)) from error
        if inspect.isawaitable(value):
            if inspect.iscoroutine(value):
                value.close()
            raise ToolError(
                f"The tool {message.tool.name!r} returned something to await, on a thread; "
                "it should be declared with isolation='inline'."
            )
        return render(value)


@lru_cache(maxsize=32)
def thread_tool(depth: int) -> type[ThreadToolActor]:
    """A ThreadToolActor with the threads of that depth: nested calls never wait for outer ones."""
    bulkhead = f"tools-{depth}" if depth else "tools"
    return type("ThreadToolActor", (ThreadToolActor,), {"bulkhead": bulkhead})


def _call(message: CallTool) -> Any:  # Any: whatever the tool returns
    function = message.tool.function
    if isinstance(function, FunctionRef):
        raise ToolError(f"The tool {message.tool.name!r} is not loaded.")
    return function(**message.arguments)
