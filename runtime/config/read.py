"""Tables into values: known keys only, each of its type, every mistake noted with its line.

msgspec stops at the first mistake of a document, so a table is read key by key.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, datetime, time
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec

from understudy.messages.errors import ConfigError
from understudy.runtime.config.durations import parse_duration
from understudy.runtime.config.flows import TARGETS
from understudy.runtime.config.locate import Path
from understudy.runtime.config.problems import Problems, shown, suggestion
from understudy.runtime.config.schema import (
    AgentConfig,
    Duration,
    Interval,
    LimitConfig,
    LlmConfig,
    MemoryConfig,
    PriceConfig,
    RuntimeConfig,
    StepConfig,
    StreamingConfig,
    ToolsConfig,
    WorkflowConfig,
)

T = TypeVar("T", bound=msgspec.Struct)
Values = dict[str, Any]  # Any: of whatever type the field of the same name has
SECTIONS: dict[str, type[msgspec.Struct]] = {
    "llm": LlmConfig,
    "memory": MemoryConfig,
    "runtime": RuntimeConfig,
    "streaming": StreamingConfig,
    "tools": ToolsConfig,
}
FAMILIES: dict[str, type[msgspec.Struct]] = {
    "agents": AgentConfig,
    "workflows": WorkflowConfig,
    "limits": LimitConfig,
    "prices": PriceConfig,
}


def read_document(
    document: Mapping[str, object], problems: Problems, origins: dict[str, str]
) -> dict[str, Values]:
    """The values of every table: `{"llm": {...}, "agents": {name: {...}}, ...}`."""
    values: dict[str, Values] = {name: {} for name in (*SECTIONS, *FAMILIES)}
    for key, table in document.items():
        if key in SECTIONS:
            values[key] = _read_table(SECTIONS[key], table, (key,), problems, origins)
        elif key in FAMILIES:
            if not isinstance(table, dict):
                problems.at((key,), f"expected tables such as [{key}.NAME]")
                continue
            for name, inner in table.items():
                path = (key, name)
                values[key][name] = _read_table(FAMILIES[key], inner, path, problems, origins)
        else:
            problems.at((key,), f"unknown key {key!r}{suggestion(key, values)}")
    return values


def convert_field(
    kind: type[msgspec.Struct], name: str, value: object, *, code: bool = False, text: bool = False
) -> Any:  # Any: of the field's type
    """One value as the type of its field.

    Args:
        kind: the struct that has the field.
        name: of the field.
        value: from the file, the environment or code.
        code: durations may be numbers, which are seconds.
        text: the value is text that stands for the type (`"32"`, `"0.5"`).

    Raises:
        ConfigError: says what was expected.
    """
    expected = field_types(kind)[name]
    choices = _choices(expected)
    if choices and value not in choices and (isinstance(value, str) or not _takes_more(expected)):
        shown_value = repr(value) if isinstance(value, str) else type(value).__name__
        hint = suggestion(str(value), choices)
        raise ConfigError(f"{shown_value} is not one of {', '.join(choices)}{hint}")

    def hook(wanted: type, given: object) -> object:
        if wanted not in (Duration, Interval):
            raise ConfigError(f"{wanted.__name__} cannot be configured")
        if code and isinstance(given, int | float) and not isinstance(given, bool):
            seconds = float(given)
        else:
            seconds = parse_duration(given)
        if not 0 < seconds < math.inf and (seconds or wanted is Duration):
            raise ConfigError(f"expected some time, got {given!r}")
        return wanted(seconds)

    try:
        converted = msgspec.convert(value, expected, strict=not text, dec_hook=hook)
    except msgspec.ValidationError as error:
        raise ConfigError(str(error)) from error
    if isinstance(converted, Duration):
        converted = float(converted)
    wrong = _not_json(converted)
    if wrong:
        raise ConfigError(wrong)
    return converted


@cache
def field_types(kind: type[msgspec.Struct]) -> dict[str, Any]:  # Any: types, unions, annotations
    """The fields of a table and their types."""
    return {field.name: field.type for field in msgspec.structs.fields(kind)}


@cache
def table_of(kind: type[msgspec.Struct], name: str) -> type[msgspec.Struct] | None:
    """The struct of a field that is a table of its own (`[tools.circuit_breaker]`), if it is one.

    A field of several kinds of table has no single set of keys and is read as a plain value.
    """
    expected = field_types(kind)[name]
    options = get_args(expected) if get_origin(expected) in (Union, UnionType) else (expected,)
    tables = [it for it in options if isinstance(it, type) and issubclass(it, msgspec.Struct)]
    others = [it for it in options if it not in tables and it is not NoneType]
    return tables[0] if len(tables) == 1 and not others else None


def build_table(kind: type[T], values: Values) -> T:
    """The struct of a table that was read, with the tables inside of it."""
    fields = dict(values)
    for name, value in values.items():
        inner = table_of(kind, name)
        if inner is not None and isinstance(value, dict):
            fields[name] = build_table(inner, value)
    return kind(**fields)


def _read_table(
    kind: type[msgspec.Struct],
    table: object,
    path: Path,
    problems: Problems,
    origins: dict[str, str],
) -> Values:
    values: Values = {}
    if not isinstance(table, dict):
        problems.at(path, f"expected a table, got {type(table).__name__}")
        return values
    for key, value in table.items():
        here = (*path, key)
        if key not in field_types(kind):
            problems.at(here, f"unknown key {key!r}{suggestion(key, field_types(kind))}")
        elif kind is WorkflowConfig and key == "steps":
            values[key] = _read_steps(value, here, problems, origins)
        elif (inner := table_of(kind, key)) is not None:
            values[key] = _read_table(inner, value, here, problems, origins)
        else:
            try:
                values[key] = convert_field(kind, key, value)
            except ConfigError as error:
                problems.at(here, error.message)
            origins[shown(here)] = problems.origin(here)
    for field in msgspec.structs.fields(kind):
        if field.required and field.name not in table and field.name != "mode":
            problems.at((*path, field.name), "is missing")
    return values


def _read_steps(
    steps: object, path: Path, problems: Problems, origins: dict[str, str]
) -> list[Values]:
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        problems.at(path, f"expected tables such as [[{shown(path)}]]")
        return []
    if not steps:
        problems.at(path, "a workflow has at least one step")
    read = []
    for index, step in enumerate(steps):
        here = (*path, index)
        read.append(_read_table(StepConfig, step, here, problems, origins))
        _check_targets(step, here, problems)
    return read


def _check_targets(step: dict[str, Any], path: Path, problems: Problems) -> None:  # Any: TOML
    """Each step, and each that stands in for one, has exactly one target."""
    given = [key for key in TARGETS if key in step]
    if len(given) != 1:
        what = f"has {' and '.join(given)}" if given else "has no target"
        problems.at(path, f"a step {what}; give exactly one of {', '.join(TARGETS)}")
    if ("cases" in step) != ("choose" in step):
        problems.at(path, "choose and cases belong together: a placeholder, and what it names")
    fallback = step.get("fallback")
    if isinstance(fallback, dict):
        if "on_error" in step:
            problems.at((*path, "on_error"), "there is a fallback, which says what to do")
        _check_targets(fallback, (*path, "fallback"), problems)


def _choices(expected: Any) -> tuple[str, ...]:  # Any: a type, union or annotation
    """The texts that a Literal allows, optional or not."""
    if get_origin(expected) is Literal:
        return get_args(expected)
    for option in get_args(expected):
        if get_origin(option) is Literal:
            return get_args(option)
    return ()


def _takes_more(expected: Any) -> bool:  # Any: a type, union or annotation
    """Whether something else than the texts of a Literal, or nothing, is allowed."""
    options = get_args(expected) if get_origin(expected) in (Union, UnionType) else (expected,)
    return any(it is not NoneType and get_origin(it) is not Literal for it in options)


def _not_json(value: object) -> str:
    """Why a value has no place in a request; empty when it has."""
    if isinstance(value, msgspec.Struct):
        return ""  # its fields have types of their own
    if isinstance(value, dict | list | tuple):
        inner = value.values() if isinstance(value, dict) else value
        return next(filter(None, map(_not_json, inner)), "")
    if isinstance(value, float) and not math.isfinite(value):
        return f"expected a finite number, got {value}"
    if isinstance(value, date | datetime | time):
        return f'a date is not JSON; write it as text: "{value.isoformat()}"'
    return ""
