"""The payloads of an answer's body, whichever way the provider frames them.

Server-sent events, lines of JSON, or one whole document: what a provider promises and what a server
behind the same address sends are not always the same, so the answer's own `content-type` decides.
No generator, for the reason given in `transport`: one left half-way ends in the garbage collector.
"""

from __future__ import annotations

from typing import Literal

from understudy.actors.models.exchange import Incoming
from understudy.actors.models.sse import EventTooLargeError, LineSplitter, SseParser
from understudy.messages.errors import ResponseError

Framing = Literal["events", "lines", "whole"]


class Payloads:
    """The payloads of one answer, a batch for each piece of the body.

    Args:
        incoming: the answer.
        framing: what it should be, where its `content-type` does not tell.
        max_bytes: the largest payload that is accepted.
    """

    def __init__(self, incoming: Incoming, framing: Framing, max_bytes: int) -> None:
        self._incoming = incoming
        self.framing: Framing = _TYPES.get(_type(incoming), framing)
        self._frames = _Events(max_bytes) if self.framing == "events" else _Lines(max_bytes)
        self._over = False

    @property
    def over(self) -> bool:
        """The body has ended: the last batch is in hand, and may hold a payload that was cut."""
        return self._over

    async def next(self) -> list[bytes] | None:
        """The payloads in the next piece of the body, None after the last.

        Raises:
            ModelError: as `Incoming.next`.
            ResponseError: one of them is too large.
        """
        if self._over:
            return None
        if self.framing == "whole":
            self._over = True
            return [await self._incoming.read()]
        part = await self._incoming.next()
        if part is None:
            self._over = True
            return self._frames.close()
        try:
            return self._frames.feed(part)
        except EventTooLargeError as error:
            raise ResponseError(f"{error} in the stream") from error


class _Events:
    """The data of server-sent events; providers repeat the event's name inside.

    Events without any are left out: gateways send them to keep a stream alive.
    """

    def __init__(self, max_bytes: int) -> None:
        self._parser = SseParser(max_bytes)

    def feed(self, part: bytes) -> list[bytes]:
        return [data for data in self._parser.payloads(part) if data]

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


def _type(incoming: Incoming) -> str:
    return incoming.headers.get("content-type", "").partition(";")[0].strip().lower()
