"""Where the sentences of a text begin and end.

Gives spans into the text, each with the kind of block it stands in: sentences of prose, list items
without a full stop, table rows, headings, lines of code.

Guarantees: one pass, linear, in slices of bounded work on any input, also on a single line of
50 MB without one full stop. A sentence is at most `MAX_SENTENCE` characters; a longer run of prose
is cut at the last white space before that, and says so. A full stop does not end a sentence in an
abbreviation or initial, inside a number, address or file name, in an enumerator (``1.``), in inline
code, or before a lower-case word (unless the sentence is long by then: some people write no
capitals). Scripts with their own stops (CJK, Arabic, Devanagari, Armenian, Ethiopic, Burmese,
Khmer) end at them, with or without a space.

Why not a trained splitter: it needs data files and is wrong on Markdown, which is most of what is
read here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from understudy.actors.rules.blocks import Block, Kind, blocks

MAX_SENTENCE = 1500
SLICE = 12_288
"""Work in a slice, in characters of plain prose: about 2 ms, and 10 ms on the worst input known."""
_PER_SPAN = 64
_PER_STOP = 24
_PER_BREATH = 4096
_LONG = 300

_WIDE = "\u3002\uff01\uff1f\uff61\u061f\u06d4\u0964\u0965\u0589\u1362\u104b\u17d4\u17d5"
_CLOSERS = "\"'\u201d\u2019\u00bb)\\]*_`}\u300d\u300f\uff09"
_MARK = f"[.!?\u2026{_WIDE}]"
# The pattern starts with the class, not with the look-behind, which would cost a step at every
# character. Only the first mark of a run matches: a run of a million dots stays linear.
_END = re.compile(
    rf"{_MARK}(?<!{_MARK}{{2}}){_MARK}*+[{_CLOSERS}]*+"
    rf"(?:(?=\s)|(?<=[{_WIDE}])|(?<=[{_WIDE}][{_CLOSERS}]))"
)
_NEXT = re.compile(r"[\s>]*+[\"'\u201c\u2018\u00ab(\[*_`{\u00bf\u00a1]*+(\S?)")
_LEAD = re.compile(r"[\s>]*+")
_WORD = re.compile(r"\w")
_FOLD = re.compile(r"[^\S\n]*+\n[^\S\n]*+>[\s>]*+|\s++")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_OPENERS = "\"'([{*_`\u201c\u2018\u00ab"
_ABBREVIATIONS = frozenset(
    "mr mrs ms dr prof rev gen col sgt capt lt sen rep gov hon st mt vs cf e.g i.e eg ie al approx "
    "ca dept est resp incl excl z.b d.h u.a bzw vgl mme mlle sra p.ej".split()
)
_NUMBERED = frozenset(
    "no nos nr fig figs eq eqs sec ch vol pp p art "
    "jan feb mar apr jun jul aug sep sept oct nov dec".split()
)


class Span(NamedTuple):
    """A sentence, as offsets into the text; `cut` where it is a part of a longer one."""

    start: int
    end: int
    kind: Kind
    cut: bool


def sentences(text: str) -> Iterator[list[Span]]:
    """Yield the sentences of a text in order, a slice of bounded work at a time."""
    splitter = _Splitter(text)
    for block in blocks(text):
        if block is None:
            splitter.work += _PER_BREATH
        else:
            splitter.take(block)
        if splitter.work >= SLICE:
            yield splitter.spans
            splitter.spans, splitter.work = [], 0
    yield splitter.spans


def fold(sentence: str) -> str:
    """Write a quoted sentence on one line.

    White space is folded to single spaces, a line break together with the quote marks (``>``) that
    follow it, and a lone surrogate, which no encoding can carry, becomes U+FFFD. Nothing else of
    the source is changed.
    """
    return _SURROGATE.sub("\ufffd", _FOLD.sub(" ", sentence)).strip()


class _Splitter:
    """The sentence that is open while the parts of a paragraph go by."""

    def __init__(self, text: str) -> None:
        self.spans: list[Span] = []
        self.work = 0
        self._text = text
        self._begin = -1  # of the open sentence; -1: none is open
        self._cut = False  # the open sentence is the rest of one that was cut

    def take(self, block: Block) -> None:
        """Find the sentences that end in a block."""
        start, end, kind, whole = block
        self.work += end - start + _PER_SPAN
        if self._begin < 0:
            self._begin = start
        if kind is Kind.PROSE:
            self._take_prose(end)
        else:
            self._take_lines(end, kind)
        if whole or kind is not Kind.PROSE:
            self._end_at(end, kind)
            self._begin = -1
        elif end - self._begin > MAX_SENTENCE:
            self._shorten(end, kind)

    def _take_prose(self, end: int) -> None:
        text = self._text
        for match in _END.finditer(text, self._begin, end):
            self.work += _PER_STOP
            if _is_end(text, self._begin, match, end):
                self._end_at(match.end(), Kind.PROSE)

    def _take_lines(self, end: int, kind: Kind) -> None:
        while (line := self._text.find("\n", self._begin, end)) >= 0:
            self._end_at(line, kind)
            self._begin = line + 1

    def _end_at(self, end: int, kind: Kind) -> None:
        """End the open sentence, if there is a word in it, and open the next one."""
        text = self._text
        start = self._begin = _skip(text, self._begin, end)
        stop = end
        if start < end and text[end - 1].isspace():
            stop = start + len(text[start:end].rstrip())
        if stop - start > MAX_SENTENCE:
            self._shorten(stop, kind)
        self._append(self._begin, stop, kind)
        self._begin = end
        self._cut = False

    def _shorten(self, end: int, kind: Kind) -> None:
        """Cut parts off the open sentence until no more than a sentence's length is left."""
        self._cut = True
        while end - self._begin > MAX_SENTENCE:
            limit = self._begin + MAX_SENTENCE
            stop = self._text.rfind(" ", self._begin + 1, limit)
            stop = stop if stop > 0 else limit
            self._append(self._begin, stop, kind)
            self._begin = _skip(self._text, stop, end)

    def _append(self, start: int, stop: int, kind: Kind) -> None:
        self.work += _PER_SPAN
        if start < stop and (self._text[start].isalnum() or _WORD.search(self._text, start, stop)):
            self.spans.append(Span(start, stop, kind, self._cut))


