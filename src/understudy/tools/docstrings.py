"""What a Python file says about itself: its docstrings, as Markdown.

Guarantees: the file is parsed and never run. One file is parsed at a time in this process: a syntax
tree takes hundreds of times the memory of its source, and the interpreter's lock would let only one
parse go on anyway.

Assumes a stack of at least 1 MiB, as every thread of the runtime has: the parser recurses in C.
"""

from __future__ import annotations

import ast
import re
import threading
import warnings

_ONE_AT_A_TIME = threading.Lock()
_SECTION = re.compile(
    r"(?:Args|Arguments|Attributes|Examples?|Keyword Args|Notes?|Parameters|Raises|Returns|Yields):"
)
_Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def docstrings_of(source: str) -> str:
    """Give the docstrings of a module, its classes and functions, each under a heading.

    Raises:
        SyntaxError: it is not valid Python, or nested too deeply to be parsed.
    """
    with _ONE_AT_A_TIME:
        parts: list[str] = []
        left: list[tuple[str, _Documented]] = [("", _parse(source))]
        while left:
            name, node = left.pop()
            text = ast.get_docstring(node)
            if text:
                text = _with_lists(text)
                parts.append(f"## {name}\n\n{text}" if name else text)
            inner = [
                (f"{name}.{child.name}" if name else child.name, child)
                for child in node.body
                if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            ]
            left += reversed(inner)
    return "\n\n".join(parts)


def _with_lists(docstring: str) -> str:
    """Make a list of what stands indented under `Args:` and the like, one item an entry."""
    lines = docstring.split("\n")
    entry = -1  # indent of the entries of the open section; -1: none is open, 0: not known yet
    for number, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        if not line.strip():
            continue
        if indent == 0:
            entry = 0 if _SECTION.fullmatch(line) else -1
            if entry == 0:
                lines[number] = f"### {line}\n"
        elif entry >= 0:
            entry = entry or indent
            if indent == entry and not line.lstrip().startswith((">>>", "...", "-", "*")):
                lines[number] = f"- {line.strip()}"
    return "\n".join(lines)


def _parse(source: str) -> ast.Module:
    try:
        with warnings.catch_warnings():
            # "\d" in a foreign file is neither our business nor, under -W error, its end.
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except (RecursionError, MemoryError):
        raise SyntaxError("it is nested too deeply") from None
    except ValueError as error:  # a NUL, or a number with too many digits
        raise SyntaxError(str(error)) from None
