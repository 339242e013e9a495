"""`sample(schema)`: the simplest JSON value that a JSON Schema takes.

The same every time: the first of an enum, the first alternative, bounds kept, of an object what it
requires. A `pattern` is not solved: where the schema has an example or a default, that is taken.
Recursive schemas end, as long as some alternative or empty list ends them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]  # Any: JSON values
_Schema = Schema | bool

_FORMATS = {
    "date": "2024-01-01",
    "date-time": "2024-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "duration": "P1D",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "email": "a@example.com",
    "uri": "http://localhost/",
    "ipv4": "127.0.0.1",
    "ipv6": "::1",
    "hostname": "localhost",
    "base64": "YQ==",
}
_DEEPEST = 20


def sample(schema: Schema) -> Any:  # Any: JSON
    """See the module's docstring.

    Raises:
        ValueError: it requires itself, for ever.
    """
    return _sample(schema, schema, 0)


def _sample(schema: _Schema, root: Schema, depth: int) -> Any:  # Any: JSON
    if depth > _DEEPEST:
        raise ValueError("the schema requires itself: it has no value that ends")
    if isinstance(schema, bool):  # anything is one
        return {}
    for given in _given(schema):
        return given
    if "$ref" in schema:
        return _sample(_found(schema["$ref"], root), root, depth + 1)
    for key in ("anyOf", "oneOf"):
        if schema.get(key):
            return _first(schema[key], root, depth)
    if schema.get("allOf"):
        return _merged(schema, root, depth)
    return _plain(schema, root, depth)


def _given(schema: Schema) -> list[Any]:  # Any: JSON
    """Values that the schema itself names, the best first."""
    listed = [*(schema.get("enum") or ()), *(schema.get("examples") or ())]
    return [schema[key] for key in ("const",) if key in schema] + (
        listed or [schema[key] for key in ("default",) if key in schema]
    )


def _plain(schema: Schema, root: Schema, depth: int) -> Any:  # Any: JSON
    kinds: Any = schema.get("type")  # Any: a name, a list of names or nothing
    kind: str | None = kinds if kinds is None or isinstance(kinds, str) else kinds[0]
    if kind is None:
        kind = "object" if "properties" in schema else "array" if "items" in schema else "string"
    match kind:
        case "object":
            properties, required = schema.get("properties", {}), schema.get("required", ())
            return {
                name: _sample(properties.get(name, {"type": "string"}), root, depth + 1)
                for name in required
            }
        case "array":
            first = [_sample(each, root, depth + 1) for each in schema.get("prefixItems", ())]
            missing = max(schema.get("minItems", 0) - len(first), 0)
            items = schema.get("items", True)
            return first + [_sample(items, root, depth + 1) for _ in range(missing)]
        case "integer" | "number":
            return _number(schema, whole=kind == "integer")
        case "boolean":
            return False
        case "null":
            return None
        case _:
            form = schema.get("format", schema.get("contentEncoding", ""))
            text = _FORMATS.get(form, "a")
            return text.ljust(schema.get("minLength", 0), "a")[: schema.get("maxLength")]


def _number(schema: Schema, *, whole: bool) -> Any:  # Any: an int or a float
    low, high = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    step = schema.get("multipleOf", 1 if whole else None)
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if step is None:
        gap = min(1.0, (below if below is not None else high) - (low if above is None else above))
        low = low if above is None else max(low, above + gap / 2)
        high = high if below is None else min(high, below - gap / 2)
        return min(max(0.0, low), high)
    low = low if above is None else max(low, (math.floor(above / step) + 1) * step)
    high = high if below is None else min(high, (math.ceil(below / step) - 1) * step)
    if low > 0:
        return math.ceil(low / step) * step
    return 0 if high >= 0 else math.floor(high / step) * step


def _first(schemas: list[Schema], root: Schema, depth: int) -> Any:  # Any: JSON
    """The first alternative that ends."""
    for each in schemas[:-1]:
        try:
            return _sample(each, root, depth + 1)
        except ValueError:
            continue
    return _sample(schemas[-1], root, depth + 1)


def _merged(schema: Schema, root: Schema, depth: int) -> Any:  # Any: JSON
    """One value for all parts: objects are joined, of anything else the first part counts."""
    rest = {key: value for key, value in schema.items() if key != "allOf"}
    parts = [_sample(each, root, depth + 1) for each in schema["allOf"]]
    if "properties" in rest or "type" in rest:
        parts.append(_plain(rest, root, depth))
    joined: dict[str, Any] = {}  # Any: JSON
    for part in parts:
        if type(part) is not dict:
            return parts[0]
        joined |= part
    return joined


def _found(ref: str, root: Schema) -> Any:  # Any: JSON
    found: Any = root  # Any: JSON
    for part in ref.lstrip("#/").split("/"):
        found = found[part.replace("~1", "/").replace("~0", "~")]
    return found
