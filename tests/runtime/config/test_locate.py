"""The line of every key, whatever way of writing TOML it uses."""

import json
import tomllib
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from understudy.runtime.config.locate import Path, locate

# Raw, so three double quotes are written @@@; the literal string ends with a quote of its own.
TEXT = r"""# a comment with [brackets] and key = 1
title = "top"   # behind a value
dotted.inner . "quoted key" = 1

[llm]
model = @@@
[not.a.table]
not = "a key"
@@@
literal = '''
x = 'y'
''''
escaped = "say \"hi\" # no comment [no] = table"
path = 'C:\dir\'
when = 1979-05-27 07:32:00

[agents."with.dot"]
stop = [
    "a]",  # ] in a comment
    'b"',

    "c",
]
extra = { one = 1, two = { three = [ { four = 4 } ] } }
["agents".'plain' . "\u0061scii"]
x = 1

[[workflows.w.steps]]
name = "one"
[workflows.w.steps.options]
deep = true
[[workflows.w.steps]]
name = "two"
[workflows.w]
mode = "dag"
[workflows.v]
steps = [
    { name = "a" },
    { name = "b", after = [
        "a" ] },
]
last = 1""".replace("@@@", '"""')

EXPECTED: dict[Path, int] = {
    ("title",): 2,
    ("dotted",): 3,
    ("dotted", "inner", "quoted key"): 3,
    ("llm",): 5,
    ("llm", "model"): 6,
    ("llm", "literal"): 10,
    ("llm", "escaped"): 13,
    ("llm", "path"): 14,
    ("llm", "when"): 15,
    ("agents", "with.dot"): 17,
    ("agents", "with.dot", "stop"): 18,
    ("agents", "with.dot", "stop", 0): 19,
    ("agents", "with.dot", "stop", 1): 20,
    ("agents", "with.dot", "stop", 2): 22,
    ("agents", "with.dot", "extra"): 24,
    ("agents", "with.dot", "extra", "two", "three", 0, "four"): 24,
    ("agents", "plain", "ascii"): 25,
    ("agents", "plain", "ascii", "x"): 26,
    ("workflows", "w", "steps", 0): 28,
    ("workflows", "w", "steps", 0, "name"): 29,
    ("workflows", "w", "steps", 0, "options"): 30,
    ("workflows", "w", "steps", 0, "options", "deep"): 31,
    ("workflows", "w", "steps", 1): 32,
    ("workflows", "w", "steps", 1, "name"): 33,
    ("workflows", "w"): 34,
    ("workflows", "w", "mode"): 35,
    ("workflows", "v", "steps"): 37,
    ("workflows", "v", "steps", 0, "name"): 38,
    ("workflows", "v", "steps", 1): 39,
    ("workflows", "v", "steps", 1, "name"): 39,
    ("workflows", "v", "steps", 1, "after", 0): 40,
    ("workflows", "v", "last"): 42,
}


def test_the_text_is_toml() -> None:
    """The text of this test means what its line table assumes."""
    document = tomllib.loads(TEXT)
    assert document["llm"]["literal"] == "x = 'y'\n'"
    assert document["workflows"]["v"]["last"] == 1


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("path", EXPECTED, ids=str)
def test_every_key_has_its_line(path: Path, end: str) -> None:
    """Tables, arrays of tables, dotted and quoted keys, strings of all kinds, inline tables."""
    assert locate(TEXT.replace("\n", end)).line(path) == EXPECTED[path]


def test_what_is_not_there_has_the_line_of_the_table_around_it() -> None:
    """A missing key is reported at its table, a missing table at the top."""
    lines = locate("\n[llm]\nmodel = 1\n")
    assert lines.line(("llm", "missing", "deeper")) == 2
    assert lines.line(("other",)) == 1


def paths(value: Any, here: Path = ()) -> list[Path]:  # Any: parsed TOML
    """The path of every value in a document."""
    found = [here] if here else []
    if isinstance(value, dict):
        for key, inner in value.items():
            found += paths(inner, (*here, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            found += paths(inner, (*here, index))
    return found


def written(value: Any) -> str:  # Any: as above
    """A value as inline TOML."""
    if isinstance(value, dict):
        inside = ", ".join(f"{json.dumps(key)} = {written(inner)}" for key, inner in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, list):
        return f"[{', '.join(map(written, value))}]"
    return json.dumps(value)


SCALARS = st.text(st.characters(max_codepoint=0xFF, exclude_characters="\x7f"), max_size=8)
VALUES = st.recursive(
    SCALARS | st.integers(-9, 9) | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SCALARS, inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(SCALARS, st.dictionaries(SCALARS, VALUES, max_size=3), max_size=4))
def test_any_document_written_a_key_a_line_is_found(document: dict[str, dict[str, Any]]) -> None:
    """Whatever is quoted inside, each key and all it holds has the line it was written on."""
    lines: list[str] = []
    expected: dict[Path, int] = {}
    for name, table in document.items():
        lines.append(f"[{json.dumps(name)}]")
        expected[(name,)] = len(lines)
        for key, value in table.items():
            lines.append(f"{json.dumps(key)} = {written(value)}")
            expected[(name, key)] = len(lines)
    text = "\n".join(lines)
    assert tomllib.loads(text) == document
    found = locate(text)
    for path in paths(document):
        assert found.line(path) == expected[path[:2]]


@example('"\n"')
@example('"\\x" = 1')
@given(st.text(alphabet="[]{}=.,\"'#\\ \nab1", max_size=40))
def test_it_never_fails(text: str) -> None:
    """Also a text that is not TOML is walked to where it makes sense."""
    assert locate(text).line(("a", 0, "b")) >= 1
