import dataclasses
import datetime as dt
from typing import Any

import msgspec
import pytest

from understudy import ConfigError, DeadlineExceededError, Secret, ToolError
from understudy.actors.tools.rendering import (
    MAX_OUTPUT,
    UnserialisableError,
    cut,
    explain,
    render,
)


class Point(msgspec.Struct):
    x: int


@dataclasses.dataclass
class Record:
    when: dt.date


class Dumping:
    def model_dump(self, *, mode: str) -> dict[str, Any]:
        return {"mode": mode}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as it is", "as it is"),
        ("", ""),
        (None, "null"),
        (3, "3"),
        ([Point(1), {"a": (1, 2)}], '[{"x":1},{"a":[1,2]}]'),
        (Record(dt.date(2026, 1, 2)), '{"when":"2026-01-02"}'),
        (b"\x00", '"AA=="'),
        (Dumping(), '{"mode":"json"}'),
        ("\ud800x", "\\ud800x"),
    ],
)
def test_values_read_as_text_or_json(value: Any, text: str) -> None:
    """Text goes as it is, data as JSON, and what comes out always encodes."""
    rendered = render(value)
    assert rendered.content == text
    assert rendered.value is value
    rendered.content.encode()


@pytest.mark.parametrize("value", [object(), lambda: None, Secret("s"), {1: object()}, 1j])
def test_what_has_no_json_form_is_the_tools_error(value: Any) -> None:
    """The type is named, and what to return instead."""
    with pytest.raises(UnserialisableError, match=f"a {type(value).__name__} that has no JSON"):
        render(value)


def test_a_value_that_contains_itself() -> None:
    """A circle is an error, not a crash."""
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(UnserialisableError):
        render(circle)


@pytest.mark.parametrize("value", ["x" * 100_000_000, "ä" * MAX_OUTPUT, ["y" * MAX_OUTPUT]])
def test_too_much_is_cut_with_a_marker(value: Any) -> None:
    """At most 1 MiB and the marker, never within a character."""
    content = render(value).content
    assert content.endswith("[cut: the output was longer than 1048576 bytes]")
    assert MAX_OUTPUT <= len(content.encode()) + 2 <= MAX_OUTPUT + 100


def test_exactly_the_bound_is_not_cut() -> None:
    """The marker stands only where something is missing."""
    assert cut("x" * MAX_OUTPUT) == "x" * MAX_OUTPUT
    assert cut("ä" * (MAX_OUTPUT // 2)) == "ä" * (MAX_OUTPUT // 2)


def test_errors_are_told_in_words() -> None:
    """A ToolError's own, others with their type; one that cannot even be printed too."""

    class UnprintableError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert explain(ToolError("No such city.")) == "No such city."
    assert explain(ToolError("")) == "The tool failed."
    assert explain(KeyError("k")) == "KeyError: 'k'"
    assert explain(ConfigError("wrong")) == "ConfigError: wrong"
    assert explain(DeadlineExceededError()) == "DeadlineExceededError"
    assert explain(UnprintableError()).startswith("UnprintableError: (its message")
