"""Documents into passages, along their structure.

A passage is made of whole paragraphs, tables or blocks of code that stand under the same headings,
as many as fit; the headings are kept beside it, for they often name what the paragraph only calls
"it". A block that alone is too long is cut between sentences or lines, and a line that is too long
by length.

Guarantees: linear; every word of the text is in exactly one passage (headings in `heading`), in
order; no passage is estimated at more than `max_tokens` tokens, headings not counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from understudy.actors.rules.blocks import Kind, blocks
from understudy.actors.rules.tokens import estimate_tokens

MAX_TOKENS = 200
_JOINT = " > "
_ATX = re.compile(r"#{1,6}")
_CUT = re.compile(r"(?<=[.!?\u3002\uff01\uff1f])\s+|(?<=[\u3002\uff01\uff1f])|\n")
_HEADING_LENGTH = 200


class Chunk(NamedTuple):
    """A passage: the headings above it, and its text."""

    heading: str
    text: str


def chunks(text: str, max_tokens: int = MAX_TOKENS) -> Iterator[Chunk]:
    """The passages of a document, in order."""
    headings: list[tuple[int, str]] = []
    held: list[str] = []
    weight = 0

    def flush() -> Iterator[Chunk]:
        nonlocal weight
        if held:
            heading = _JOINT.join(title for _, title in headings)[:_HEADING_LENGTH]
            yield Chunk(heading, "\n\n".join(held))
        held.clear()
        weight = 0

    for kind, piece, level in _pieces(text):
        if kind is Kind.HEADING:
            yield from flush()
            while headings and headings[-1][0] >= level:
                headings.pop()
            headings.append((level, piece))
            continue
        for part in _parts(piece, max_tokens):
            size = estimate_tokens(part) + 1  # the blank line between two
            if weight + size > max_tokens + 1:
                yield from flush()
            held.append(part)
            weight += size
    yield from flush()


def _pieces(text: str) -> Iterator[tuple[Kind, str, int]]:
    """Blocks as texts, with the level of headings; what stands between blocks goes with them."""
    position, kind = 0, Kind.PROSE
    parts: list[str] = []
    for block in blocks(text):
        if block is None:
            continue
        before = text[position : block.start]
        position = block.end
        if block.kind is Kind.HEADING and block.whole and not parts:
            title = text[block.start : block.end].strip().strip("#").strip()
            yield Kind.HEADING, title, _level(text, before, block.end)
            continue
        if not parts:
            kind = block.kind
            mark = before.rpartition("\n")[2]  # a bullet, a fence: in front of it on its line
            parts.append(mark if mark.strip() else "")
        parts.append(text[block.start : block.end])
        if block.whole:
            piece = "".join(parts).strip()
            parts = []
            if piece:
                yield kind, piece, 0
    piece = "".join(parts).strip()
    if piece:
        yield kind, piece, 0


def _level(text: str, before: str, end: int) -> int:
    """How deep a heading is: by its marks in front, or by the line under it."""
    marks = _ATX.search(before.rpartition("\n")[2])
    if marks is not None:
        return len(marks.group())
    under = text[end : end + 3].strip()
    return 1 if under.startswith("=") else 2


def _parts(piece: str, max_tokens: int) -> Iterator[str]:
    """A block in parts that fit."""
    if not _is_long(piece, 0, len(piece), max_tokens):
        yield piece
        return
    start = at = 0
    for cut in (*(match.end() for match in _CUT.finditer(piece)), len(piece)):
        if _is_long(piece, start, cut, max_tokens):
            if at > start:
                yield from _kept(piece[start:at])
            start = at
            while _is_long(piece, start, cut, max_tokens):
                end = _fitting(piece, start, max_tokens)
                yield from _kept(piece[start:end])
                start = end
        at = cut
    yield from _kept(piece[start:])


def _is_long(piece: str, start: int, end: int, max_tokens: int) -> bool:
    """Whether a span is too long; never weighs more than could fit."""
    return end - start > 4 * max_tokens or estimate_tokens(piece[start:end]) > max_tokens


def _kept(part: str) -> Iterator[str]:
    part = part.strip()
    if part:
        yield part


def _fitting(piece: str, start: int, max_tokens: int) -> int:
    """Where a part ends that begins at `start`: after a word, if there is one."""
    size = max_tokens * 4
    while estimate_tokens(piece[start : start + size]) > max_tokens:
        size = size * 3 // 4
    space = piece.rfind(" ", start + 1, start + size)
    return space if space > start + size // 2 else start + max(1, size)
