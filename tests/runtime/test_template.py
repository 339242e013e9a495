import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.messages.errors import WorkflowError
from understudy.runtime.template import LABEL_SIZE, as_text, label_of, placeholders, render


class City(msgspec.Struct):
    """Something with fields."""

    name: str
    mayor: dict[str, object]


CITY = City(name="Bonn", mayor={"first": "Ada", "age": 50})


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("Plan: {plan}", "Plan: a plan"),
        ("{plan}, {plan}", "a plan, a plan"),
        ("In {city.name}: {city.mayor.first}", "In Bonn: Ada"),
        ("{{plan}}", "{plan}"),
        ("{{{plan}}}", "{a plan}"),
        ('{"a": {"b": 1}} {plan}', '{"a": {"b": 1} a plan'),
        ("{ plan } {} {unknown} {plan", "{ plan } {} {unknown} {plan"),
        ("f() {{ return {plan} }}", "f() { return a plan }"),
        ("item {index}: {item}", "item 3: x"),
        ("list: {list}", 'list: ["a",1]'),
        ("none: [{nothing}] [{nothing.at.all}]", "none: [] []"),
    ],
)
def test_placeholders_are_filled_in(template: str, text: str) -> None:
    """Names and fields are replaced, doubled braces are braces, other braces are left alone."""
    values = {"plan": "a plan", "city": CITY, "index": 3, "item": "x", "list": ["a", 1]}
    assert render(template, values | {"nothing": None}) == text


def test_one_placeholder_alone_gives_the_object() -> None:
    """A template that is a placeholder and nothing else hands the object on, not its text."""
    assert render("{city}", {"city": CITY}) is CITY
    assert render("{city.mayor.age}", {"city": CITY}) == 50
    assert render(" {city.mayor.age}", {"city": CITY}) == " 50"


def test_inserted_text_is_never_scanned_again() -> None:
    """What a step says cannot reach the output of another one."""
    values = {"a": "{secret} {{x}} {a}", "secret": "hunter2"}
    assert render("say {a}", values) == "say {secret} {{x}} {a}"


@pytest.mark.parametrize("template", ["{city.size}", "to {city.mayor.last}", "{city.__class__}"])
def test_a_missing_field_is_named(template: str) -> None:
    """A field that is not there, or not public, is an error that names the placeholder."""
    with pytest.raises(WorkflowError, match="has no field"):
        render(template, {"city": CITY})


@given(st.text(), st.dictionaries(st.sampled_from(["a", "b-c", "_d"]), st.text(), min_size=1))
def test_text_without_braces_is_itself(text: str, values: dict[str, str]) -> None:
    """Escaped braces come out as they went in, and everything else untouched."""
    escaped = text.replace("{", "{{").replace("}", "}}")
    assert render(escaped, values) == text


@given(st.lists(st.sampled_from(["{a}", "{b-c.x}", "text", "{{", "}}", " ", "{", "\n"])))
def test_placeholders_are_found_where_render_replaces_them(pieces: list[str]) -> None:
    """The check of a workflow and its run agree about what a placeholder is."""
    template = " ".join(pieces)
    found = placeholders(template)
    assert [template[p.start : p.end] for p in found] == [
        piece for piece in pieces if piece in ("{a}", "{b-c.x}")
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("x", "x"),
        (None, ""),
        (1.5, "1.5"),
        (True, "True"),
        ({"a": 1}, '{"a":1}'),
        (object, "object"),
    ],
)
def test_values_as_text(value: object, text: str) -> None:
    """Text stays text, nothing is empty, data is JSON, the rest is what `str` says."""
    assert text in as_text(value)


class Opaque:
    """Nothing that encodes."""

    def __str__(self) -> str:
        return "opaque"


@pytest.mark.parametrize(
    ("value", "text"), [(Opaque(), "opaque"), ({"a": {1, 2}.__iter__}, "{'a': <"), (None, "")]
)
def test_any_value_has_a_text(value: object, text: str) -> None:
    """A step may give what it likes: what does not encode appears as Python writes it."""
    assert as_text(value).startswith(text)


def test_a_large_value_is_still_json() -> None:
    """The bound of a message between processes is none for a prompt."""
    text = as_text(["x" * 1000] * 2000)
    assert len(text) > 2_000_000
    assert text.startswith('["x')


class Named(msgspec.Struct):
    """An item with a path, a name, or neither."""

    path: object = None
    name: object = None


@pytest.mark.parametrize(
    ("item", "label"),
    [
        ("docs/a.md", "docs/a.md"),
        ("  two\n lines ", "two lines"),
        ("word " * 50, ("word " * 50)[: LABEL_SIZE - 1] + "…"),
        (Named(path="docs/a.md", name="a"), "docs/a.md"),
        (Named(name="a"), "a"),
        (Named(path=3), ""),
        (Named(path="x" * 200 + "/a.md"), "…" + "x" * (LABEL_SIZE - 6) + "/a.md"),
        (7, ""),
    ],
)
def test_what_an_item_is_called(item: object, label: str) -> None:
    """By its path, its name or its first words, on one line of bounded length."""
    assert label_of(item) == label
    assert len(label) <= LABEL_SIZE
