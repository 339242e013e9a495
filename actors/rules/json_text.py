"""The JSON in what a model said, where nothing kept it from saying more.

Models put JSON between fences, behind "Here is the answer:", or after a draft of it. `json_values`
gives every value that may be meant, the likeliest first, and whoever asks takes the first that has
the shape it wants.

Guarantees: pure; the work is linear in the text for a bounded number of tries; what nests deeper
than the codec allows is passed over, never decoded. Nothing is repaired: JSON that is cut or wrong
is not a value, and its writer is told.

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

MAX_TRIES = 64
"""Openings at which a value is looked for in a text that is not JSON as a whole."""

_FENCE = re.compile(r"```[ \t]*[\w+-]*[ \t]*\r?\n(.*?)```", re.DOTALL)
_OPENING = re.compile(r"[\[{]")
_TOKEN = re.compile(r'["\[\]{}]')
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_CLOSES = {"[": "]", "{": "}"}
_MISSING = object()


def json_values(text: str) -> Iterator[Any]:  # Any: JSON values
    """The values that the text may mean: itself, else fenced ones, else any; later ones first."""
    whole = _decoded(text)
    if whole is not _MISSING:
        yield whole
        return
    fenced = [_decoded(match[1]) for match in _FENCE.finditer(text)]
    yield from (value for value in reversed(fenced) if value is not _MISSING)
    yield from reversed(list(_scattered(text)))


def _scattered(text: str) -> Iterator[Any]:  # Any: JSON values
    at = 0
    for _ in range(MAX_TRIES):
        opening = _OPENING.search(text, at)
        if opening is None:
            return
        start = opening.start()
        end = _end(text, start)
        value = _MISSING if end is None else _decoded(text[start:end])
        if value is _MISSING or end is None:
            at = start + 1
        else:
            yield value
            at = end


def _end(text: str, start: int) -> int | None:
    """Behind the bracket that closes the one at `start`; None where they do not match."""
    expected: list[str] = []
    at = start
    while token := _TOKEN.search(text, at):
        mark, at = token[0], token.end()
        if mark == '"':
            string = _STRING.match(text, token.start())
            if string is None:
                return None
            at = string.end()
        elif mark in _CLOSES:
            expected.append(_CLOSES[mark])
        elif expected.pop() != mark:
            return None
        if not expected:
            return at
    return None


def _decoded(text: str) -> Any:  # Any: a JSON value, or _MISSING
    data = text.strip().encode("utf-8", "replace")
    if not data or json_too_deep(data, MAX_DEPTH):
        return _MISSING
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError):
        return _MISSING
