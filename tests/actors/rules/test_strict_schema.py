from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.actors.rules.strict_schema import drop_added_nulls, strict_schema


class Street(msgspec.Struct):
    """Where somebody lives."""

    name: str
    number: int | None = None


class Person(msgspec.Struct, tag=True):
    """Somebody."""

    name: Annotated[str, msgspec.Meta(min_length=1, description="full name")]
    age: Annotated[int, msgspec.Meta(ge=0)] = 18
    unit: Literal["C", "F"] = "C"
    nick: str | None = "x"
    street: Street | None = None
    streets: list[Street] = []


def test_a_struct() -> None:
    """Closed, everything required, no constraints but in words; definitions too."""
    schema = strict_schema(msgspec.json.schema(Person))
    assert schema is not None
    assert schema["type"] == "object"
    assert schema["required"] == ["type", "name", "age", "unit", "nick", "street", "streets"]
    properties = schema["properties"]
    assert properties["type"] == {"type": "string", "enum": ["Person"]}
    assert properties["name"] == {"type": "string", "description": "full name (minLength: 1)"}
    assert properties["age"] == {"type": ["integer", "null"], "description": "(minimum: 0)"}
    assert properties["unit"] == {
        "anyOf": [{"type": "string", "enum": ["C", "F"]}, {"type": "null"}]
    }
    assert {"type": "null"} in properties["street"]["anyOf"]
    assert properties["streets"]["items"] == {"$ref": "#/$defs/Street"}
    street = schema["$defs"]["Street"]
    assert (street["required"], street["additionalProperties"]) == (["name", "number"], False)


def objects(schema: Any) -> list[dict[str, Any]]:
    """Every object schema in a schema."""
    if isinstance(schema, list):
        return [found for part in schema for found in objects(part)]
    if not isinstance(schema, dict):
        return []
    here = [schema] if "properties" in schema and "type" in schema else []
    return here + [found for part in schema.values() for found in objects(part)]


NAMES = st.sampled_from(["a", "b", "type", "$ref", "enum"])
SCHEMAS = st.recursive(
    st.sampled_from(
        [
            {"type": "string", "maxLength": 3},
            {"type": ["integer", "null"], "minimum": 1},
            {"enum": [1, "a", None]},
            {"const": True},
            {},
            {"type": "object"},
        ]
    ),
    lambda inner: st.one_of(
        st.builds(lambda items: {"type": "array", "items": items}, inner),
        st.builds(lambda branches: {"anyOf": branches}, st.lists(inner, min_size=1, max_size=2)),
        st.builds(
            lambda properties, count: {
                "type": "object",
                "properties": properties,
                "required": list(properties)[:count],
            },
            st.dictionaries(NAMES, inner, max_size=3),
            st.integers(0, 3),
        ),
    ),
    max_leaves=8,
)


@given(SCHEMAS)
def test_every_object_is_closed(schema: dict[str, Any]) -> None:
    """In whatever comes out; making it strict again changes nothing, nor does the first change."""
    before = msgspec.json.encode(schema)
    strict = strict_schema(schema)
    assert msgspec.json.encode(schema) == before
    if strict is not None:
        for found in objects(strict):
            if found["type"] == "object" and isinstance(found.get("required"), list):
                assert found["additionalProperties"] is False
                assert found["required"] == list(found["properties"])
        assert strict_schema(strict) == strict


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "items": {"type": "string"}},
        {"anyOf": [{"type": "object", "properties": {}}]},
        {"type": "object"},
        {"type": "object", "additionalProperties": {"type": "integer"}},
        {"type": "object", "properties": {}, "additionalProperties": True},
        {"type": "object", "properties": {"x": {}}},
        {"type": "object", "properties": {"x": True}},
        {"type": "object", "properties": {"x": {"type": "array"}}},
        {"type": "object", "properties": {"x": {"type": "array", "prefixItems": []}}},
        {"type": "object", "properties": {"x": {"not": {"type": "null"}}}},
        {"type": "object", "properties": {"x": {"allOf": [{}, {}]}}},
        {"type": "object", "properties": {}, "patternProperties": {}},
    ],
)
def test_what_the_subset_cannot_say(schema: dict[str, Any]) -> None:
    """Free keys, tuples, anything at all: None, never something else."""
    assert strict_schema(schema) is None


def test_a_root_that_refers() -> None:
    """Is inlined; a reference elsewhere has no neighbours."""
    schema = {
        "$ref": "#/$defs/Node",
        "$defs": {
            "Node": {
                "type": "object",
                "title": "Node",
                "properties": {
                    "next": {"$ref": "#/$defs/Node", "description": "d", "default": None},
                    "same": {"allOf": [{"$ref": "#/$defs/Node"}], "description": "d"},
                },
                "required": ["next"],
            }
        },
    }
    strict = strict_schema(schema)
    assert strict is not None
    assert strict["type"] == "object"
    assert "title" not in strict
    assert strict["properties"] == {
        "next": {"$ref": "#/$defs/Node"},
        "same": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]},
    }


def test_added_nulls_are_dropped() -> None:
    """Those of optional properties, everywhere; a null that means something stays."""
    schema = msgspec.json.schema(Person)
    value = {
        "type": "Person",
        "name": "n",
        "age": None,
        "unit": None,
        "nick": None,
        "street": {"name": "s", "number": None},
        "streets": None,
    }
    dropped = drop_added_nulls(value, schema)
    assert dropped == {
        "type": "Person",
        "name": "n",
        "nick": None,
        "street": {"name": "s", "number": None},
    }
    person = msgspec.convert(dropped, Person)
    assert (person.age, person.unit, person.streets, person.nick) == (18, "C", [], None)
    inner = {**value, "streets": [{"name": None, "number": None}]}
    assert drop_added_nulls(inner, schema)["streets"] == [{"name": None, "number": None}]


@pytest.mark.parametrize("value", [None, 1, "x", [], [1], {"other": None}])
def test_values_of_another_shape_stay(value: Any) -> None:
    """The validation that follows says what is wrong with them."""
    assert drop_added_nulls(value, msgspec.json.schema(Person)) == value
