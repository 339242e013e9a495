import functools
from typing import Any

import pytest

from understudy import ConfigError, Toolset, tool
from understudy.messages.tools import ToolSpec


def look(what: str) -> str:
    """Look at something."""
    return what


async def alook(what: str) -> str:
    """Look at something."""
    return what


def test_what_a_tool_is_made_of() -> None:
    """Name, description and isolation come from the function unless they are given."""
    made = tool(look)
    assert (made.name, made.description, made.isolation) == ("look", "Look at something.", "thread")
    assert tool(alook).isolation == "inline"
    assert tool(isolation="inline")(look).isolation == "inline"
    other = tool(name="see", description="See.", timeout=5, retries=1, strict=False)(look)
    assert (other.name, other.description, other.timeout, other.retries) == ("see", "See.", 5, 1)
    assert other.strict is False
    assert tool(functools.partial(look, what="x")).name == "look"


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"name": "look at"}, "providers refuse this name"),
        ({"name": "1st"}, "not beginning with a digit"),
        ({"name": "x" * 65}, "at most 64"),
        ({"name": ""}, "providers refuse"),
        ({"name": "größe"}, "providers refuse"),
        ({"isolation": "fiber"}, "isolation='fiber'; one of inline, thread, process"),
        ({"effects": "some"}, "effects='some'; one of none"),
        ({"timeout": 0}, "more than 0 seconds"),
        ({"timeout": float("nan")}, "more than 0 seconds"),
        ({"retries": -1}, "0 or more"),
        ({"max_concurrent": 0}, "at least 1"),
        ({"rate_limit": 0}, "more than 0 calls"),
        ({"effects": "at_most_once", "retries": 1}, "contradict each other"),
        ({"timout": 1}, "did you mean timeout="),
        ({"function": look}, "has no option function="),
    ],
)
def test_wrong_options_are_refused_when_the_tool_is_made(options: dict[str, Any], why: str) -> None:
    """Each says which option, and what it may be."""
    with pytest.raises(ConfigError, match=why):
        tool(**options)(look)


def test_functions_that_make_no_tool() -> None:
    """Classes, lambdas without a name, tools, closures in processes, threads for async."""

    def inner(what: str) -> str:
        return what

    cases: list[tuple[Any, dict[str, Any], str]] = [
        (ToolSpec, {}, "is a class"),
        (3, {}, "is a int, not a function"),
        (lambda: None, {}, "a lambda has no name"),
        (tool(look), {}, "is a tool already"),
        (inner, {"isolation": "process"}, "defined inside a function"),
        (alook, {"isolation": "thread"}, "async and needs no thread"),
    ]
    for function, options, why in cases:
        with pytest.raises(ConfigError, match=why):
            tool(**options)(function)
    assert tool(name="nothing")(lambda: None).name == "nothing"


def test_parameters_that_are_no_json() -> None:
    """Of a spec that somebody writes by hand."""
    with pytest.raises(ConfigError, match="tool 'look': parameters= is no JSON Schema"):
        Toolset.of(ToolSpec(name="look", parameters={"x": object()}, function=look))


def test_a_process_tool_can_be_decorated_where_it_is_defined() -> None:
    """The module does not hold it yet at that moment; that is no mistake."""
    look.__module__, before = "tests_that_are_not_there", look.__module__
    try:
        assert tool(isolation="process")(look).isolation == "process"
    finally:
        look.__module__ = before


def test_toolsets_hold_each_name_once() -> None:
    """Two tools of one name are refused, wherever they come from."""
    assert len(Toolset.of(look, alook)) == 2
    with pytest.raises(ConfigError, match="two tools are named 'look'"):
        Toolset.of(look, tool(look))
    with pytest.raises(ConfigError, match="'text' is a str; a tool is a function"):
        Toolset.of("text")
