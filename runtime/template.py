"""Prompts with placeholders.

`{name}` and `{name.field}` of a known step, `{input}`, `{item}`, `{index}`; `{{` and `}}` are
literal braces; other braces are left as they are. Inserted text is never scanned again. A template
that is one placeholder and nothing else gives the object itself, so that functions receive what
the step before them returned; in a longer template everything becomes text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any

import msgspec

from understudy.messages.codec import encode_json
from understudy.messages.errors import UnderstudyError, WorkflowError

_PIECE = re.compile(r"\{\{|\}\}|\{([A-Za-z_][\w-]*)((?:\.[A-Za-z_]\w*)*)\}")
BUILT_IN = ("input", "item", "index")
LABEL_SIZE = 100
_TEXT_SIZE = 1 << 30


class Placeholder(msgspec.Struct, frozen=True):
    """`{name.field}` in a template: where it stands and what it names."""

    start: int
    end: int
    name: str
    fields: tuple[str, ...]


def placeholders(template: str) -> list[Placeholder]:
    """Everything in a template that looks like a placeholder, in order."""
    return [
        Placeholder(m.start(), m.end(), m[1], tuple(part for part in m[2].split(".") if part))
        for m in _PIECE.finditer(template)
        if m[1] is not None
    ]


def stray_brace(template: str) -> str | None:
    """What stands around the first brace that is neither a placeholder's nor doubled, or None."""
    for match in re.finditer(r"[{}]", _PIECE.sub(lambda m: " " * len(m[0]), template)):
        return template[max(0, match.start() - 10) : match.end() + 10]
    return None


class Template:
    """A template, taken apart once.

    Attributes:
        whole: it is one placeholder and nothing else.
        of_items: it names an item or its number.
    """

    __slots__ = ("_parts", "of_items", "whole")

    def __init__(self, text: str) -> None:
        parts: list[str | re.Match[str]] = []
        at = 0
        for match in _PIECE.finditer(text):
            parts.append(text[at : match.start()])
            parts.append(match[0][0] if match[1] is None else match)
            at = match.end()
        parts.append(text[at:])
        self._parts = [part for part in parts if part]
        self.whole = len(self._parts) == 1 and not isinstance(self._parts[0], str)
        self.of_items = any(
            not isinstance(part, str) and part[1] in ("item", "index") for part in self._parts
        )

    def render(self, values: Mapping[str, Any]) -> Any:  # Any: outputs of steps
        """Fill it in; see `render`."""
        if self.whole:
            match = self._parts[0]
            if not isinstance(match, str) and match[1] in values:
                return _look_up(values, match)
        return "".join(
            part
            if isinstance(part, str)
            else (as_text(_look_up(values, part)) if part[1] in values else part[0])
            for part in self._parts
        )


@lru_cache(maxsize=1024)
def template_of(text: str) -> Template:
    """The template of a text; taken apart once."""
    return Template(text)


def render(template: str, values: Mapping[str, Any]) -> Any:  # Any: outputs of steps
    """Fill in a template.

    Raises:
        WorkflowError: a field that the value does not have.
    """
    return template_of(template).render(values)


def as_text(value: Any) -> str:  # Any: outputs of steps
    """A value as it appears in a prompt: text as it is, nothing as "", the rest as JSON.

    What does not encode appears as Python writes it.
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float)):
        return str(value)
    try:
        return encode_json(value, max_size=_TEXT_SIZE).decode()
    except (UnderstudyError, TypeError, ValueError):
        return str(value)


def label_of(item: Any) -> str:  # Any: an item of a list that a step gave
    """What to call an item of `each`: its `path`, its `name`, or how it begins when it is text.

    At most `LABEL_SIZE` characters on one line; the end of a longer path, because that is the part
    that tells files apart. Empty for an item without any of these.
    """
    if isinstance(item, str):
        begin = " ".join(item[: 2 * LABEL_SIZE].split())
        return begin if len(begin) <= LABEL_SIZE else f"{begin[: LABEL_SIZE - 1]}…"
    if isinstance(item, (int, float)):
        return ""
    for field in ("path", "name"):
        text = None
        with suppress(Exception):  # whatever a property of somebody's class does
            text = getattr(item, field, None)
        if isinstance(text, str) and text:
            return text if len(text) <= LABEL_SIZE else f"…{text[1 - LABEL_SIZE :]}"
    return ""


def _look_up(values: Mapping[str, Any], match: re.Match[str]) -> Any:  # Any: outputs of steps
    value = values[match[1]]
    for field in match[2].split(".")[1:]:
        if value is None:
            return None
        if isinstance(value, Mapping):
            if field not in value:
                raise _missing(match[0], field, value)
            value = value[field]
        elif not hasattr(value, field) or field.startswith("_"):
            raise _missing(match[0], field, value)
        else:
            value = getattr(value, field)
    return value


def _missing(placeholder: str, field: str, value: object) -> WorkflowError:
    kind = type(value).__name__
    return WorkflowError(f"{placeholder}: a {kind} has no field {field!r}")
