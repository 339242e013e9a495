"""`sample(schema)`: a value that the schema takes."""

import datetime as dt
import uuid
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta

from understudy.testing.samples import sample


class Node(msgspec.Struct):
    """A list of itself."""

    value: int
    next: "Node | None"


class Endless(msgspec.Struct):
    """Nothing that ends is one."""

    next: "Endless"


@pytest.mark.parametrize(
    "kind",
    [
        *(
            bool,
            int,
            float,
            str,
            None,
            dt.date,
            Annotated[dt.datetime, Meta(tz=True)],
            uuid.UUID,
            bytes,
        ),
        *(list[int], dict[str, int], tuple[int, str], Literal[3, "x"], int | None, Node),
        *(Annotated[int, Meta(ge=3)], Annotated[int, Meta(gt=3)], Annotated[int, Meta(lt=-3)]),
        *(Annotated[int, Meta(ge=5, multiple_of=4)], Annotated[int, Meta(le=-5, multiple_of=4)]),
        *(Annotated[float, Meta(gt=0, lt=0.5)], Annotated[float, Meta(gt=1.5)]),
        *(Annotated[float, Meta(lt=-1.5)], Annotated[float, Meta(ge=-2, le=-1)]),
        *(Annotated[str, Meta(min_length=5)], Annotated[str, Meta(max_length=0)]),
        Annotated[list[Node], Meta(min_length=2)],
    ],
)
def test_the_value_is_one_of_the_type(kind: Any) -> None:
    """What the schema of a type takes, the type takes."""
    value = sample(msgspec.json.schema(kind))
    msgspec.convert(value, kind)


def test_parts_and_examples() -> None:
    """Parts of an object are joined; what the author gives as an example is taken."""
    parts = [{"type": "object", "properties": {name: {}}, "required": [name]} for name in "ab"]
    assert sample({"allOf": parts}).keys() == {"a", "b"}
    assert sample({"type": "string", "pattern": "^x+$", "examples": ["xx"]}) == "xx"
    assert sample({"type": ["integer", "null"], "default": 4}) == 4
    assert sample({}) == "a"


def test_a_schema_without_an_end_says_so() -> None:
    """Instead of a recursion that Python ends."""
    with pytest.raises(ValueError, match="requires itself"):
        sample(msgspec.json.schema(Endless))
