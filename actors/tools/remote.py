"""The other end of a tool with `isolation="process"`: what runs in that process.

A worker process calls importable functions with plain data. `call` is such a function; it does
there what a Tool actor does here: it finds the tool's function, converts the arguments, fills in
the context (a copy that cannot be written to), and calls.
"""

from __future__ import annotations

import inspect
from functools import lru_cache
from typing import Any

from understudy.actors.kernel.run_context import SnapshotContext
from understudy.actors.tools.signature import Function, Signature
from understudy.messages.errors import ToolError, UnderstudyError
from understudy.messages.functions import load_function
from understudy.messages.tools import ToolSpec

PATH = f"{__name__}:call"


def call(
    path: str,
    name: str,
    arguments: dict[str, Any],  # Any: JSON values
    context: dict[str, Any] | None,  # Any: plain data
    run_id: str,
) -> Any:  # Any: whatever the tool returns
    """Call the function at `path`; in the other process."""
    function, signature = _found(path, name)
    bound = signature.bind(arguments, SnapshotContext(run_id, context or {}))
    value = function(**bound)
    if inspect.iscoroutine(value):
        import asyncio

        return asyncio.run(value)
    return value


def as_here(error: UnderstudyError, name: str) -> UnderstudyError:
    """An error of the other process, in the words that it would have had here."""
    if not isinstance(error, ToolError) or error.tool != PATH:
        return error
    if error.actor is not None:  # the process itself has ended
        how = error.message.rpartition(f"{PATH}: ")[2]
        return ToolError(f"The process of the tool {name!r} ended: {how}", retryable=True)
    return ToolError(error.message, retryable=True)  # of a class that is not ours


@lru_cache(maxsize=256)
def _found(path: str, name: str) -> tuple[Function, Signature]:
    function: Any = load_function(path)  # Any: a function, or a tool made of it
    if isinstance(function, ToolSpec):
        function = function.function
    return function, Signature(function, name)
