import dataclasses
import datetime as dt
import enum
from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypedDict

import msgspec
import pytest

from understudy.actors.agents.shapes import MismatchError, merged, shape_of, with_definitions
from understudy.actors.rules.strict_schema import strict_schema


class City(msgspec.Struct):
    """A city."""

    name: str
    people: int = 0


class Town(msgspec.Struct):
    town: str


class Node(msgspec.Struct):
    value: int
    kids: "list[Node]" = []


@dataclasses.dataclass
class Visit:
    where: str
    at: dt.datetime | None = None


class Row(TypedDict):
    n: int


class Colour(enum.Enum):
    RED = "red"


class Account:
    """What pydantic.BaseModel has, as far as it is asked for."""

    def __init__(self, number: int) -> None:
        self.number = number

    @classmethod
    def model_json_schema(cls) -> dict[str, Any]:
        """An object with a definition of its own."""
        return {
            "title": "Account",
            "type": "object",
            "properties": {"number": {"$ref": "#/$defs/City"}},
            "required": ["number"],
            "$defs": {"City": {"type": "integer"}},
        }

    @classmethod
    def model_validate_json(cls, data: bytes) -> "Account":
        """Raises ValueError, as pydantic's ValidationError is one."""
        number = msgspec.json.decode(data)["number"]
        if not isinstance(number, int):
            raise ValueError(f"number: {number!r} is no integer")  # noqa: TRY004 - pydantic's
        return cls(number)


VALUES: list[tuple[Any, Any, Any]] = [
    (City, {"name": "Paris", "people": None}, City("Paris")),
    (
        Visit,
        {"where": "x", "at": "2026-01-02T03:04:05Z"},
        Visit("x", dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)),
    ),
    (Row, {"n": 1}, {"n": 1}),
    (Node, {"value": 1, "kids": [{"value": 2, "kids": []}]}, Node(1, [Node(2)])),
    (list[City], [{"name": "a"}], [City("a")]),
    (Sequence[City], [{"name": "a"}], [City("a")]),
    (City | None, None, None),
    (dict[int, Town], {"1": {"town": "t"}}, {1: Town("t")}),
    (tuple[int, str], [1, "a"], (1, "a")),
    (Literal["a", "b"], "b", "b"),
    (Colour, "red", Colour.RED),
    (Annotated[int, msgspec.Meta(ge=1)], 3, 3),
    (float, 1, 1.0),
    (City | Town, {"town": "t"}, Town("t")),
    (City | Town, {"name": "t"}, City("t")),
    (City | Visit | Row | int, {"n": 1}, {"n": 1}),
    (City | Town | int, 4, 4),
    (list[City | Town], [{"town": "t"}, {"name": "c", "people": 2}], [Town("t"), City("c", 2)]),
]


@pytest.mark.parametrize(("hint", "data", "value"), VALUES, ids=lambda v: str(v)[:40])
def test_json_becomes_a_value(hint: Any, data: Any, value: Any) -> None:
    """Of every kind of type; nulls that stand for absent properties are absent."""
    assert shape_of(hint).read(data) == value


WRONG: list[tuple[Any, Any, str]] = [
    (City, {"name": 1}, r"Expected `str`, got `int` - at `\$.name`"),
    (City, {}, "missing required field `name`"),
    (list[City], [{"name": "a"}, {"name": 2}], r"at `\$\[1\].name`"),
    (Literal["a", "b"], "c", "Invalid enum value"),
    (int, "4", "Expected `int`, got `str`"),
    (City | Town, {"name": 1}, r"matches no member of the union \(City: Expected `str`"),
    (City | Town, {"street": 1}, "`object` with such properties is none of them"),
    (City | Town, "x", "City: .*; Town: "),
    (list[City | Town], [{"town": "t"}, {"town": 1}], "in element 1 of the list"),
    (list[City | Town], {"town": "t"}, "Expected `array`, got `object`"),
    (Account, {"number": "x"}, "number: 'x' is no integer"),
]


@pytest.mark.parametrize(("hint", "data", "told"), WRONG, ids=lambda v: str(v)[:40])
def test_what_does_not_fit_says_where(hint: Any, data: Any, told: str) -> None:
    """The text goes back to the model, so it names the place and what was expected."""
    with pytest.raises(MismatchError, match=told):
        shape_of(hint).read(data)


def test_a_class_that_would_lose_properties_is_not_taken() -> None:
    """A union without tags is told apart by its properties, whatever the order."""
    both = {"name": "n", "people": 1}

    class Named(msgspec.Struct):
        name: str

    assert shape_of(Named | City).read(both) == City("n", 1)
    assert shape_of(Named | City).read({"name": "n"}) == Named("n")


def test_a_model_is_asked_by_its_own_methods() -> None:
    """Duck typing: no pydantic is imported for a pydantic model."""
    shape = shape_of(Account)
    assert shape.complete["$defs"] == {"City": {"type": "integer"}}
    assert shape.read({"number": 3}).number == 3
    mixed = shape_of(City | Account)
    assert isinstance(mixed.read({"number": 3}), Account)
    assert mixed.read({"name": "c"}) == City("c")


def test_definitions_of_one_name_are_kept_apart() -> None:
    """Each schema leads to its own definition, and only those that are used are sent."""
    shapes = [shape_of(City), shape_of(Account)]
    (city, account), definitions = merged(shapes)
    assert city == {"$ref": "#/$defs/City"}
    assert account["properties"]["number"] == {"$ref": "#/$defs/City_2"}
    assert definitions["City_2"] == {"type": "integer"}
    assert with_definitions(city, definitions)["$defs"].keys() == {"City"}
    assert with_definitions({"type": "null"}, definitions) == {"type": "null"}


def test_recursion_stays_in_the_schema() -> None:
    """A type that holds itself keeps its definition; one that does not is spelled out."""
    assert shape_of(Node).complete["$defs"].keys() == {"Node"}
    assert "$defs" not in shape_of(City).complete
    assert strict_schema(shape_of(Node).complete) is not None


@pytest.mark.parametrize("hint", [list[City], Sequence[City], list[City | Town]], ids=str)
def test_the_elements_of_a_list_have_a_shape(hint: Any) -> None:
    """So they can be read one by one."""
    item = shape_of(hint).item
    assert item is not None
    assert item.read({"name": "a"}) == City("a")
    assert shape_of(City).item is None


def test_real_pydantic_models() -> None:
    """Alone, in lists, in unions with others, and in unions within lists."""
    pydantic: Any = pytest.importorskip("pydantic")

    class User(pydantic.BaseModel):  # type: ignore[misc]
        name: str
        age: int = pydantic.Field(ge=0)

    class Firm(pydantic.BaseModel):  # type: ignore[misc]
        staff: list[User]

    user = {"name": "u", "age": 1}
    assert shape_of(User).read(user) == User(name="u", age=1)
    assert strict_schema(shape_of(Firm).complete) is not None
    assert shape_of(list[User]).read([user]) == [User(name="u", age=1)]
    item = shape_of(list[User]).item
    assert item is not None
    assert item.read(user) == User(name="u", age=1)
    union: Any = User | Firm
    assert shape_of(union).read({"staff": [user]}) == Firm(staff=[User(name="u", age=1)])
    assert shape_of(list[union]).read([user]) == [User(name="u", age=1)]
    assert shape_of(User | None).read(None) is None
    with pytest.raises(MismatchError, match="greater than or equal to 0"):
        shape_of(User).read({"name": "u", "age": -1})
