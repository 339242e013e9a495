"""What a docstring says about a function and its parameters.

Three conventions are read, also mixed: Google (`Args:` and indented names), NumPy (`Parameters`
underlined, names at the margin) and Sphinx (`:param name:`). Text that follows none of them is all
description. Only the description and the parameters are kept: what a function returns or raises is
no matter of the one who decides whether to call it.
"""

from __future__ import annotations

import inspect
import re
from typing import NamedTuple

_GOOGLE = re.compile(r"(?P<name>[A-Z][A-Za-z ]+):\s*")
_ARGUMENTS = frozenset("args arguments parameters params".split()) | {
    "keyword args",
    "keyword arguments",
    "other parameters",
}
_SECTIONS = (
    _ARGUMENTS
    | frozenset(
        "returns return yields yield raises raise warns warnings examples example notes note see "
        "references attributes todo".split()
    )
    | {"see also"}
)
_SPHINX = re.compile(r":(?P<role>\w+)(?:\s+(?P<words>[^:\n]*))?:\s*(?P<text>.*)")
_PARAMETER_ROLES = frozenset("param parameter arg argument key keyword".split())
_GOOGLE_ENTRY = re.compile(r"\*{0,2}(?P<name>\w+)\s*(?:\([^)]*\))?\s*:\s*(?P<text>.*)")
_NUMPY_ENTRY = re.compile(r"(?P<names>\*{0,2}\w+(?:\s*,\s*\*{0,2}\w+)*)\s*(?::.*)?")


class Docstring(NamedTuple):
    """What it says: the text before all sections, and each parameter's words."""

    description: str
    parameters: dict[str, str]


def parse_docstring(text: str | None) -> Docstring:
    """Read a docstring; nothing in it is an error."""
    lines = inspect.cleandoc(text or "").splitlines()
    parameters: dict[str, str] = {}
    description: list[str] = []
    described = True
    at = 0
    while at < len(lines):
        line = lines[at]
        if _underlined(lines, at):
            body, at = _until_underlined(lines, at + 2)
            if line.strip().lower() in _ARGUMENTS:
                parameters |= _numpy_entries(body)
            described = False
        elif (heading := _heading(line)) is not None:
            body, at = _indented(lines, at + 1)
            if heading in _ARGUMENTS:
                parameters |= _google_entries(body)
            described = False
        elif field := _SPHINX.fullmatch(line):
            body, at = _indented(lines, at + 1)
            if field["role"] in _PARAMETER_ROLES and field["words"]:
                parameters[field["words"].split()[-1].lstrip("*")] = _joined([field["text"], *body])
            described = False
        else:
            if described:
                description.append(line)
            at += 1
    return Docstring("\n".join(description).strip(), parameters)


def _heading(line: str) -> str | None:
    """The section of Google's that a line begins, in lower case."""
    found = _GOOGLE.fullmatch(line)
    name = found["name"].lower() if found else None
    return name if name in _SECTIONS else None


def _underlined(lines: list[str], at: int) -> bool:
    """Whether a section of NumPy's begins here."""
    if at + 1 >= len(lines) or lines[at].strip().lower() not in _SECTIONS:
        return False
    rule = lines[at + 1].strip()
    return len(rule) > 2 and set(rule) == {"-"}


def _until_underlined(lines: list[str], at: int) -> tuple[list[str], int]:
    """The lines of a NumPy section, and where the next one begins."""
    begin = at
    while at < len(lines) and not _underlined(lines, at):
        at += 1
    return lines[begin:at], at


def _indented(lines: list[str], at: int) -> tuple[list[str], int]:
    """The lines that belong to what stands above them, and where that ends."""
    begin = at
    while at < len(lines) and (not lines[at].strip() or lines[at][0].isspace()):
        at += 1
    return lines[begin:at], at


def _google_entries(body: list[str]) -> dict[str, str]:
    margin = min((_margin(line) for line in body if line.strip()), default=0)
    entries: dict[str, list[str]] = {}
    current: list[str] = []
    for line in body:
        found = _GOOGLE_ENTRY.fullmatch(line.strip()) if _margin(line) == margin else None
        if found:
            current = entries.setdefault(found["name"], [])
            current.append(found["text"])
        else:
            current.append(line)
    return {name: _joined(words) for name, words in entries.items()}


def _numpy_entries(body: list[str]) -> dict[str, str]:
    entries: dict[str, list[str]] = {}
    current: list[str] = []
    for line in body:
        found = _NUMPY_ENTRY.fullmatch(line) if _margin(line) == 0 and line.strip() else None
        if found:
            current = []
            for name in found["names"].split(","):
                entries[name.strip().lstrip("*")] = current
        else:
            current.append(line)
    return {name: _joined(words) for name, words in entries.items()}


def _margin(line: str) -> int:
    return len(line) - len(line.lstrip())


def _joined(lines: list[str]) -> str:
    return " ".join(filter(None, (line.strip() for line in lines)))
