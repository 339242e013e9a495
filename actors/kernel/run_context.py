"""`RunContext`: what the steps and tools of one run share.

Functions get it by annotating a parameter with `RunContext`, whatever its name or place. It belongs
to one run, holds references and not copies, and is safe to use from any step on any thread: reading
takes no lock, `update` is atomic. Store immutable values. The outputs of finished steps can be read
by their names; a skipped or failed one is None.

In another process there is only a copy (`SnapshotContext`), which refuses to be written to.
"""

from __future__ import annotations

import sys
from _thread import allocate_lock
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from understudy.messages.errors import WorkflowError

MOST_COUNTED = 1_000
"""Objects of one value that are looked at to find its size."""


class RunContext:
    """A mapping of one run: `ctx["key"] = value`, `ctx.get("key")`, `ctx["step"]`."""

    __slots__ = ("_errors", "_lock", "_outputs", "_sizes", "_values", "run_id")

    def __init__(
        self,
        run_id: str,
        outputs: Mapping[str, Any],  # Any: what steps give
        errors: Mapping[str, Mapping[int, BaseException]] = MappingProxyType({}),
        *,
        around: RunContext | None = None,
    ) -> None:
        self.run_id = run_id
        self._outputs = outputs
        self._errors = errors
        self._sizes: dict[str, int]
        self._values: dict[str, Any]  # Any: what steps store
        if around is None:
            self._values, self._sizes, self._lock = {}, {}, allocate_lock()
        else:  # a nested run shares what the one around it stores, not the outputs of its steps
            self._values, self._sizes, self._lock = around._values, around._sizes, around._lock

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
        size = size_of(value)
        with self._lock:
            self._values[key] = value
            self._sizes[key] = size

    @property
    def size(self) -> int:
        """Bytes that the stored values hold, about: as they were when they were stored."""
        return sum(self._sizes.values()) if self._sizes else 0

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
            self._sizes[key] = size_of(value)
            return value

    def snapshot(self) -> dict[str, Any]:  # Any: what steps store and give
        """What there is to read now, for another process."""
        with self._lock:
            return {**self._outputs, **self._values}


def size_of(value: Any) -> int:  # Any: what steps store
    """Bytes of a value with what it contains, about; of large containers, extrapolated."""
    seen: set[int] = set()
    stack, total = [value], 0
    while stack and len(seen) < MOST_COUNTED:
        each = stack.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        total += sys.getsizeof(each)
        if isinstance(each, Mapping):
            stack += [*each.keys(), *each.values()]
        elif isinstance(each, (list, tuple, set, frozenset)):
            stack += each
        elif hasattr(each, "__struct_fields__"):
            stack += [getattr(each, name) for name in each.__struct_fields__]
        elif hasattr(each, "__dict__"):
            stack.append(vars(each))
    return total + len(stack) * (total // max(1, len(seen)))


class SnapshotContext(RunContext):
    """A copy in another process: it can be read, and writing raises."""

    __slots__ = ()

    def __setitem__(self, key: str, value: Any) -> None:  # Any: what steps store
        raise WorkflowError(_READ_ONLY.format(key))

    def update(self, key: str, change: Callable[[Any], Any]) -> Any:  # Any: what steps store
        """Refused."""
        del change
        raise WorkflowError(_READ_ONLY.format(key))


_READ_ONLY = (
    "ctx[{!r}] cannot be written in another process, where the context is a copy; return the value "
    "instead, or use isolation='thread'"
)
