"""How much of a text is kept while it comes.

A text may be larger than memory should hold: `kept(retain)` gathers its pieces and keeps all of
them, their end, or nothing. What was left out is told by a marker in front of what is there, so
nobody takes the end of a text for the whole. Its tokens are counted all the same. Pure, and linear
in what comes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol

from understudy.actors.rules.tokens import estimate_tokens, token_eighths, tokens_of

TAIL = 64 * 1024


class Kept(Protocol):
    """A text that comes in pieces."""

    @property
    def add(self) -> Callable[[str], None]:
        """Take the next piece."""

    def extend(self, pieces: Iterable[str]) -> None:
        """Take some pieces."""

    @property
    def text(self) -> str:
        """What there is, behind a marker where something is missing."""

    @property
    def tokens(self) -> int:
        """An estimate for all that has come."""


def kept(retain: str) -> Kept:
    """What keeps all of a text (`full`), its last 64 KiB (`tail`), or nothing (`none`)."""
    return _Whole() if retain == "full" else _End(TAIL if retain == "tail" else 0)


class _Whole(list[str]):
    """All of it: a list, because `add` is called for every token, and two are made for a call."""

    __slots__ = ()

    add = list.append

    @property
    def text(self) -> str:
        if len(self) > 1:  # in their place, so that asking again does not hold it a second time
            self[:] = ["".join(self)]
        return self[0] if self else ""

    @property
    def tokens(self) -> int:
        return estimate_tokens(self.text)


class _End:
    """Its last `limit` characters, and how long it was."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pieces: deque[str] = deque()
        self._held = 0
        self._came = 0
        self._eighths = 0

    def add(self, piece: str) -> None:
        self._came += len(piece)
        self._eighths += token_eighths(piece)
        if self._limit:
            self._pieces.append(piece[-self._limit :])
            self._held += len(self._pieces[-1])
            while self._held - len(self._pieces[0]) >= self._limit:
                self._held -= len(self._pieces.popleft())

    def extend(self, pieces: Iterable[str]) -> None:
        for piece in pieces:
            self.add(piece)

    @property
    def text(self) -> str:
        text = "".join(self._pieces)[-self._limit :] if self._limit else ""
        missing = self._came - len(text)
        if not missing:
            return text
        return f"[{missing} characters before this were not kept]\n{text}"

    @property
    def tokens(self) -> int:
        return tokens_of(self._eighths)
