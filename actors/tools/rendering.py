"""What a tool gave, as the text that a model reads.

Text goes as it is, everything else as JSON. Both are cut at a bound, with a marker that says so: a
tool that returns too much must not fill the conversation. What JSON cannot say is the tool's error,
told in a way that its author can act on.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from understudy.messages.errors import ToolError, UnderstudyError

MAX_OUTPUT = 1024 * 1024
"""Bytes of one result, as UTF-8."""


class Rendered(NamedTuple):
    """A value and how it reads."""

    value: Any  # Any: whatever the tool returned
    content: str


class Tried(NamedTuple):
    """How one attempt ended: with a value, an error, or not in time."""

    rendered: Rendered | None = None
    error: BaseException | None = None
    in_time: bool = True


class UnserialisableError(ToolError):
    """The tool worked, but what it returned cannot be told to a model."""


def render(value: Any) -> Rendered:  # Any: whatever the tool returned
    """The text of a value.

    Raises:
        UnserialisableError: names the type.
    """
    if isinstance(value, str):
        return Rendered(value, cut(value))
    try:
        return Rendered(value, cut(_json.encode(value)))
    except (TypeError, ValueError, OverflowError, RecursionError, UnderstudyError) as error:
        raise UnserialisableError(
            f"The tool returned a {type(value).__name__} that has no JSON form: {error}. "
            "It should return text, plain data, or a msgspec.Struct."
        ) from None


def explain(error: BaseException) -> str:
    """An error as the model reads it: a ToolError's own words, else the type and the message."""
    try:
        if isinstance(error, ToolError):
            return cut(error.message) or "The tool failed."
        words = error.message if isinstance(error, UnderstudyError) else str(error)
    except Exception:  # noqa: BLE001 - a __str__ that fails itself
        words = "(its message cannot be had: __str__ raised)"
    name = type(error).__name__
    return cut(f"{name}: {words}" if words else name)


def cut(text: str | bytes) -> str:
    """Text of at most `MAX_OUTPUT` bytes that every provider can be sent."""
    if isinstance(text, str):
        if len(text) <= MAX_OUTPUT and text.isascii():
            return text
        # A lone surrogate, as in a file name that is not UTF-8, would not encode.
        data = text[:MAX_OUTPUT].encode("utf-8", "backslashreplace")
        size = len(data) if len(text) <= MAX_OUTPUT else len(text)
    else:
        data = text
        size = len(text)
    if size <= MAX_OUTPUT:
        return data.decode()
    kept = data[:MAX_OUTPUT].decode("utf-8", "ignore")
    return f"{kept}\n[cut: the output was longer than {MAX_OUTPUT} bytes]"


def _enc_hook(value: Any) -> Any:  # Any: whatever the tool returned
    dump = getattr(value, "model_dump", None)  # a pydantic model, which need not be installed
    if callable(dump):
        return dump(mode="json")
    raise TypeError(f"{type(value).__module__}.{type(value).__qualname__} is not encodable")


_json = msgspec.json.Encoder(enc_hook=_enc_hook)
