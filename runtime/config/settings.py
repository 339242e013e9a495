"""A configuration as one flat table: `tools.circuit_breaker.window` and its value.

For whoever shows, compares or explains it. Keys are those of `Config.origins`; tables that are
absent have no keys. Secrets stay `Secret`s, which show as `***`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from understudy.messages.functions import FunctionRef
from understudy.runtime.config.problems import shown
from understudy.runtime.config.read import FAMILIES, SECTIONS
from understudy.runtime.config.schema import Config

Settings = dict[str, Any]  # Any: what the fields hold


def settings_of(config: Config) -> Settings:
    """Every value that is in force, by its key, in the order of the schema."""
    found: Settings = {}
    for section in SECTIONS:
        _add(found, (section,), getattr(config, section))
    for family, kind in FAMILIES.items():
        for name, table in getattr(config, family).items():
            _add(found, (family, name), table, only=kind.__struct_fields__)
    return found


def _add(
    found: Settings,
    path: tuple[str | int, ...],
    value: Any,  # Any: a table, or what a field holds
    only: tuple[str, ...] = (),
) -> None:
    if isinstance(value, msgspec.Struct) and not _is_scalar(value):
        for name in only or value.__struct_fields__:
            _add(found, (*path, name), getattr(value, name))
    elif isinstance(value, tuple) and any(isinstance(item, msgspec.Struct) for item in value):
        for index, item in enumerate(value):
            _add(found, (*path, index), item)
    else:
        found[shown(path)] = value


def _is_scalar(value: msgspec.Struct) -> bool:
    """A struct that stands for a text, such as the import path of a function."""
    return isinstance(value, FunctionRef)
