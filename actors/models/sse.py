"""Lines and server-sent events from bytes that are cut anywhere.

Purpose: turn the chunks of a response body into lines (`LineSplitter`, which is all NDJSON needs)
and into events (`SseParser`), as the WHATWG's specification of `text/event-stream` reads them.

Guarantees: the events do not depend on where the bytes were cut, also inside a UTF-8 sequence or
between CR and LF: splitting works on bytes and `data` stays bytes, for a decoder that takes bytes.
An event is given out as soon as its blank line is complete. Work is linear in the bytes; a line or
event above `max_bytes` raises instead of growing. At the end an event without its blank line is
given out too, because some servers forget it.

Assumptions: one parser a response; `feed` in order, `close` once at the end.
"""

from __future__ import annotations

import msgspec

_BOM = b"\xef\xbb\xbf"


class EventTooLargeError(ValueError):
    """A line or an event exceeds the bound."""


class SseEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One event: its data as bytes (several `data` lines joined by LF) and its other fields."""

    data: bytes
    event: str = "message"
    id: str = ""
    retry: int | None = None


class LineSplitter:
    """Splits chunks at LF, CR or CRLF.

    Args:
        max_bytes: the longest line that is accepted.
    """

    def __init__(self, max_bytes: int = 16 * 1024 * 1024) -> None:
        self._max_bytes = max_bytes
        self._parts: list[bytes] = []  # of the line that is not complete
        self._size = 0
        self._after_cr = False
        self.halfway = False
        """A line, or the end of one, is not complete."""

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that this chunk completes, without their ends.

        Raises:
            EventTooLargeError: a line is longer than `max_bytes`.
        """
        if self._after_cr and chunk:
            # The CR has ended its line already; this LF is the rest of a CRLF.
            self._after_cr = False
            if chunk.startswith(b"\n"):
                chunk = chunk[1:]
        if not chunk:
            return []
        lines = chunk.splitlines(keepends=True)
        rest = b"" if lines[-1].endswith((b"\n", b"\r")) else lines.pop()
        if lines:
            self._after_cr = not rest and lines[-1].endswith(b"\r")
            if self._parts:
                lines[0] = b"".join((*self._parts, lines[0]))
                self._parts.clear()
                self._size = 0
        self._check(max(map(len, lines), default=0))
        if rest:
            self._parts.append(rest)
            self._size += len(rest)
            self._check(self._size)
        self.halfway = self._after_cr or bool(self._parts)
        return [line.rstrip(b"\r\n") for line in lines]

    def close(self) -> list[bytes]:
        """The line that no end of line has closed, if there is one."""
        rest = b"".join(self._parts)
        self._parts.clear()
        self._size = 0
        return [rest] if rest else []

    def _check(self, size: int) -> None:
        if size > self._max_bytes:
            raise EventTooLargeError(f"a line of more than {self._max_bytes} bytes")


class SseParser:
    """Parses one event stream.

    Args:
        max_bytes: the largest event (and line) that is accepted.
    """

    def __init__(self, max_bytes: int = 16 * 1024 * 1024) -> None:
        self._max_bytes = max_bytes
        self._lines = LineSplitter(max_bytes)
        self._first = True
        self._data: list[bytes] = []
        self._size = 0
        self._event = ""
        self._id = ""
        self._retry: int | None = None

    def feed(self, chunk: bytes) -> list[SseEvent]:
        """The events that this chunk completes.

        Raises:
            EventTooLargeError: a line or an event is larger than `max_bytes`.
        """
        events: list[SseEvent] = []
        for line in self._lines.feed(chunk):
            self._take(line, events)
        return events

    def payloads(self, chunk: bytes) -> list[bytes]:
        """The data of those events alone; a fifth of the time where a chunk is whole events.

        Raises:
            EventTooLargeError: a line or an event is larger than `max_bytes`.
        """
        if (
            chunk.startswith(b"data: ")
            and chunk.endswith(b"\n\n")
            and len(chunk) <= self._max_bytes
            and not (self._data or self._lines.halfway or b"\r" in chunk)
        ):
            parts = chunk[6:-2].split(b"\n\ndata: ")
            if chunk.count(b"\n") == 2 * len(parts):  # nothing but these events
                self._first, self._event = False, ""
                return parts
        return [event.data for event in self.feed(chunk)]

    def close(self) -> list[SseEvent]:
        """What is complete but for its blank line. Incomplete data shows when it is decoded."""
        events: list[SseEvent] = []
        for line in (*self._lines.close(), b""):
            self._take(line, events)
        return events

    def _take(self, line: bytes, events: list[SseEvent]) -> None:
        if self._first:
            self._first = False
            line = line.removeprefix(_BOM)
        if not line:
            if self._data:
                events.append(self._dispatch())
            self._event = ""
            return
        name, _, value = line.partition(b":")
        if value.startswith(b" "):
            value = value[1:]
        if name == b"data":
            self._append(value)
        else:
            self._note(name, value)

    def _append(self, value: bytes) -> None:
        self._size += len(value) + 1
        if self._size > self._max_bytes:
            raise EventTooLargeError(f"an event of more than {self._max_bytes} bytes")
        self._data.append(value)

    def _note(self, name: bytes, value: bytes) -> None:
        """Fields other than data; a comment (no name) and names that nobody knows are nothing."""
        if name == b"event":
            self._event = value.decode("utf-8", "replace")
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode("utf-8", "replace")
        elif name == b"retry" and value.isdigit():
            self._retry = int(value)

    def _dispatch(self) -> SseEvent:
        event = SseEvent(
            data=self._data[0] if len(self._data) == 1 else b"\n".join(self._data),
            event=self._event or "message",
            id=self._id,
            retry=self._retry,
        )
        self._data.clear()
        self._size = 0
        return event
