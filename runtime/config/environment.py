"""Values that do not stand in the file: from the environment, and from code.

`UNDERSTUDY_LLM__BASE_URL` sets `llm.base_url`; two underscores stand for the dot, also between
tables in tables (`UNDERSTUDY_TOOLS__CIRCUIT_BREAKER__WINDOW`). Tables of agents and workflows are
found by name (`UNDERSTUDY_AGENTS__WRITER__MODEL`), with every character that no variable can have
written as an underscore; there must be such a table in the file. Text becomes what the field is,
lists and tables are written as JSON.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from understudy.messages.codec import decode_json
from understudy.messages.errors import CodecError, ConfigError
from understudy.messages.secrets import Secret
from understudy.runtime.config.problems import Problems, shown, suggestion
from understudy.runtime.config.read import (
    FAMILIES,
    SECTIONS,
    Values,
    convert_field,
    field_types,
    table_of,
)

PREFIX = "UNDERSTUDY_"


def apply_environment(
    environ: Mapping[str, str],
    values: dict[str, Values],
    problems: Problems,
    origins: dict[str, str],
) -> None:
    """Overwrite values of the file with those of the environment."""
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or "__" not in variable:
            continue
        where = f"environment {variable}"
        section, _, rest = variable.removeprefix(PREFIX).partition("__")
        try:
            path = _path(section.lower(), rest, values)
            _set(path, environ[variable], values, text=True)
        except ConfigError as error:
            problems.outside(where, error.message)
        else:
            origins[shown(path)] = where


def apply_code(
    overrides: Mapping[str, object],
    values: dict[str, Values],
    problems: Problems,
    origins: dict[str, str],
) -> None:
    """Overwrite everything with what code says: `{"llm.model": "local:extractive"}`."""
    for key, value in overrides.items():
        section, _, rest = key.partition(".")
        name, _, field = rest.rpartition(".")
        path: tuple[str, ...] = (section, *rest.split("."))
        if section in FAMILIES:  # a name may have dots itself
            path = (section, name, field) if name else (section, field)
        try:
            _set(path, value, values, text=False)
        except ConfigError as error:
            problems.outside(f"{key} (given in code)", error.message)
        else:
            origins[shown(path)] = "code"


def _path(section: str, rest: str, values: dict[str, Values]) -> tuple[str, ...]:
    if section not in FAMILIES:
        return (section, *rest.lower().split("__"))
    name, _, field = rest.rpartition("__")
    for known in values[section]:
        if re.sub(r"[^A-Za-z0-9]", "_", known).upper() == name:
            return (section, known, field.lower())
    raise ConfigError(f"the file has no [{section}.NAME] that {name!r} could stand for")


def _set(path: tuple[str, ...], value: object, values: dict[str, Values], *, text: bool) -> None:
    section, *names, field = path
    family = section in FAMILIES and bool(names)
    kind = FAMILIES[section] if family else SECTIONS.get(section)
    if kind is None:
        raise ConfigError(f"unknown section {section!r}{suggestion(section, values)}")
    table = values[section]
    if family:
        name = names.pop(0)
        if name not in table:
            raise ConfigError(f"there is no {name!r}{suggestion(name, table)}")
        table = table[name]
    for name in names:
        inner = table_of(kind, name) if name in field_types(kind) else None
        if inner is None:
            tables = [known for known in field_types(kind) if table_of(kind, known) is not None]
            raise ConfigError(f"unknown table {name!r}{suggestion(name, tables)}")
        kind, table = inner, table.setdefault(name, {})
    known = [name for name in field_types(kind) if name != "steps"]
    if field not in known:
        raise ConfigError(f"unknown key {field!r}{suggestion(field, known)}")
    if (inner := table_of(kind, field)) is not None:
        keys = ", ".join(field_types(inner))
        raise ConfigError(f"{field!r} is a table; set its keys one by one: {keys}")
    table[field] = _converted(kind, field, value, text=text)


def _converted(kind: type[msgspec.Struct], field: str, value: object, *, text: bool) -> object:
    if isinstance(value, Secret) and field == "api_key":
        return value
    if text and isinstance(value, str) and field in {"stop", "extra"}:
        try:
            value = decode_json(value, Any)
        except CodecError as error:
            raise ConfigError(f"expected JSON; {error.message}") from error
        text = False
    return convert_field(kind, field, value, code=not text, text=text)
