"""`Toolset`: tools that are handed around together, and imported when they are first called."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

import msgspec

from understudy.actors.tools.describe import check
from understudy.actors.tools.station import loaded
from understudy.actors.tools.table import specs_of
from understudy.messages.errors import ConfigError
from understudy.messages.functions import FunctionRef, function_path
from understudy.messages.tools import Isolation, ToolsetSpec, ToolSpec


class Toolset(ToolsetSpec, frozen=True, kw_only=True):
    """Tools that are handed around together: `Toolset.of(weather, search)`.

    Give it to an agent like a tool, or mix both: `Agent(tools=[toolset, weather])`.
    """

    @classmethod
    def of(cls, *tools: Any) -> Self:  # Any: tools, functions, other toolsets
        """A toolset of these.

        Raises:
            ConfigError: one of them is no tool, or two have the same name.
        """
        return cls(tools=_distinct(specs_of(tools)))

    @classmethod
    def lazy(cls, tools: Mapping[str, Any], *, isolation: Isolation | None = None) -> Self:
        """Tools that are imported when they are first called.

        Args:
            tools: by name: an import path (`package.module:function`), or an entry of `manifest()`.
                Before the first call a model knows nothing of a tool but its name, unless a
                manifest says more.
            isolation: where they run, for entries that do not say.

        Raises:
            ConfigError: an entry is neither, or names two.
        """
        given: object = tools
        if not isinstance(given, Mapping):
            told = "write {'search': 'package.module:function'}"
            raise ConfigError(f"Toolset.lazy({given!r}): {told}")
        return cls(tools=_distinct(_lazy(name, entry, isolation) for name, entry in tools.items()))

    def manifest(self) -> dict[str, Any]:  # Any: JSON values
        """What models are told about these tools, and where to find them, as JSON data.

        Imports the ones that are lazy; blocks meanwhile. Write it to a file when you build, and
        give that to `lazy`: then a program with hundreds of tools imports none of them.

        Raises:
            ConfigError: a tool cannot be imported, or its function has no import path.
        """
        entries: dict[str, Any] = {}
        for spec in self.tools:
            real = loaded(spec)[0]
            if isinstance(real.function, FunctionRef):
                raise ConfigError(f"tool {spec.name!r} is not loaded")
            path = function_path(real.function)
            entry: dict[str, Any] = msgspec.to_builtins(
                msgspec.structs.replace(_plain(real), function=FunctionRef(path))
            )
            entries[spec.name] = {
                key: value
                for key, value in entry.items()
                if key not in ("kind", "name", "function") and value != _DEFAULTS.get(key)
            } | {"function": path}
        return entries

    def __iter__(self) -> Iterator[ToolSpec]:
        return iter(self.tools)

    def __len__(self) -> int:
        return len(self.tools)


_DEFAULTS = {
    field.name: field.default
    for field in msgspec.structs.fields(ToolSpec)
    if field.default is not msgspec.NODEFAULT
}


def _distinct(specs: Iterable[ToolSpec]) -> tuple[ToolSpec, ...]:
    found: dict[str, ToolSpec] = {}
    for spec in specs:
        if found.setdefault(spec.name, spec) is not spec:
            raise ConfigError(
                f"two tools are named {spec.name!r}; rename one with tool(name='...')"
            )
    return tuple(found.values())


def _lazy(name: str, entry: Any, isolation: Isolation | None) -> ToolSpec:  # Any: from a manifest
    fields = {"function": entry} if isinstance(entry, str) else entry
    try:
        fields = dict(fields)
        path = fields.pop("function")
        if ":" not in path:
            raise ValueError(f"{path!r} does not say which function")
        spec = msgspec.convert(
            {
                "isolation": isolation,
                **fields,
                "name": name,
                "kind": "tool",
                "function": {"kind": "function", "path": path},
            },
            ToolSpec,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"lazy tool {name!r}: {error}; give 'package.module:function', or an entry of "
            "manifest()"
        ) from error
    check(spec)
    if not fields.get("parameters"):
        spec = msgspec.structs.replace(spec, parameters=dict(_ANYTHING))
    return spec


_ANYTHING: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": True}


def _plain(spec: ToolSpec) -> ToolSpec:
    return ToolSpec(**{field: getattr(spec, field) for field in spec.__struct_fields__})
