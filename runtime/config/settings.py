"""A configuration as one flat table: `tools.circuit_breaker.window` and its value.

For whoever shows, compares or explains it. Keys are those of `Config.origins`; tables that are
absent have no keys below them. Durations are `Duration`s, so that they can be written as such;
secrets stay `Secret`s, which show as `***`.
"""

from __future__ import annotations

from typing import Any, get_args

import msgspec

from understudy.messages.errors import ConfigError
from understudy.messages.functions import function_path
from understudy.runtime.config.durations import UNITS
from understudy.runtime.config.flows import TargetConfig, UntilConfig
from understudy.runtime.config.locate import Path
from understudy.runtime.config.problems import shown
from understudy.runtime.config.read import FAMILIES, SECTIONS, field_types, table_of
from understudy.runtime.config.schema import AgentConfig, Config, Duration, Interval, StepConfig

Settings = dict[str, Any]  # Any: what the fields hold


def settings_of(config: Config) -> Settings:
    """Every value that is in force, by its key, in the order of the schema."""
    return {shown(path): value for path, value in tables_of(config)}


def tables_of(config: Config) -> list[tuple[Path, Any]]:  # Any: what the fields hold
    """As `settings_of`, with the paths in parts."""
    found: list[tuple[Path, Any]] = []
    for section, kind in SECTIONS.items():
        _add(found, (section,), getattr(config, section), kind)
    for family, kind in FAMILIES.items():
        for name, table in getattr(config, family).items():
            _add(found, (family, name), table, kind)
    return found


def as_toml(value: Any) -> str:  # Any: what a field holds
    """A value as it is written in the file; a secret as `"***"`."""
    if Duration is not float and isinstance(value, Duration):
        return f'"{_duration(float(value))}"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (TargetConfig, UntilConfig)):
        fields = {name: getattr(value, name) for name in value.__struct_fields__}
        value = {name: it for name, it in fields.items() if it not in (None, ())}
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(key)} = {as_toml(it)}" for key, it in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(as_toml, value)) + "]"
    if isinstance(value, int | float):
        return repr(value)
    return msgspec.json.encode(str(getattr(value, "path", value))).decode()


def heading(path: Path) -> str:
    """The table that a key stands in: `[limits."openai:*"]`, `[[workflows.digest.steps]]`."""
    names = ".".join(_key(str(part)) for part in path if not isinstance(part, int))
    return f"[[{names}]]" if path and isinstance(path[-1], int) else f"[{names}]"


def _add(
    found: list[tuple[Path, Any]],
    path: Path,
    table: Any,  # Any: a struct with (at least) the fields of `kind`
    kind: type[msgspec.Struct],
) -> None:
    # TOML wants the values of a table before the tables inside of it, and those before the steps.
    tables: list[tuple[Path, Any, type[msgspec.Struct]]] = []  # Any: as above
    for name in kind.__struct_fields__:
        value, here = getattr(table, name), (*path, name)
        inner = table_of(kind, name)
        if inner is not None and value is not None:
            tables.insert(0, (here, value, inner))
        elif name == "steps":
            tables += [((*here, index), step, StepConfig) for index, step in enumerate(value)]
        else:
            if kind is AgentConfig and name == "tools":
                value = tuple(map(_import_path, value))
            if isinstance(value, float) and _is_duration(field_types(kind)[name]):
                value = Duration(value)
            found.append((here, value))
    for here, value, inner in tables:
        _add(found, here, value, inner)


def _import_path(tool: Any) -> str:  # Any: a function or a tool
    try:
        return function_path(tool)
    except ConfigError:  # no file has put it there
        return str(getattr(tool, "name", tool))


def _is_duration(expected: Any) -> bool:  # Any: a type, or a union of types
    return bool({Duration, Interval} & {expected, *get_args(expected)})


def _duration(seconds: float) -> str:
    """As people write it, where that loses nothing: `1h30m`."""
    left = round(seconds * 1000)
    if not left or left / 1000 != seconds:
        return f"{seconds!r}s"
    text = ""
    for unit, size in UNITS.items():
        count, left = divmod(left, round(size * 1000))
        text += f"{count}{unit}" if count else ""
    return text


def _key(name: str) -> str:
    bare = name and all(letter.isalnum() or letter in "-_" for letter in name) and name.isascii()
    return name if bare else msgspec.json.encode(name).decode()
