"""Where the paragraphs, headings, tables and code of a text are.

Gives the blocks of plain text, Markdown and reStructuredText as spans into the text, in order.
What it knows: ATX, setext and underlined headings, fences, indented and literal blocks, doctests,
lists, quotes, pipe and grid tables, directives, link targets, image and tag lines.

Guarantees: one pass, linear; never looks at more than `WINDOW` characters between two things it
yields (a long line or paragraph comes in parts), so a caller can stop anywhere in a text of any
shape. Spans are disjoint and ascending.

Why not a Markdown parser: nothing is rendered here. It is enough to know what is prose, so that
nobody quotes half a table, and a parser would build a tree of a text of which five sentences are
wanted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

WINDOW = 2048
_LINES_PER_BREATH = 128
_UNDERLINED = 200
_PROSE_DIRECTIVES = frozenset(
    "admonition attention caution danger deprecated error hint important note seealso tip topic "
    "versionadded versionchanged warning".split()
)
_ONE_LINE = frozenset({"rule", "fence", "heading", "table", "directive", "markup"})
_LINE = re.compile(
    r"""
    (?P<doctest>[ \t]*+>>>[ \t])
    | (?P<indent>[ \t]*+)(?:>[ \t>]*+)?
      (?:
          (?P<blank>\s*+\Z)
        | (?P<rule>(?P<bar>[-=~^"*+_#])(?:[ \t]*+(?P=bar)){2,}+\s*+\Z)
        | (?P<fence>`{3,}+|~{3,}+)
        | (?P<heading>\#{1,6}+(?=[ \t]))
        | (?P<item>(?:[-*+\u2022]|\d{1,3}+[.)])[ \t]++(?:\[[ xX]\][ \t]++)?(?=\S))
        | (?P<table>\||\+[-=+])
        | (?P<directive>\.\.(?:[ \t]++(?P<name>[\w-]++)::|[ \t]|\s*+\Z))
        | (?P<markup><[!/?a-zA-Z][^\n]*>\s*\Z|\[[^\]\n]{1,80}\]:[ \t]|\[?!\[|:[\w-]{1,40}+:\s)
      )?
    """,
    re.VERBOSE,
)


class Kind(IntEnum):
    """What a block is; the lower the number, the better it can be quoted."""

    PROSE = 0
    TABLE = 1
    HEADING = 2
    CODE = 3


class Block(NamedTuple):
    """A span of the text. Where `whole` is false, the next block continues this one."""

    start: int
    end: int
    kind: Kind
    whole: bool


def blocks(text: str) -> Iterator[Block | None]:
    """Yield the blocks of a text in order, and None now and then where there are none for long."""
    reader = _Reader(text)
    position, size, quiet = 0, len(text), 0
    while position < size:
        end = text.find("\n", position, position + WINDOW)
        if end < 0:
            end = min(position + WINDOW, size)
            after = end
        else:
            after = end + 1
        reader.take(position, end)
        position = after
        if reader.done:
            yield from reader.done
            reader.done.clear()
            quiet = 0
        else:
            quiet += 1
            if quiet % _LINES_PER_BREATH == 0:
                yield None
    reader.close()
    yield from reader.done


class _Reader:
    """The block that is open while the lines go by, and what the lines before it decided."""

    def __init__(self, text: str) -> None:
        self.done: list[Block] = []
        self._text = text
        self._start = -1  # of the open block; -1: none is open
        self._end = -1
        self._kind = Kind.PROSE
        self._fence = ""
        self._listed = False  # in a list, where indented text is prose
        self._literal = False  # after `::` or a directive, where indented text is code

    def take(self, start: int, end: int) -> None:
        """Take the next line, or the next part of a line that is longer than a window."""
        text = self._text
        if start and text[start - 1] != "\n":
            self._extend(start, end, Kind.CODE if self._fence else self._open_kind())
        elif self._fence:
            self._take_fenced(start, end)
        elif text[start].isalpha():
            if self._start < 0:
                self._listed = self._literal = False
            self._extend(start, end, self._open_kind())
        else:
            self._take_marked(start, end)

    def close(self) -> None:
        """End the open block, if there is one."""
        if self._start < 0:
            return
        self.done.append(Block(self._start, self._end, self._kind, whole=True))
        if self._kind is Kind.PROSE:
            tail = self._text[max(self._start, self._end - 8) : self._end]
            self._literal = tail.rstrip().endswith("::")
        self._start = -1

    def _take_fenced(self, start: int, end: int) -> None:
        line = self._text[start:end].strip()
        if line.startswith(self._fence) and not line.strip(self._fence[0]):
            self.close()
            self._fence = ""
        else:
            self._extend(start, end, Kind.CODE)

    def _take_marked(self, start: int, end: int) -> None:
        match = _LINE.match(self._text, start, end)
        if match is None:  # every alternative of the pattern is optional
            return
        group = match.lastgroup
        if group == "blank":
            self.close()
            return
        indent = match["indent"] or ""
        if not indent:
            self._literal = False
        if self._is_code(indent, group):
            self._extend(start, end, Kind.CODE)
        elif group in _ONE_LINE:
            self._listed = self._listed and bool(indent)
            self._take_line(match, start, end)
        elif group == "item":
            self.close()
            self._listed = True
            self._extend(match.end(), end, Kind.PROSE)
        else:
            self._listed = self._listed and (bool(indent) or self._start >= 0)
            self._extend(match.end(), end, self._open_kind())

    def _take_line(self, match: re.Match[str], start: int, end: int) -> None:
        """Take a line that is a block of its own."""
        match match.lastgroup:
            case "rule":
                self._take_rule(match["bar"])
            case "fence":
                self.close()
                self._fence = match["fence"]
            case "heading":
                self._emit(match.end(), end, Kind.HEADING)
            case "table":
                self._emit(start, end, Kind.TABLE)
            case "directive":
                self.close()
                self._literal = match["name"] not in _PROSE_DIRECTIVES
                if self._literal:
                    self._emit(start, end, Kind.CODE)
                else:
                    self._extend(match.end(), end, Kind.PROSE)
            case _:
                self._emit(start, end, Kind.CODE)

    def _is_code(self, indent: str, group: str | None) -> bool:
        if group == "doctest" or (self._start >= 0 and self._kind is Kind.CODE):
            return True
        if self._start >= 0:
            return False
        deep = len(indent) >= 4 or "\t" in indent
        return (self._literal and bool(indent)) or (deep and not self._listed)

    def _take_rule(self, bar: str) -> None:
        """A row of one character: under a line it makes a heading of it, else it parts."""
        alone = self._start >= 0 and self._end - self._start <= _UNDERLINED
        if alone and bar not in "*_+" and "\n" not in self._text[self._start : self._end]:
            self._kind = Kind.HEADING
        elif self._start < 0 and bar == "~":
            self._fence = "~~~"
        self.close()

    def _open_kind(self) -> Kind:
        return self._kind if self._start >= 0 else Kind.PROSE

    def _emit(self, start: int, end: int, kind: Kind) -> None:
        self.close()
        self.done.append(Block(start, end, kind, whole=True))

    def _extend(self, start: int, end: int, kind: Kind) -> None:
        if self._start >= 0 and self._kind is not kind:
            self.close()
        if self._start < 0:
            self._start = start
            self._kind = kind
        self._end = end
        if end - self._start >= WINDOW:
            self.done.append(Block(self._start, end, kind, whole=False))
            self._start = end
