"""The line of every key in a TOML text.

tomllib says where a syntax error is and nothing about what it parsed. This walks over a text that
tomllib has already accepted and notes where each table, key and array item begins, so that a wrong
value can be reported with its line. It understands structure only: headers, dotted and quoted keys,
the four kinds of strings, arrays and inline tables. What it cannot place gets the line of the table
around it; it never fails.

A TOML library that keeps positions would be a dependency for one number per message.
"""

from __future__ import annotations

import contextlib
import re
import tomllib

Path = tuple[str | int, ...]

# Each alternative begins with another character, so nothing is tried twice; not possessive, because
# releases of CPython before 3.11.5 match possessive groups wrongly.
_SPACE = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY = re.compile(r"""[ \t]*(?:"((?:[^"\\\n]|\\.)*)"|'([^'\n]*)'|([\w-]+))[ \t]*(\.?)""")
_STRING = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*"{3,5}'
    r"|'''(?:[^']|'(?!''))*'{3,5}"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_ATOM = re.compile(r"[^,\]}#\n]+")
_LINE_END = re.compile(r"[^\n]*")


class Lines:
    """Lines by path; a path that was not found has the line of its nearest parent."""

    def __init__(self, found: dict[Path, int]) -> None:
        self._found = found

    def line(self, path: Path) -> int:
        """Line of a key, counted from 1."""
        while path and path not in self._found:
            path = path[:-1]
        return self._found.get(path, 1)


def locate(text: str) -> Lines:
    """Find the line of everything in a valid TOML text; linear in its length."""
    scanner = _Scanner(text)
    # What was found so far is still right.
    with contextlib.suppress(_LostError, tomllib.TOMLDecodeError):
        scanner.document()
    return Lines(scanner.found)


class _LostError(Exception):
    """The text is not what was expected here."""


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.found: dict[Path, int] = {}
        self._counted = (0, 1)  # position, its line: positions only grow
        self._arrays: dict[Path, int] = {}

    def document(self) -> None:
        table: Path = ()
        while self._space() < len(self.text):
            if self._peek() == "[":
                table = self._header()
            else:
                self._pair(table)
            self._match(_LINE_END)

    def _header(self) -> Path:
        double = self.text.startswith("[[", self.position)
        line = self._line()
        self.position += 2 if double else 1
        keys = self._keys()
        path: Path = ()
        for index, key in enumerate(keys):
            path = (*path, key)
            self.found.setdefault(path, line)
            if double and index == len(keys) - 1:
                self._arrays[path] = self._arrays.get(path, 0) + 1
            if path in self._arrays:
                path = (*path, self._arrays[path] - 1)
        self.found[path] = line
        return path

    def _pair(self, table: Path) -> None:
        line = self._line()
        path = table
        for key in self._keys():
            path = (*path, key)
            self.found.setdefault(path, line)
        self._take("=")
        self._value(path)

    def _value(self, path: Path) -> None:
        self._space()
        match self._peek():
            case "[":
                self.position += 1
                index = 0
                while self._more("]"):
                    self.found[(*path, index)] = self._line()
                    self._value((*path, index))
                    index += 1
            case "{":
                self.position += 1
                while self._more("}"):
                    self._pair(path)
            case '"' | "'":
                self._match(_STRING)
            case _:
                self._match(_ATOM)

    def _more(self, closing: str) -> bool:
        """Step over a comma; False behind the closing bracket."""
        self._space()
        if self._peek() == ",":
            self.position += 1
            self._space()
        if self._peek() == closing:
            self.position += 1
            return False
        return True

    def _keys(self) -> list[str]:
        keys = []
        dot = "."
        while dot:
            basic, literal, bare, dot = self._match(_KEY).groups()
            if basic is not None:
                keys.append(str(tomllib.loads(f'key = "{basic}"')["key"]))
            else:
                keys.append(bare if literal is None else literal)
        return keys

    def _space(self) -> int:
        self._match(_SPACE)
        return self.position

    def _peek(self) -> str:
        return self.text[self.position : self.position + 1]

    def _take(self, expected: str) -> None:
        if self._peek() != expected:
            raise _LostError
        self.position += 1

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str]:
        match = pattern.match(self.text, self.position)
        if match is None:
            raise _LostError
        self.position = match.end()
        return match

    def _line(self) -> int:
        position, line = self._counted
        line += self.text.count("\n", position, self.position)
        self._counted = (self.position, line)
        return line
