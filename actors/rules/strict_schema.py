"""JSON Schemas in the subset that providers enforce while a model writes ("strict").

Purpose: `strict_schema` rewrites a schema so that it means nearly the same and every provider takes
it: each object closed, each property required (an optional one may be null instead), no constraints
on numbers and lengths. What is lost in constraints is told to the model in the description.
`drop_added_nulls` takes those nulls out of an answer again, so that a default is a default.

Guarantees: pure; the schema that is given is not changed. What the subset cannot say (dictionaries
with free keys, tuples, "anything") gives None, never a schema that means something else: then the
schema goes out as it is and nothing is enforced.

Source: OpenAI's guide to structured outputs; Anthropic's and Gemini's subsets contain it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Schema = dict[str, Any]  # Any: JSON values

_CONSTRAINTS = frozenset(
    "minimum maximum exclusiveMinimum exclusiveMaximum multipleOf minLength maxLength pattern "
    "format minItems maxItems uniqueItems minProperties maxProperties".split()
)
_NOISE = frozenset(
    "title default examples deprecated readOnly writeOnly discriminator $schema $id $comment "
    "contentEncoding contentMediaType".split()
)
_SAID = frozenset(
    "type properties required additionalProperties items anyOf oneOf allOf enum const $ref $defs "
    "description".split()
)
_NULL: Schema = {"type": "null"}
_TYPES = ((bool, "boolean"), (str, "string"), (int, "integer"), (float, "number"))


class _InexpressibleError(Exception):
    """The subset has no words for this."""


def strict_schema(schema: Mapping[str, Any]) -> Schema | None:  # Any: JSON values
    """The schema of an object in the strict subset; None where that cannot say what it means."""
    root = _inlined(dict(schema))
    if root.get("type") != "object":
        return None
    try:
        return _narrow(root)
    except _InexpressibleError:
        return None


def drop_added_nulls(value: Any, schema: Mapping[str, Any]) -> Any:  # Any: JSON values
    """The value without the nulls that stand for absent optional properties.

    Args:
        value: decoded JSON that an answer to `strict_schema(schema)` gave.
        schema: the schema before it was made strict.
    """
    return _dropped(value, schema, schema.get("$defs") or {})


def _narrow(schema: Any) -> Schema:  # Any: a schema, if it is one
    if not isinstance(schema, dict) or not schema.keys() <= _SAID | _CONSTRAINTS | _NOISE:
        raise _InexpressibleError
    if "$ref" in schema and "$defs" not in schema:
        return {"$ref": schema["$ref"]}  # it may have no neighbours
    if "allOf" in schema:
        return _narrow(_only(schema))
    narrow: Schema = {}
    if told := _described(schema):
        narrow["description"] = told
    if branches := schema.get("anyOf") or schema.get("oneOf"):
        narrow["anyOf"] = [_narrow(branch) for branch in branches]
    elif "enum" in schema or "const" in schema:
        narrow |= _choice(schema)
    else:
        narrow |= _typed(schema)
    if "$defs" in schema:
        narrow["$defs"] = {name: _narrow(part) for name, part in schema["$defs"].items()}
    return narrow


def _typed(schema: Schema) -> Schema:
    """The words of a type, or of several."""
    kind = schema.get("type")
    if kind is None:
        raise _InexpressibleError  # anything at all
    kinds = kind if isinstance(kind, list) else [kind]
    typed: Schema = {"type": kind}
    if "object" in kinds:
        typed |= _closed(schema)
    if "array" in kinds:
        typed["items"] = _narrow(schema.get("items"))
    return typed


def _closed(schema: Schema) -> Schema:
    """The words of an object: all properties required, no others."""
    properties = schema.get("properties")
    if properties is None or schema.get("additionalProperties", False) is not False:
        raise _InexpressibleError
    required = schema.get("required", ())
    return {
        "properties": {
            name: _narrow(part) if name in required else _nullable(_narrow(part))
            for name, part in properties.items()
        },
        "required": list(properties),
        "additionalProperties": False,
    }


def _choice(schema: Schema) -> Schema:
    """An enumeration, with the type that some providers want beside it."""
    values = schema["enum"] if "enum" in schema else [schema["const"]]
    for kind, name in _TYPES:
        if all(type(value) is kind for value in values):
            return {"type": name, "enum": list(values)}
    return {"enum": list(values)}


def _nullable(schema: Schema) -> Schema:
    if _takes_null(schema, {}):
        return schema
    kind = schema.get("type")
    if kind is None or "enum" in schema:
        if "anyOf" in schema:
            return schema | {"anyOf": [*schema["anyOf"], _NULL]}
        return {"anyOf": [schema, _NULL]}
    return schema | {"type": [*kind, "null"] if isinstance(kind, list) else [kind, "null"]}


def _described(schema: Schema) -> str:
    """The description, with the constraints that the subset has no words for."""
    limits = [f"{name}: {value}" for name, value in schema.items() if name in _CONSTRAINTS]
    told = f"({', '.join(limits)})" if limits else ""
    return " ".join(filter(None, (schema.get("description", ""), told)))


def _only(schema: Schema) -> Schema:
    """`allOf` with one member, which is how references get a description, is that member."""
    if len(schema["allOf"]) != 1 or not isinstance(schema["allOf"][0], dict):
        raise _InexpressibleError
    rest = {name: value for name, value in schema.items() if name != "allOf"}
    return rest | schema["allOf"][0]


def _inlined(schema: Schema) -> Schema:
    """The root itself where it is only a reference to a definition."""
    definitions = schema.get("$defs") or {}
    name = str(schema.get("$ref", "")).removeprefix("#/$defs/")
    if name in definitions:
        return {**definitions[name], "$defs": definitions}
    return schema


def _dropped(value: Any, schema: Any, definitions: Mapping[str, Any]) -> Any:  # Any: JSON values
    schema = _resolved(schema, definitions)
    if isinstance(value, list):
        return [_dropped(item, schema.get("items", {}), definitions) for item in value]
    if not isinstance(value, dict):
        return value
    for branch in schema.get("anyOf") or schema.get("oneOf") or (schema,):
        found = _resolved(branch, definitions)
        properties = found.get("properties", {})
        if value.keys() <= properties.keys():
            required = found.get("required", ())
            return {
                name: _dropped(part, properties[name], definitions)
                for name, part in value.items()
                if part is not None
                or name in required
                or _takes_null(properties[name], definitions)
            }
    return value


def _takes_null(schema: Any, definitions: Mapping[str, Any]) -> bool:  # Any: JSON values
    schema = _resolved(schema, definitions)
    kind = schema.get("type")
    if "enum" in schema:
        return None in schema["enum"]
    if branches := schema.get("anyOf") or schema.get("oneOf"):
        return any(_takes_null(branch, definitions) for branch in branches)
    if "const" in schema or "$ref" in schema:
        return schema.get("const", 0) is None
    return kind is None or kind == "null" or (isinstance(kind, list) and "null" in kind)


def _resolved(schema: Any, definitions: Mapping[str, Any]) -> Schema:  # Any: JSON values
    """The schema behind references and single `allOf`; an empty one where there is none."""
    for _ in range(8):  # chains of references are short, and may be circles
        if not isinstance(schema, dict):
            break
        if len(schema.get("allOf", ())) == 1:
            schema = schema["allOf"][0]
            continue
        name = str(schema.get("$ref", "")).removeprefix("#/$defs/")
        if name not in definitions:
            break
        schema = definitions[name]
    return schema if isinstance(schema, dict) else {}
