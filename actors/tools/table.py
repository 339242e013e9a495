"""The table of an agent's tools: checked once, then looked up by name.

A table is made from whatever an agent may be given: tools, plain functions, toolsets and anything
with `as_tool()`. What a runtime keeps about one tool (slots, rate, breaker) is a `Station`;
tables of the same runtime share it, so that a bound holds for all agents together.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from understudy.actors.tools.describe import check, describe
from understudy.actors.tools.station import Station
from understudy.messages.errors import ConfigError
from understudy.messages.models import ToolDeclaration
from understudy.messages.tools import ToolsetSpec, ToolSpec

MAX_NAMED = 20


class ToolTable:
    """See the module's docstring; made by `ToolDirectory.table`."""

    __slots__ = ("_declarations", "_unloaded", "stations")

    def __init__(self, specs: Iterable[ToolSpec], station: Callable[[ToolSpec], Station]) -> None:
        self.stations: dict[str, Station] = {}
        for spec in specs:
            if spec.name in self.stations:
                raise ConfigError(
                    f"two tools are named {spec.name!r}; rename one with tool(name='...')"
                )
            self.stations[spec.name] = station(spec)
        self._declarations = tuple(map(_declaration, self.stations.values()))
        self._unloaded = [each for each in self.stations.values() if not each.loaded]

    @property
    def declarations(self) -> tuple[ToolDeclaration, ...]:
        """What the model is told; of a lazy tool it is more once that is loaded."""
        if any(each.loaded for each in self._unloaded):
            self._declarations = tuple(map(_declaration, self.stations.values()))
            self._unloaded = [each for each in self._unloaded if not each.loaded]
        return self._declarations

    def needs_approval(self, name: str) -> bool:
        """Whether somebody has to agree before that tool is called; False for unknown names."""
        station = self.stations.get(name)
        return station is not None and station.spec.requires_approval

    def unknown(self, name: str) -> str:
        """What a model is told that calls a tool which is not there."""
        near = difflib.get_close_matches(name, self.stations, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        names = sorted(self.stations)
        more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
        known = ", ".join(names[:MAX_NAMED]) or "none at all"
        return f"There is no tool named {name!r}.{hint} There are: {known}{more}."


def specs_of(tools: Iterable[Any]) -> Iterator[ToolSpec]:  # Any: see the module's docstring
    """The specs of all tools, toolsets unfolded.

    Raises:
        ConfigError: says which of them is no tool, or wrong, and why.
    """
    for each in tools:
        if isinstance(each, ToolsetSpec):
            yield from specs_of(each.tools)
        elif isinstance(each, ToolSpec):
            check(each)
            yield each
        elif callable(made := getattr(each, "as_tool", None)):
            yield from specs_of((made(),))
        elif callable(each):
            yield describe(ToolSpec, each)
        else:
            kind = type(each).__name__
            raise ConfigError(
                f"tools=: {each!r} is a {kind}; a tool is a function, a Tool, a Toolset, or has "
                "as_tool()"
            )


def _declaration(station: Station) -> ToolDeclaration:
    spec = station.spec
    return ToolDeclaration(
        name=spec.name,
        description=spec.description,
        parameters=spec.parameters,
        strict=spec.strict,
    )
