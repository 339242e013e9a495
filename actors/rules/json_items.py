"""The elements of a JSON array, each as soon as it is complete, from text that arrives in pieces.

Purpose: a list that a model writes for a minute can be worked on from its first element. The array
is the text itself or the one member of an object (`{"items": [...]}`), with a fence before it or
without; of any other text nothing is given, which is right too: then the list is there at the end.

Guarantees: pure of clock and I/O; however the text is cut, the same elements come; each character
is looked at once, and no more is kept than the element that is incomplete. Elements are texts: they
are complete by their brackets and commas, and whether they decode is for the reader to find out.

Parsing the whole text again for each piece would be quadratic.
"""

from __future__ import annotations

import re

_HEAD = re.compile(r'\s*(?:```[ \t]*\w*\s*)?(?:\{\s*"(?:[^"\\]|\\.)*"\s*:\s*)?\[')
_MAX_HEAD = 256
_MARK = re.compile(r'["\[\]{},]')
_QUOTE = re.compile(r'["\\]')


class ArraySplitter:
    """Feed it pieces of text; it gives the elements that have become complete.

    Attributes:
        started: the array has begun.
        ended: it is complete, or there is none; nothing more will come.
    """

    def __init__(self) -> None:
        self.started = False
        self.ended = False
        self._head = ""
        self._pieces: list[str] = []  # of the element that is incomplete
        self._depth = 0
        self._quoted = False
        self._escaped = False  # the piece before ended with a backslash inside a string

    def feed(self, text: str) -> list[str]:
        """The elements that `text` completes, in order."""
        if self.ended:
            return []
        if not self.started:
            self._head += text
            match = _HEAD.match(self._head)
            if match is None:
                self.ended = len(self._head) > _MAX_HEAD
                return []
            self.started = True
            text, self._head = self._head[match.end() :], ""
        return self._split(text)

    def _split(self, text: str) -> list[str]:
        found: list[str] = []
        begin = at = 0
        while not self.ended and at < len(text):
            if self._quoted:
                at = self._through_string(text, at)
                continue
            mark = _MARK.search(text, at)
            if mark is None:
                break
            at = mark.end()
            if self._structural(mark[0]):
                self._pieces.append(text[begin : at - 1])
                begin = at
                element = "".join(self._pieces).strip()
                self._pieces.clear()
                if element or not self.ended:
                    found.append(element)
        if not self.ended:
            self._pieces.append(text[begin:])
        return found

    def _structural(self, mark: str) -> bool:
        """Whether the mark ends an element; keeps count of strings and brackets."""
        if mark == '"':
            self._quoted = True
        elif mark in "[{":
            self._depth += 1
        elif mark in "]}" and self._depth:
            self._depth -= 1
        elif not self._depth:
            self.ended = mark != ","
            return True
        return False

    def _through_string(self, text: str, at: int) -> int:
        """Behind the string, or behind the text where the string goes on."""
        if self._escaped:
            self._escaped = False
            return at + 1
        mark = _QUOTE.search(text, at)
        if mark is None:
            return len(text)
        if mark[0] == '"':
            self._quoted = False
        else:
            self._escaped = True
        return mark.end()
