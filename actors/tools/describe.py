"""From a function to the spec of a tool, and what makes a spec wrong.

Everything that can be known when a tool is made is checked then, and not when a model calls it.
"""

from __future__ import annotations

import inspect
import re
from typing import Any, TypeVar

import msgspec

from understudy.actors.tools.signature import Function, Signature, innermost, is_async
from understudy.messages.caches import CacheSpec
from understudy.messages.errors import ConfigError
from understudy.messages.functions import FunctionRef, function_path
from understudy.messages.kinds import COUNT, FLAG, RETRIES, SECONDS, TEXT, more_than_nothing
from understudy.messages.tools import ToolSpec

S = TypeVar("S", bound=ToolSpec)

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
"""What every provider takes (OpenAI, Anthropic, Gemini; the narrowest of each)."""
_EVER = float("inf")
_CHOICES = {
    "isolation": (None, "inline", "thread", "process"),
    "effects": (None, "none", "idempotent", "at_most_once"),
}
_KINDS = {
    "description": TEXT,
    "timeout": SECONDS,
    "retries": RETRIES,
    "max_concurrent": COUNT,
    "rate_limit": more_than_nothing("more than 0 calls a second"),
    "parallel": FLAG,
    "requires_approval": FLAG,
    "strict": FLAG,
}


def describe(
    kind: type[S],
    function: Function,
    *,
    name: str | None = None,
    description: str | None = None,
    **options: Any,  # Any: the other fields of the spec
) -> S:
    """The spec of a function, as a struct of class `kind`.

    Raises:
        ConfigError: names the tool, what is wrong with it, and the remedy.
    """
    name = name_of(function) if name is None else name
    signature = Signature(function, name)
    spec = kind(
        name=name,
        description=signature.description if description is None else description,
        parameters=signature.parameters,
        function=function,
        **options,
    )
    if spec.isolation is None:
        chosen = "inline" if is_async(function) else "thread"
        spec = msgspec.structs.replace(spec, isolation=chosen)
    check(spec)
    return spec


def name_of(function: Function) -> str:
    """What a function is called.

    Raises:
        ConfigError: it has no name that a model could use.
    """
    given: object = function
    if isinstance(given, type):
        raise ConfigError(f"{given.__qualname__} is a class, not a function; pass a function")
    if not callable(given):
        raise ConfigError(f"{given!r} is a {type(given).__name__}, not a function")
    name = getattr(innermost(function), "__name__", "")
    if name == "__call__":
        raise ConfigError(
            f"an object of type {type(function).__name__} has no name as a tool; "
            "write tool(name='...')(it)"
        )
    if name == "<lambda>":
        raise ConfigError("a lambda has no name as a tool; write tool(name='...')(it)")
    return name


def unbound(function: Function) -> bool:
    """Whether it is a method whose object is not known yet: its first parameter is `self`."""
    if not inspect.isfunction(function) or "." not in function.__qualname__:
        return False
    if function.__qualname__.rpartition(".")[0].endswith("<locals>"):
        return False
    first = next(iter(inspect.signature(function).parameters.values()), None)
    return first is not None and first.name in ("self", "cls") and first.annotation is first.empty


def check_name(name: object, remedy: str) -> None:
    """Raise ConfigError for a name that providers refuse; the remedy is how to give another."""
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise ConfigError(
            f"tool {name!r}: providers refuse this name; use letters, digits, '_' and '-', "
            f"at most 64, not beginning with a digit: {remedy}"
        )


def check(spec: ToolSpec) -> None:
    """Raise ConfigError for a spec that cannot work."""
    check_name(spec.name, "tool(name='...')")
    told = f"tool {spec.name!r}"
    for field, choices in _CHOICES.items():
        value = getattr(spec, field)
        if value not in choices:
            known = ", ".join(filter(None, choices))
            raise ConfigError(f"{told}: {field}={value!r}; one of {known}")
    _check_bounds(spec, told)
    _check_cache(spec, told)
    if spec.effects == "at_most_once" and spec.retries:
        raise ConfigError(
            f"{told}: effects='at_most_once' with retries={spec.retries} contradict each other; "
            "leave out one of them"
        )
    try:
        msgspec.json.encode(spec.parameters)
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigError(f"{told}: parameters= is no JSON Schema: {error}") from error
    if not isinstance(spec.function, FunctionRef):
        _check_isolation(spec, spec.function, told)


def _check_bounds(spec: ToolSpec, told: str) -> None:
    for field, kind in _KINDS.items():
        value = getattr(spec, field)
        if value is not None and not kind.fits(value):
            raise ConfigError(f"{told}: {field}={value!r}; {kind.needed}")


def _check_cache(spec: ToolSpec, told: str) -> None:
    cache: object = spec.cache
    if cache is None:
        return
    if spec.effects == "at_most_once":
        raise ConfigError(
            f"{told}: effects='at_most_once' with cache= contradict each other: a result that is "
            "given again is a call that was not made; leave out one of them"
        )
    if isinstance(cache, CacheSpec):
        if cache.path is not None or cache.semantic is not None:
            raise ConfigError(
                f"{told}: cache=Cache(...): results of tools are kept in memory, by their exact "
                "arguments; leave out path= and semantic="
            )
    elif isinstance(cache, bool) or not isinstance(cache, int | float) or not 0 < cache < _EVER:
        raise ConfigError(f"{told}: cache={cache!r}; give a time such as '5m', or a Cache(...)")


def _check_isolation(spec: ToolSpec, function: Function, told: str) -> None:
    if spec.isolation == "thread" and is_async(function):
        raise ConfigError(f"{told} is async and needs no thread; leave out isolation='thread'")
    if spec.isolation == "process":
        try:
            function_path(function, being_defined=True)
        except ConfigError as error:
            raise ConfigError(f"{told}: isolation='process': {error.message}") from None
