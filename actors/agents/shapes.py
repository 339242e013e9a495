"""The shape of a type: its JSON Schema, and the way from JSON to a value of it.

msgspec does the work for whatever it knows: Structs, dataclasses, TypedDicts, enums, literals,
lists, scalars. Three things are added. A union of classes that JSON alone cannot tell apart, which
msgspec refuses, is taken apart into its members: the one is meant whose properties fit. A list of
what msgspec does not take is a list of shapes. And a pydantic model is asked by its own methods, so
nobody but its user imports pydantic; only where models are parts of other types its `TypeAdapter`
is needed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from types import UnionType
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

import msgspec

from understudy.actors.rules.strict_schema import drop_added_nulls

Schema = dict[str, Any]  # Any: JSON values

_REF = "#/$defs/"


class MismatchError(Exception):
    """A value is not of the shape; the text says where and why."""


class Shape(NamedTuple):
    """See the module's docstring.

    Attributes:
        schema: its `$ref` lead into `definitions`.
        read: makes the value of decoded JSON, or raises `MismatchError`.
        item: the shape of an element, where it is a list.
    """

    schema: Schema
    definitions: dict[str, Schema]
    read: Callable[[Any], Any]  # Any: JSON values in, whatever the type is out
    item: Shape | None = None

    @property
    def root(self) -> Schema:
        """The schema itself, where it is only a reference."""
        return self.definitions.get(self.schema.get("$ref", "").removeprefix(_REF), self.schema)

    @property
    def complete(self) -> Schema:
        """One schema with its definitions in it."""
        return with_definitions(self.root, self.definitions)


def with_definitions(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    """The schema, and those of the definitions that it leads to."""
    used: dict[str, Schema] = {}
    waiting = [schema]
    while waiting:
        for name in _references(waiting.pop()):
            if name in definitions and name not in used:
                used[name] = definitions[name]
                waiting.append(definitions[name])
    return (
        schema | {"$defs": {name: definitions[name] for name in definitions if name in used}}
        if used
        else schema
    )


def shape_of(hint: Any) -> Shape:  # Any: a type, in whatever spelling
    """The shape of a type.

    Raises:
        TypeError: there is none, and why.
        NameError: it names a class that does not exist (yet).
    """
    if _is_model(hint):
        return _model(hint)
    members = get_args(hint) if get_origin(hint) in (Union, UnionType) else ()
    if any(_is_model(member) for member in members):
        return _alternatives([shape_of(member) for member in members])
    if any(_is_model(part) for part in _parts(hint)):
        return _adapted(hint)
    try:
        found = _known(hint)
    except TypeError:
        if members:
            return _alternatives([shape_of(member) for member in members])
        if get_origin(hint) is list:
            return _list(shape_of(get_args(hint)[0]))
        raise
    if get_origin(hint) in (list, Sequence):
        return found._replace(item=shape_of(get_args(hint)[0]))
    return found


def _known(hint: Any) -> Shape:  # Any: a type
    """What msgspec knows."""
    (schema,), definitions = msgspec.json.schema_components([hint], ref_template=_REF + "{name}")
    whole = schema | {"$defs": definitions}

    def read(data: Any) -> Any:  # Any: JSON in, a value out
        try:
            return msgspec.convert(drop_added_nulls(data, whole), hint, str_keys=True)
        except msgspec.ValidationError as error:
            raise MismatchError(str(error)) from error

    return Shape(schema, definitions, read)


def _model(model: Any) -> Shape:  # Any: a class with the methods of pydantic.BaseModel
    return _own(model.model_json_schema(), model.model_validate_json)


def _adapted(hint: Any) -> Shape:  # Any: a type with such a class in it
    adapter = sys.modules["pydantic"].TypeAdapter(hint)  # who has a model has imported it
    shape = _own(adapter.json_schema(), adapter.validate_json)
    if get_origin(hint) in (list, Sequence):
        return shape._replace(item=shape_of(get_args(hint)[0]))
    return shape


def _own(schema: Schema, validate: Callable[[bytes], Any]) -> Shape:  # Any: a value of the type
    definitions = schema.get("$defs", {})
    rest = {name: value for name, value in schema.items() if name != "$defs"}

    def read(data: Any) -> Any:  # Any: JSON in, a value out
        encoded = msgspec.json.encode(drop_added_nulls(data, schema))
        try:
            return validate(encoded)
        except ValueError as error:  # pydantic's ValidationError is one
            raise MismatchError(str(error)) from error

    return Shape(rest, definitions, read)


def _list(item: Shape) -> Shape:
    def read(data: Any) -> Any:  # Any: JSON in, a list out
        if not isinstance(data, list):
            raise MismatchError(f"Expected `array`, got {_kind(data)}")
        values = []
        for number, part in enumerate(data):
            try:
                values.append(item.read(part))
            except MismatchError as error:
                raise MismatchError(f"{error}, in element {number} of the list") from error
        return values

    return Shape({"type": "array", "items": item.schema}, item.definitions, read, item)


def _alternatives(members: Sequence[Shape]) -> Shape:
    schemas, definitions = merged(members)

    def read(data: Any) -> Any:  # Any: JSON in, a value of one of the members out
        problems = []
        for member in _fitting(members, data):
            try:
                return member.read(data)
            except MismatchError as error:
                problems.append(f"{member.root.get('title', 'one')}: {error}")
        told = "; ".join(problems) or f"{_kind(data)} with such properties is none of them"
        raise MismatchError(f"It matches no member of the union ({told})")

    return Shape({"anyOf": schemas}, definitions, read)


def merged(shapes: Sequence[Shape]) -> tuple[list[Schema], dict[str, Schema]]:
    """Schemas side by side, and the definitions of all; one of two with one name gets another."""
    schemas: list[Schema] = []
    definitions: dict[str, Schema] = {}
    for shape in shapes:
        names: dict[str, str] = {}
        for name, part in shape.definitions.items():
            free, number = name, 1
            while free in definitions and (definitions[free] != part):
                number += 1
                free = f"{name}_{number}"
            names[name] = free
        renamed = {names[name]: _renamed(part, names) for name, part in shape.definitions.items()}
        definitions |= renamed
        schemas.append(_renamed(shape.schema, names))
    return schemas, definitions


def _fitting(members: Sequence[Shape], data: Any) -> Sequence[Shape]:  # Any: JSON
    """Those whose properties an object has; a class that knows fewer would silently lose some."""
    if not isinstance(data, dict):
        return members
    return [
        member
        for member in members
        if "properties" not in member.root or data.keys() <= member.root["properties"].keys()
    ]


def _parts(hint: Any) -> Iterator[Any]:  # Any: types
    """What a type is put together from, at any depth; metadata is none of it."""
    args = get_args(hint)
    for part in args[:1] if get_origin(hint) is Annotated else args:
        yield part
        yield from _parts(part)


def _is_model(hint: Any) -> bool:  # Any: a type
    return isinstance(hint, type) and all(
        hasattr(hint, name) for name in ("model_json_schema", "model_validate_json")
    )


def _references(schema: Any) -> Iterator[str]:  # Any: JSON
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"].removeprefix(_REF)
        for part in schema.values():
            yield from _references(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from _references(part)


def _renamed(schema: Any, names: dict[str, str]) -> Any:  # Any: JSON
    if isinstance(schema, list):
        return [_renamed(part, names) for part in schema]
    if not isinstance(schema, dict):
        return schema
    changed = {name: _renamed(part, names) for name, part in schema.items()}
    if isinstance(schema.get("$ref"), str):
        name = schema["$ref"].removeprefix(_REF)
        changed["$ref"] = _REF + names.get(name, name)
    return changed


def _kind(data: Any) -> str:  # Any: JSON
    kinds = {dict: "`object`", list: "`array`", str: "`str`", type(None): "`null`"}
    return kinds.get(type(data), f"`{type(data).__name__}`")
