"""`RunContext`: what the steps of one run share.

Functions get it by annotating a parameter with `RunContext`, whatever its name or place. It belongs
to one run, holds references and not copies, and is safe to use from any step on any thread: reading
takes no lock, `update` is atomic. Store immutable values. The outputs of finished steps can be read
by their names; a skipped or failed one is None.
"""

from __future__ import annotations

import inspect
import threading
import typing
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from understudy.messages.errors import WorkflowError


class RunContext:
    """A mapping of one run: `ctx["key"] = value`, `ctx.get("key")`, `ctx["step"]`."""

    __slots__ = ("_errors", "_lock", "_outputs", "_values", "run_id")

    def __init__(
        self,
        run_id: str,
        outputs: Mapping[str, Any],  # Any: what steps give
        errors: Mapping[str, Mapping[int, BaseException]] = MappingProxyType({}),
    ) -> None:
        self.run_id = run_id
        self._outputs = outputs
        self._errors = errors
        self._values: dict[str, Any] = {}  # Any: what steps store
        self._lock = threading.Lock()

    def __getitem__(self, key: str) -> Any:  # Any: what steps store and give
        """A stored value, or the output of the step of that name.

        Raises:
            WorkflowError: neither exists (yet).
        """
        if key in self._values:
            return self._values[key]
        if key in self._outputs:
            return self._outputs[key]
        known = ", ".join(sorted({*self._values, *self._outputs})) or "nothing yet"
        raise WorkflowError(f"the run has no {key!r}; there is {known}")

    def __setitem__(self, key: str, value: Any) -> None:  # Any: what steps store
        with self._lock:
            self._values[key] = value

    def __contains__(self, key: object) -> bool:
        return key in self._values or key in self._outputs

    def get(self, key: str, default: Any = None) -> Any:  # Any: what steps store and give
        """As `[key]`, or `default` where there is nothing."""
        if key in self._values:
            return self._values[key]
        return self._outputs.get(key, default)

    def errors(self, step: str) -> Mapping[int, BaseException]:
        """What the items of a step have failed with, by their index (0 for a step without `each`).

        Only with `on_error="continue"` does anything run afterwards that could ask.
        """
        return self._errors.get(step, {})

    def update(self, key: str, change: Callable[[Any], Any]) -> Any:  # Any: what steps store
        """Store `change(value or None)` and return it, as one atomic step."""
        with self._lock:
            value = self._values[key] = change(self._values.get(key))
            return value


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
