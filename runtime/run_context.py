"""How functions of steps get what they take: the run's context, the step's value.

`RunContext` itself is the kernel's, because tools get it too.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from understudy.actors.kernel.run_context import RunContext

__all__ = ["RunContext", "context_parameter", "takes_value"]


@lru_cache(maxsize=4096)
def context_parameter(function: Callable[..., Any]) -> str | None:
    """The parameter of `function` that is annotated with RunContext, if there is one."""
    try:
        hints = typing.get_type_hints(function)
    except (NameError, TypeError):
        hints = getattr(function, "__annotations__", {})
    for name, hint in hints.items():
        if name != "return" and hint in (RunContext, "RunContext"):
            return name
    return None


@lru_cache(maxsize=4096)
def takes_value(function: Callable[..., Any]) -> bool:
    """Whether `function` takes the step's value besides its RunContext."""
    context = context_parameter(function)
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # some types and functions written in C do not say
        return True
    return any(p.name != context and p.kind != p.KEYWORD_ONLY for p in parameters)
