"""The payloads of an answer's body, whichever way the provider frames them.

Server-sent events, lines of JSON, or one whole document: what a provider promises and what a server
behind the same address sends are not always the same, so the answer's own `content-type` decides.
No generator, for the reason given in `transport`: one left half-way ends in the garbage collector.
"""

from __future__ import annotations

from typing import Literal

from understudy.actors.models.sse import EventTooLargeError, LineSplitter, SseParser
from understudy.messages.errors import ResponseError

Framing = Literal["events", "lines", "whole"]


class Payloads:
    """The payloads of one answer, a batch for each piece of the body.

    Args:
        content_type: of the answer.
        framing: what it should be, where that does not tell.
        max_bytes: the largest payload that is accepted.

    Attributes:
        framing: what it is; `whole`: the body is one payload, and taken as one piece.
        over: the body has ended: the last batch is in hand, and may hold a payload that was cut.
    """

    def __init__(self, content_type: str, framing: Framing, max_bytes: int) -> None:
        kind = content_type.partition(";")[0].strip().lower()
        self.framing: Framing = _TYPES.get(kind, framing)
        self._frames: _Events | _Lines | None = None
        if self.framing != "whole":
            self._frames = _Events(max_bytes) if self.framing == "events" else _Lines(max_bytes)
        self.over = False

    def take(self, part: bytes | None) -> list[bytes]:
        """The payloads that a piece of the body completes; None: it has ended.

        Raises:
            ResponseError: one of them is too large.
        """
        frames = self._frames
        if frames is None:
            self.over = True
            return [] if part is None else [part]
        if part is None:
            self.over = True
            return frames.close()
        try:
            return frames.feed(part)
        except EventTooLargeError as error:
            raise ResponseError(f"{error} in the stream") from error


class _Events:
    """The data of server-sent events; providers repeat the event's name inside.

    Events without any are left out: gateways send them to keep a stream alive.
    """

    def __init__(self, max_bytes: int) -> None:
        self._parser = SseParser(max_bytes)

    def feed(self, part: bytes) -> list[bytes]:
        found = self._parser.payloads(part)
        return found if all(found) else [data for data in found if data]

    def close(self) -> list[bytes]:
        return [event.data for event in self._parser.close() if event.data]


class _Lines:
    """Lines of JSON, without the empty ones."""

    def __init__(self, max_bytes: int) -> None:
        self._splitter = LineSplitter(max_bytes)

    def feed(self, part: bytes) -> list[bytes]:
        return [line for line in self._splitter.feed(part) if line.strip()]

    def close(self) -> list[bytes]:
        return [line for line in self._splitter.close() if line.strip()]


_TYPES: dict[str, Framing] = {
    "text/event-stream": "events",
    "application/x-ndjson": "lines",
    "application/json": "whole",
    "text/html": "whole",  # an error page; decoding says so
}