def _skip(text: str, begin: int, end: int) -> int:
    """Skip white space and quote marks."""
    lead = _LEAD.match(text, begin, end)
    return lead.end() if lead else begin


def _is_end(text: str, begin: int, match: re.Match[str], end: int) -> bool:
    """Tell whether a stop, with what closes after it, ends the sentence that began at `begin`."""
    dot = match.start()
    if text.count("`", begin, match.end()) % 2:
        return False
    if text[dot] in _WIDE:
        return True
    following = _NEXT.match(text, match.end(), end)
    first = following[1] if following else ""
    named = (
        following is not None and "`" in following[0]
    )  # a sentence may begin with a name in code
    if first.islower() and not named and dot - begin < _LONG:
        return False
    if text[dot] != "." or text[dot + 1 : dot + 2] == ".":
        return True
    return not _abbreviates(text, begin, dot, first)


def _abbreviates(text: str, begin: int, dot: int, first: str) -> bool:
    """Tell whether the word before a full stop keeps the sentence open."""
    words = text[max(begin, dot - 16) : dot].split()
    if not words:
        return False
    word = words[-1].lstrip(_OPENERS)
    if len(word) == 1 and word.isupper():
        return True
    if word.isdigit():
        return len(words) == 1 and dot - begin < 16
    lower = word.lower()
    if lower in _NUMBERED:
        return first.isdigit()
    return lower in _ABBREVIATIONS or ("." in word and len(word) <= 4 and not word[0].isdigit())
