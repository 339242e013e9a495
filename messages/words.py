"""What to call values and errors of others, in our own sentences.

A class may fail to put itself into words (`__str__`, `__repr__`). Whoever only mentions such an
object must not fail for that: it is called by its type then.
"""

from __future__ import annotations


def repr_of(value: object) -> str:
    """How Python writes a value."""
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 - whatever a __repr__ does
        return f"<{type(value).__name__}>"


def text_of(error: BaseException) -> str:
    """The words of an error, which may be none."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - whatever a __str__ does
        return f"<{type(error).__name__}>"


def sentence_of(error: BaseException) -> str:
    """What an error says; with its type where that is too little: nothing, a key, an exit code."""
    text, name = text_of(error), type(error).__name__
    if not text:
        return name
    if isinstance(error, KeyError) or not isinstance(error, Exception):
        return f"{name}: {text}"
    return text
