import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.actors.rules import json_text
from understudy.actors.rules.json_text import MAX_PASSES, MAX_TEXT, json_value, json_values

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
CONTAINER = st.lists(JSON, max_size=4) | st.dictionaries(st.text(), JSON, max_size=4)
PROSE = st.text(st.characters(exclude_characters='[]{}"`', exclude_categories=["Cs"]), max_size=40)


@given(JSON)
def test_a_text_that_is_json_is_its_one_value(value: Any) -> None:
    """Nothing else is looked for in it."""
    assert list(json_values(f" {json.dumps(value)}\n")) == [value]


@given(PROSE, CONTAINER, PROSE)
def test_words_around_it_do_not_matter(before: str, value: Any, after: str) -> None:
    """An object or a list between sentences is found as it stands."""
    assert next(json_values(f"{before}: {json.dumps(value)} ({after})")) == value


@given(PROSE, JSON)
def test_a_fence_holds_anything(before: str, value: Any) -> None:
    """Between fences a bare number or word is a value too."""
    assert next(json_values(f"{before}:\n```json\n{json.dumps(value)}\n```\nDone.")) == value


def test_the_last_one_is_the_likeliest() -> None:
    """Drafts and examples come before the answer; all are given, so that another may fit."""
    text = 'As in {"name": "X"} or [1]: {"name": "Paris"}.'
    assert list(json_values(text)) == [{"name": "Paris"}, [1], {"name": "X"}]
    assert next(json_values("```\n1\n```\nno,\n```json\n2\n```")) == 2


@pytest.mark.parametrize(
    "text",
    ["", "  ", "no", "[0, 1) is open", '{"a": 1', '{"a": "}', "{'a': 1}", '{"a" 1}', "]{[}", "[[["],
)
def test_what_is_no_json_is_nothing(text: str) -> None:
    """Cut or wrong JSON is not repaired."""
    assert list(json_values(text)) == []


def test_brackets_of_prose_hide_nothing() -> None:
    """A bracket that nothing closes is passed over."""
    assert list(json_values('the interval [0, 1) and "{" {"a": "[}"}')) == [{"a": "[}"}]


def test_depth_is_bounded() -> None:
    """What nests too deep is never decoded; a part of it that does not is found."""
    assert list(json_values("[" * 100_000)) == []
    assert list(json_values("x " + "[" * 80 + "]" * 80)) == [json.loads("[" * 64 + "]" * 64)]


@pytest.mark.parametrize("head", ["[" * 60, '{"a":' * 60, '[{"' * 30])
def test_work_is_bounded(head: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A text whose brackets stay open is not read again for each of them."""
    looked_at = 0

    def end(text: str, start: int, find: Any = json_text._end) -> tuple[int, bool]:
        nonlocal looked_at
        found: tuple[int, bool] = find(text, start)
        looked_at += found[0] - start
        return found

    monkeypatch.setattr(json_text, "_end", end)
    text = head + "1, " * 10_000
    assert list(json_values(text)) == []
    assert 0 < looked_at <= (MAX_PASSES + 2) * len(text)


def test_nothing_is_looked_for_in_a_text_without_end() -> None:
    """Between fences, or as a whole, JSON of any size is a value."""
    long = "so " * MAX_TEXT
    assert list(json_values(f'{long} {{"a": 1}}')) == []
    assert list(json_values(f'{long}\n```json\n{{"a": 1}}\n```')) == [{"a": 1}]
    assert list(json_values(json.dumps([long]))) == [[long]]


def test_many_brackets_of_prose_hide_nothing() -> None:
    """Links before the answer are not counted."""
    links = "see [here](http://x) or {there}, " * 500
    assert list(json_values(f'{links}: {{"a": 1}}')) == [{"a": 1}]
    assert list(json_values("[" * 150 + '{"a": 1}')) == [{"a": 1}]


def test_a_text_that_must_be_json() -> None:
    """Nothing is looked for in it, and it is never decoded too deep."""
    assert json_value(' {"a": [1]} ') == {"a": [1]}
    for text in ("", "x {}", "[" * 100_000 + "]" * 100_000):
        with pytest.raises(ValueError, match="not JSON, or nested too deep"):
            json_value(text)
