"""`tool` and `run_tools`: making tools, and calling them outside of an agent.

    @tool(timeout=5, retries=1, effects="none")
    def weather(city: str, *, ctx: RunContext) -> str:
        \"\"\"Current weather.\"\"\"

A tool is a spec that can still be called like the function it was made of. Plain functions are
tools too, wherever tools are taken; the decorator is for options, and finds mistakes when the
module is imported.
"""

from __future__ import annotations

import asyncio
from _thread import get_ident
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MethodType
from typing import TYPE_CHECKING, Any, Self, overload

import msgspec

from understudy.actors.tools.describe import describe, name_of, unbound
from understudy.messages.caches import CacheSpec
from understudy.messages.chat import ToolCall
from understudy.messages.errors import ConfigError
from understudy.messages.functions import FunctionRef
from understudy.messages.tools import Effects, Isolation, ToolResult, ToolSpec
from understudy.runtime.cache import seconds_of
from understudy.runtime.current import current_runtime

if TYPE_CHECKING:
    from understudy.runtime.runtime import Runtime

Function = Callable[..., Any]  # Any: a tool takes and gives what it likes


class Tool(ToolSpec, frozen=True, kw_only=True):
    """A tool that can be called like its function; fields as in `ToolSpec`. Made by `tool`."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # Any: as the function
        """Call the function itself: no timeout, no retries, no conversion."""
        if isinstance(self.function, FunctionRef):
            raise ConfigError(f"tool {self.name!r} is not loaded; run_tools loads it")
        return self.function(*args, **kwargs)

    def __get__(self, obj: object, owner: type | None = None) -> Self:
        """As a method: the tool of that object."""
        function = self.function
        if obj is None or isinstance(function, FunctionRef) or not unbound(function):
            return self
        return msgspec.structs.replace(self, function=MethodType(function, obj))

    @property
    def __wrapped__(self) -> Function:
        """The function, for those who look for a signature or a docstring."""
        if isinstance(self.function, FunctionRef):
            raise AttributeError(self.name)  # noqa: TRY004 - what `hasattr` understands
        return self.function


@overload
def tool(function: Function, /) -> Tool: ...
@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    timeout: float | None = None,
    retries: int | None = None,
    max_concurrent: int | None = None,
    rate_limit: float | None = None,
    isolation: Isolation | None = None,
    effects: Effects | None = None,
    parallel: bool = True,
    requires_approval: bool = False,
    cache: CacheSpec | str | float | None = None,
    strict: bool = True,
) -> Callable[[Function], Tool]: ...
def tool(function: Function | None = None, /, **options: Any) -> Tool | Callable[[Function], Tool]:
    """Make a tool of a function, as a decorator or by a call.

    Args:
        function: sync or async, a method, a `functools.partial`, or an object with `__call__`.
        options: `name` and `description` (the function's own when left out), and the fields of
            `ToolSpec`.

    Raises:
        ConfigError: a parameter has no type hint, an option is wrong, the name is one that
            providers refuse; names the tool and the remedy.
    """
    _check_options(options)
    cache = options.get("cache")
    if isinstance(cache, str):
        options["cache"] = seconds_of(cache, "tool(cache=...)")
    if function is None:
        return lambda given: _made(given, options)
    return _made(function, options)


def run_tools(
    calls: Sequence[ToolCall],
    tools: Iterable[Any],  # Any: tools, functions, toolsets
    *,
    runtime: Runtime | None = None,
    timeout: float | None = None,
    max_concurrent: int = 8,
) -> list[ToolResult]:
    """Call tools in parallel, outside of any agent; results in the order of the calls. Blocks.

    Args:
        calls: what to call.
        tools: what may be called.
        runtime: where; see `current`.
        timeout: seconds for each attempt of tools that do not say; None: the runtime's (30).
        max_concurrent: calls at a time.

    Raises:
        ConfigError: something in `tools` is none.
        WouldDeadlockError: on the loop of the runtime; use `await arun_tools(...)`.
    """
    rt = current_runtime(runtime)
    work = _run(rt, _calls(calls), _tools(tools), timeout, max_concurrent)
    return rt.complete(work, "arun_tools")


async def arun_tools(
    calls: Sequence[ToolCall],
    tools: Iterable[Any],  # Any: tools, functions, toolsets
    *,
    runtime: Runtime | None = None,
    timeout: float | None = None,
    max_concurrent: int = 8,
) -> list[ToolResult]:
    """The twin of `run_tools`; cancelling the task that awaits it cancels the calls."""
    rt = current_runtime(runtime)
    work = _run(rt, _calls(calls), _tools(tools), timeout, max_concurrent)
    if get_ident() == rt.system.loop_thread:
        return await work
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, rt.system.loop))


async def _run(
    rt: Runtime,
    calls: tuple[ToolCall, ...],
    tools: tuple[Any, ...],
    timeout: float | None,
    max_concurrent: int,
) -> list[ToolResult]:
    directory = rt.crew.tools
    results = await directory.call(
        directory.table(tools),
        calls,
        timeout=timeout,
        max_concurrent=max_concurrent,
        context=None,
    )
    return list(results)


def _calls(given: Any) -> tuple[ToolCall, ...]:  # Any: what users pass
    calls = tuple(given) if isinstance(given, Iterable) else (given,)
    for call in calls:
        if not isinstance(call, ToolCall):
            what = type(call).__name__
            raise ConfigError(
                f"calls=: a {what} is no call; write ToolCall(id='1', name=..., arguments={{...}})"
            )
    return calls


def _tools(given: Any) -> tuple[Any, ...]:  # Any: what users pass
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise ConfigError(f"tools={given!r}: write a list of tools")
    return tuple(given)


_OPTIONS = frozenset(ToolSpec.__struct_fields__) - {"function", "parameters"}


def _made(function: Function, options: Mapping[str, Any]) -> Tool:
    if isinstance(function, ToolSpec):
        raise ConfigError(f"tool {function.name!r} is a tool already")
    if not unbound(function):
        return describe(Tool, function, **options)
    # A method in its class: described as it will look once it has an object.
    name = options.get("name") or name_of(function)
    made = describe(Tool, MethodType(function, object()), **{**options, "name": name})
    return msgspec.structs.replace(made, function=function)


def _check_options(options: Mapping[str, Any]) -> None:
    unknown = sorted(set(options) - _OPTIONS)
    if unknown:
        import difflib

        near = difflib.get_close_matches(unknown[0], _OPTIONS, 1)
        hint = (
            f"; did you mean {near[0]}=?" if near else f"; there are {', '.join(sorted(_OPTIONS))}"
        )
        raise ConfigError(f"tool() has no option {unknown[0]}={hint}")
