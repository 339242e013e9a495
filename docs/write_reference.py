"""Writes docs/reference.md: every public name, with its signature and what its docstring says.

    python docs/write_reference.py            # make docs
    python docs/write_reference.py --check    # exit code 1 when the page is not what it would write

The docstrings are the reference; this only collects them, so that it cannot say anything else.
"""

from __future__ import annotations

import enum
import inspect
import sys
from pathlib import Path
from types import FunctionType

import understudy
import understudy.testing

PAGE = Path(__file__).with_name("reference.md")
HEAD = """# Reference

Every name that can be imported from `understudy`, and the testing kit, with what its docstring
says. Written by `make docs` from the docstrings; `help(understudy.Agent)` says the same.
"""


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for title, module in (("understudy", understudy), ("understudy.testing", understudy.testing)):
        parts.append(f"## {title}\n")
        names: list[str] = sorted(module.__all__, key=str.lower)
        parts += [_entry(name, getattr(module, name)) for name in names]
    return "\n".join(parts)


def _entry(name: str, thing: object) -> str:
    lines = [f"### {name}\n", f"```text\n{name}{_signature(thing)}\n```\n", _words(thing)]
    if inspect.isclass(thing) and not issubclass(thing, (BaseException, enum.Enum)):
        lines += [f"- `{verb}{_signature(it)}`: {_first(it)}" for verb, it in _verbs(thing)]
        lines.append("")
    return "\n".join(line for line in lines if line is not None)


def _verbs(kind: type) -> list[tuple[str, object]]:
    """The public methods and properties that it defines itself, and have words."""
    found: list[tuple[str, object]] = []
    for base in kind.__mro__:
        if not base.__module__.startswith("understudy"):
            continue
        for name, value in vars(base).items():
            it = value.__func__ if isinstance(value, (classmethod, staticmethod)) else value
            plain = isinstance(it, (FunctionType, property)) and inspect.getdoc(it)
            if plain and not name.startswith("_") and name not in {each for each, _ in found}:
                found.append((name, it))
    return sorted(found)


def _signature(thing: object) -> str:
    if isinstance(thing, property):
        return ""
    if inspect.isclass(thing) and issubclass(thing, (BaseException, enum.Enum)):
        return ""
    if not callable(thing):
        return ""
    try:
        given = inspect.signature(thing)
    except (TypeError, ValueError):
        return ""
    # Names alone: releases of Python differ in how they write defaults and annotations.
    names = [
        {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}.get(
            it.kind, ""
        )
        + it.name
        for it in given.parameters.values()
        if it.name not in ("self", "cls")
    ]
    return f"({', '.join(names)})"


def _words(thing: object) -> str:
    text = inspect.getdoc(thing) or ""
    own = inspect.isclass(thing) or isinstance(thing, FunctionType)
    if own and "module's docstring" in text:
        text += "\n\n" + (inspect.getdoc(sys.modules[str(thing.__module__)]) or "")
    return f"```text\n{text}\n```\n" if text and own else ""


def _first(thing: object) -> str:
    return " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split())


def main() -> int:
    """Write the page, or compare it."""
    text = page()
    if "--check" in sys.argv:
        return 0 if PAGE.exists() and PAGE.read_text(encoding="utf-8") == text else 1
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
