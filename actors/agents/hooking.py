"""Calling a user's hooks: sync or async, with a clear name for what goes wrong."""

from __future__ import annotations

import asyncio
import inspect
import threading
from typing import Any

from understudy.messages.chat import ToolCall
from understudy.messages.errors import ConfigError, HookError, ToolError
from understudy.messages.functions import FunctionRef
from understudy.messages.hooks import Hooks
from understudy.messages.models import Complete, Completion
from understudy.messages.tools import ToolResult

_GIVES: dict[str, tuple[type, ...]] = {
    "before_model": (Complete, Completion),
    "after_model": (Completion,),
    "before_tool": (ToolCall, ToolResult),
    "after_tool": (ToolResult,),
}


async def hooked(hooks: Hooks | None, name: str, *given: Any) -> Any:
    """What the hook of that name puts in the place of the last of `given`, or None.

    Raises:
        HookError: it raised, or gave something else than it may.
        ToolError: `before_tool` refuses a call.
    """
    hook = None if hooks is None else getattr(hooks, name)
    if hook is None:
        return None
    if isinstance(hook, FunctionRef):
        msg = (
            f"the hook {name} is still a path ({hook.path}): pass the spec to load_functions first"
        )
        raise ConfigError(msg)
    try:
        value = hook(*given)
        if inspect.isawaitable(value):
            value = await value
    except BaseException as error:
        if not _is_its_own(error) or (name == "before_tool" and isinstance(error, ToolError)):
            raise
        msg = f"the hook {name} raised {type(error).__name__}: {error}"
        raise HookError(msg, hook=name) from error
    if value is not None and not isinstance(value, _GIVES[name]):
        may = " or ".join(["None", *(kind.__name__ for kind in _GIVES[name])])
        msg = f"the hook {name} gave a {type(value).__name__}; it may give {may}"
        raise HookError(msg, hook=name)
    return value


def _is_its_own(error: BaseException) -> bool:
    """Whether the hook failed, and not somebody else who wants the run to end.

    A cancel is somebody's when this task was asked to end; a KeyboardInterrupt when it is raised
    where Ctrl-C arrives.
    """
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is not None and not task.cancelling()
    if isinstance(error, KeyboardInterrupt):
        return threading.current_thread() is not threading.main_thread()
    return True
