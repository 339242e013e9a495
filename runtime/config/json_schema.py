"""The configuration's JSON Schema, for editors that complete and check TOML while it is written.

Made from the structs that also read the file, so that the two cannot disagree. What only a reader
can know (that a step's dependency exists) is not in it.
"""

from __future__ import annotations

import inspect
from typing import Any

import msgspec

from understudy.messages.secrets import Secret
from understudy.runtime.config.durations import UNITS
from understudy.runtime.config.read import FAMILIES, SECTIONS
from understudy.runtime.config.schema import Duration
from understudy.runtime.config.settings import as_toml

_PATTERN = "^" + "".join(rf"(\d+(\.\d+)?{unit})?" for unit in UNITS) + "$"
DURATION = {
    "type": "string",
    "pattern": _PATTERN,
    "minLength": 2,
    "examples": ["250ms", "20s", "5m", "1h30m"],
}


def json_schema() -> dict[str, Any]:  # Any: JSON
    """The schema of a whole file, JSON Schema 2020-12."""
    fields: list[tuple[str, Any, Any]] = [  # Any: types and defaults, as defstruct takes them
        (name, kind, msgspec.field(default_factory=dict)) for name, kind in SECTIONS.items()
    ]
    fields += [
        (name, dict[str, kind], msgspec.field(default_factory=dict))  # type: ignore[valid-type]
        for name, kind in FAMILIES.items()
    ]
    document = msgspec.defstruct("Document", fields, forbid_unknown_fields=True)
    (found,), components = msgspec.json.schema_components(
        [document], schema_hook=_hook, ref_template="#/$defs/{name}"
    )
    root = components.pop("Document")
    del found
    root["title"] = "understudy"
    for schema in (root, *components.values()):
        if "description" in schema:
            schema["description"] = inspect.cleandoc(schema["description"])
        for field in schema.get("properties", {}).values():
            _tidy(field)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **root,
        "$defs": dict(sorted(components.items())),
    }


def _tidy(field: dict[str, Any]) -> None:  # Any: JSON
    """TOML has no null, and a table that is not there is said by its absence."""
    options = [option for option in field.get("anyOf", ()) if option != {"type": "null"}]
    if len(options) == 1:
        del field["anyOf"]
        field.update(options[0])
    elif options:
        field["anyOf"] = options
    default = field.get("default")
    if "default" in field and default in (None, {}, []):
        del field["default"]
    elif isinstance(default, float) and field.get("type") == "string":
        field["default"] = as_toml(Duration(default)).strip('"')


def _hook(kind: type) -> dict[str, Any]:  # Any: JSON
    if issubclass(kind, Duration):
        return dict(DURATION)
    if issubclass(kind, Secret):
        return {"type": "string", "description": '"env:NAME"'}
    raise NotImplementedError
