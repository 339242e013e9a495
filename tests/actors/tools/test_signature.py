import functools
from typing import Annotated, Any, Literal, TypedDict

import msgspec
import pytest

from understudy import ConfigError, RunContext
from understudy.actors.rules.strict_schema import strict_schema
from understudy.actors.tools.signature import ArgumentsError, Signature


class Place(msgspec.Struct):
    lat: float
    lon: float = 0.0


class Range(TypedDict):
    low: int
    high: int


def weather(  # noqa: D417 - not everything has words
    city: str,
    days: Annotated[int, msgspec.Meta(ge=1, le=14)] = 3,
    unit: Literal["C", "F"] = "C",
    place: Place | None = None,
    between: Annotated[Range | None, "temperatures"] = None,
    *,
    ctx: RunContext,
) -> str:
    """Current weather.

    Args:
        city: city name, in English
    """
    return f"{city} {days} {unit} {place} {between} {ctx}"


def test_the_schema_says_what_the_hints_and_the_docstring_say() -> None:
    """Types, bounds, choices, defaults, descriptions; the context is not in it."""
    signature = Signature(weather, "weather")
    schema = signature.parameters
    assert signature.description == "Current weather."
    assert signature.context == "ctx"
    assert list(schema["properties"]) == ["city", "days", "unit", "place", "between"]
    assert schema["properties"]["city"] == {
        "type": "string",
        "description": "city name, in English",
    }
    assert schema["properties"]["days"] == {
        "type": "integer",
        "minimum": 1,
        "maximum": 14,
        "default": 3,
    }
    assert schema["properties"]["unit"]["enum"] == ["C", "F"]
    assert schema["properties"]["between"]["description"] == "temperatures"
    assert schema["required"] == ["city"]
    assert schema["additionalProperties"] is False
    assert set(schema["$defs"]) == {"Place", "Range"}
    assert strict_schema(schema) is not None


def test_arguments_are_converted() -> None:
    """Structs are made, what was left out is left out, and the context is filled in."""
    signature = Signature(weather, "weather")
    context = RunContext("run", {})
    bound = signature.bind({"city": "Ulm", "place": {"lat": 1}}, context)
    assert bound == {"city": "Ulm", "place": Place(1.0), "ctx": context}


def test_arguments_are_taken_as_models_mean_them() -> None:
    """Numbers as text, and null for an option that was left out."""
    signature = Signature(weather, "weather")
    assert signature.convert({"city": "Ulm", "days": "5", "unit": None}) == {
        "city": "Ulm",
        "days": 5,
    }


def test_every_wrong_argument_is_named() -> None:
    """One message for all of them, so that the model needs one more turn and not four."""
    signature = Signature(weather, "weather")
    with pytest.raises(ArgumentsError) as caught:
        signature.bind({"cty": "Ulm", "days": 15, "place": {"lat": "x"}}, None)
    told = caught.value.message
    assert told.startswith("Invalid arguments for the tool 'weather': ")
    assert "city: missing" in told
    assert "days: Expected `int` <= 14" in told
    assert "place: Expected `float`, got `str` - at `$.lat`" in told
    assert "cty: there is no such argument, did you mean 'city'?" in told
    assert "correct them" in told


@pytest.mark.parametrize("sent", ["text", None, [1], 3])
def test_arguments_that_are_no_object(sent: Any) -> None:
    """What is not even an object is told as such."""
    with pytest.raises(ArgumentsError, match="Expected `object`"):
        Signature(weather, "weather").bind(sent, None)


def test_object_and_any_take_anything() -> None:
    """A hint that says nothing is a hint."""

    def keep(one: object, other: Any = None) -> None: ...

    signature = Signature(keep, "keep")
    assert signature.parameters["properties"] == {"one": {}, "other": {}}
    assert signature.convert({"one": [1], "other": {"a": None}}) == {
        "one": [1],
        "other": {"a": None},
    }


def test_arguments_that_nest_without_end() -> None:
    """Too deep to walk is an answer too, not a crash."""

    def take(items: list[Any]) -> None: ...

    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    signature = Signature(take, "take")
    assert signature.convert({"items": deep})["items"] is not None
    with pytest.raises(ArgumentsError):
        signature.convert({"other": deep})


def test_what_a_partial_has_bound_is_not_shown() -> None:
    """A key that a program binds must not reach the model."""
    bound = functools.partial(weather, unit="F", place=None)
    assert list(Signature(bound, "w").parameters["properties"]) == ["city", "days", "between"]


def test_no_arguments_at_all() -> None:
    """A function without parameters has an empty schema, and takes an empty object."""

    def now() -> None: ...

    signature = Signature(now, "now")
    assert signature.parameters["properties"] == {}
    assert signature.bind({}, None) == {}
    with pytest.raises(ArgumentsError, match="no such argument"):
        signature.bind({"x": 1}, None)


def test_objects_that_can_be_called() -> None:
    """The hints of `__call__` count, without `self`."""

    class Search:
        def __call__(self, query: str) -> str:
            """Search."""
            return query

    signature = Signature(Search(), "search")
    assert list(signature.parameters["properties"]) == ["query"]
    assert signature.description == "Search."


def without_hint(city, days: int) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    """Cannot be a tool."""


def with_star(*cities: str) -> None:
    """Cannot be a tool."""


def with_stars(**options: str) -> None:
    """Cannot be a tool."""


def by_position(city: str, /) -> None:
    """Cannot be a tool."""


def with_object(thing: Signature) -> None:
    """Cannot be a tool."""


def with_unknown(thing: "Nowhere") -> None:  # type: ignore[name-defined]  # noqa: F821
    """Cannot be a tool."""


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (without_hint, "'city' has no type hint"),
        (with_star, r"\*cities"),
        (with_stars, r"\*\*options"),
        (by_position, "remove the '/'"),
        (with_object, "have no JSON schema"),
        (with_unknown, "'Nowhere' is not defined"),
    ],
)
def test_what_cannot_be_described_is_refused(function: Any, why: str) -> None:
    """The tool, the parameter and the remedy are named when the tool is made."""
    with pytest.raises(ConfigError, match=f"(?s)tool 'it'.*{why}"):
        Signature(function, "it")


def test_a_context_that_only_a_type_checker_imports() -> None:
    """The name alone is understood where the module does not have it."""
    namespace: dict[str, Any] = {}
    exec("def look(n: int, c: 'RunContext') -> 'Elsewhere': ...", namespace)
    signature = Signature(namespace["look"], "look")
    assert signature.context == "c"
    assert list(signature.parameters["properties"]) == ["n"]
