"""The JSON in what a model said, where nothing kept it from saying more.

Models put JSON between fences, behind "Here is the answer:", or after a draft of it. `json_values`
gives every value that may be meant, the likeliest first, and whoever asks takes the first that has
the shape it wants.

Guarantees: pure; the work is linear in the text, also in one that was written to make it grow; what
nests deeper than the codec allows is passed over, never decoded. Nothing is repaired: JSON that is
cut or wrong is not a value, and its writer is told.

A regular expression cannot match brackets; a repairing parser would make a value of what the model
did not say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from understudy.messages.codec import MAX_DEPTH
from understudy.messages.depth import json_too_deep

MAX_PASSES = 4
"""How often, in all, the characters of a text are looked at in search of brackets that match."""
MAX_TEXT = 256 * 1024
"""Characters of a text in which they are looked for; of a longer one only fences are."""

_FENCE = re.compile(r"```[ \t]*[\w+-]*[ \t]*\r?\n(.*?)```", re.DOTALL)
_OPENING = re.compile(r"[\[{]")
_TOKEN = re.compile(r'["\[\]{}]')
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_CLOSES = {"[": "]", "{": "}"}
_MISSING = object()
_FREE = 10_000  # characters: a short text is worth more passes


def json_values(text: str) -> Iterator[Any]:  # Any: JSON values
    """The values that the text may mean: itself, else fenced ones, else any; later ones first."""
    whole = _decoded(text)
    if whole is not _MISSING:
        yield whole
        return
    fenced = [_decoded(match[1]) for match in _FENCE.finditer(text)]
    yield from (value for value in reversed(fenced) if value is not _MISSING)
    yield from reversed(list(_scattered(text)))


def json_value(text: str) -> Any:  # Any: a JSON value
    """The value of a text that is JSON and nothing else.

    Raises:
        ValueError: it is not, or nests too deep to be decoded.
    """
    value = _decoded(text)
    if value is _MISSING:
        raise ValueError("not JSON, or nested too deep")
    return value


def _scattered(text: str) -> Iterator[Any]:  # Any: JSON values
    at = 0
    left = MAX_PASSES * len(text) + _FREE if len(text) <= MAX_TEXT else -1
    while left >= 0 and (opening := _OPENING.search(text, at)):
        start = opening.start()
        end, closed = _end(text, start)
        value = _decoded(text[start:end]) if closed else _MISSING
        left -= end - start
        if value is _MISSING:
            at = start + 1
        else:
            yield value
            at = end


def _end(text: str, start: int) -> tuple[int, bool]:
    """Behind the bracket that closes the one at `start`; False where it is clear that none does."""
    expected: list[str] = []
    at = start
    while token := _TOKEN.search(text, at):
        mark, at = token[0], token.end()
        if mark == '"':
            string = _STRING.match(text, token.start())
            if string is None:
                return len(text), False
            at = string.end()
        elif mark in _CLOSES:
            expected.append(_CLOSES[mark])
            if len(expected) > MAX_DEPTH:
                return at, False
        elif expected.pop() != mark:
            return at, False
        if not expected:
            return at, True
    return len(text), False


def _decoded(text: str) -> Any:  # Any: a JSON value, or _MISSING
    data = text.strip().encode("utf-8", "replace")
    if not data or json_too_deep(data, MAX_DEPTH):
        return _MISSING
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError):
        return _MISSING
