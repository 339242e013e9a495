import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.actors.rules.json_items import ArraySplitter

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
FORMS = ("{}", '{{"items": {}}}', ' {{\n "it\\"ems" :\n{}\n}}', "```json\n{}\n```", "```\n{}```")


def pieces(text: str, cuts: list[int]) -> list[str]:
    """The text, cut at these places."""
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    return [text[a:b] for a, b in pairwise(places)]


@given(
    st.lists(JSON, max_size=6),
    st.sampled_from(FORMS),
    st.sampled_from([None, 1]),
    st.lists(st.integers(0, 400), max_size=30),
)
def test_any_chunking_gives_the_same_elements(
    values: list[Any], form: str, indent: int | None, cuts: list[int]
) -> None:
    """However the text is cut, each element comes once, whole and in order."""
    text = form.format(json.dumps(values, indent=indent))
    splitter = ArraySplitter()
    found = [element for piece in pieces(text, cuts) for element in splitter.feed(piece)]
    assert [json.loads(element) for element in found] == values
    assert splitter.started
    assert splitter.ended


@given(st.lists(JSON, max_size=4))
def test_letter_by_letter(values: list[Any]) -> None:
    """An element comes with the comma or bracket behind it, never later."""
    text = json.dumps({"items": values}, ensure_ascii=False)
    splitter = ArraySplitter()
    seen = ""
    count = 0
    for letter in text:
        seen += letter
        for element in splitter.feed(letter):
            count += 1
            assert json.loads(element) == values[count - 1]
            assert seen[:-1].rstrip().endswith(element)
    assert count == len(values)


def test_an_incomplete_element_is_not_given() -> None:
    """A number may go on; a string may hold brackets and commas."""
    splitter = ArraySplitter()
    assert splitter.feed('[1, 2, "a,]') == ["1", "2"]
    assert splitter.feed("\\") == []
    assert splitter.feed('"b", {"c": [') == [r'"a,]\"b"']
    assert splitter.feed("]}") == []
    assert splitter.feed("]") == ['{"c": []}']
    assert splitter.feed(', "more"]') == []


@pytest.mark.parametrize(
    "text", ["Here you are: [1, 2]", '{"a": 1, "items": [1]}', "42", "x" * 999]
)
def test_other_texts_give_nothing(text: str) -> None:
    """Only a list, or an object of one list, is split."""
    splitter = ArraySplitter()
    assert splitter.feed(text) == []
    assert not splitter.started


def test_it_gives_up_on_what_is_no_list() -> None:
    """A long text that is something else is not kept."""
    splitter = ArraySplitter()
    for _ in range(1000):
        splitter.feed("prose ")
    assert splitter.ended
    assert len(splitter._head) < 300
