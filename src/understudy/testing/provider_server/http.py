"""The little HTTP/1.1 that a server of tests needs, on an asyncio protocol.

Purpose: parse requests off a connection one after the other, hand each to a handler, and let the
handler write a whole body or a chunked one, or break the connection in any way a test asks for.

Guarantees: one request at a time a connection; what arrives meanwhile waits. A client that leaves
is noticed at once (a protocol hears it, a stream reader only when it reads): the handler is
cancelled and the request marked. Bodies need a `Content-Length`; others are refused with 411.

An answer that is ready is written in the callback that brought the request: a handler gives a
coroutine only where it must wait, and only then there is a task.

Why not `http.server`: it has a thread a connection, and no way to write half an answer.
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections.abc import Coroutine, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from understudy.testing.provider_server.records import RecordedRequest

_PHRASES = {status.value: status.phrase for status in HTTPStatus}
_FIELDS = re.compile(
    rb"\r\n(content-length|transfer-encoding|connection):[ \t]*([^\r\n]*)", re.IGNORECASE
)
_MAX_HEAD = 64 * 1024
_MAX_BODY = 64 * 1024 * 1024


class Host(Protocol):
    """Whom a connection serves."""

    def connected(self, connection: ServerConnection) -> None:
        """A client has connected."""

    def received(self, connection: ServerConnection, head: bytes, body: bytes) -> RecordedRequest:
        """A request has come whole."""
        ...

    def handle(
        self, request: RecordedRequest, connection: ServerConnection
    ) -> Coroutine[None, None, None] | None:
        """Answer it, or give what will."""

    def ended(self, request: RecordedRequest, outcome: str) -> None:
        """Nothing more is written for this request."""

    def disconnected(self, connection: ServerConnection) -> None:
        """The connection is over."""


class ServerConnection(asyncio.Protocol):
    """One accepted connection.

    Attributes:
        number: 1 for the first.
        is_open: until either side closes it.
        complete: the answer to the request at hand was written to its end.
    """

    def __init__(self, host: Host, number: int) -> None:
        self.number = number
        self.is_open = False
        self.complete = False
        self._host = host
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._task: asyncio.Task[None] | None = None
        self._drained: asyncio.Future[None] | None = None

    # -- the event loop's side ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accepted."""
        self._transport = cast("asyncio.Transport", transport)
        self.is_open = True
        self._host.connected(self)

    def data_received(self, data: bytes) -> None:
        """Gather bytes; begin the next request when it is complete."""
        self._buffer += data
        self._begin()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- asyncio's
        """The client left, or we closed: whoever is still answering is stopped."""
        self.is_open = False
        self.resume_writing()
        if self._task is not None:
            self._task.cancel()
        self._host.disconnected(self)

    def pause_writing(self) -> None:
        """The client does not read fast enough."""
        self._drained = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        """It does again."""
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None

    # -- the handler's side ------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Send without waiting."""
        if self._transport is None or self._transport.is_closing():
            raise ConnectionResetError
        self._transport.write(data)

    async def write(self, data: bytes) -> None:
        """Send; waits while the client does not read."""
        self.send(data)
        if self._drained is not None:
            await self._drained

    async def chunk(self, data: bytes) -> None:
        """Write a piece of a chunked body."""
        await self.write(framed(data))

    async def end(self) -> None:
        """End a chunked body."""
        await self.write(LAST_CHUNK)
        self.complete = True

    def close(self) -> None:
        """Close in good form, after what was written."""
        if self._transport is not None:
            self._transport.close()

    def reset(self) -> None:
        """Close so that the client gets a reset, and drop what was written."""
        if self._transport is None:
            return
        raw = self._transport.get_extra_info("socket")
        if raw is not None and not self._transport.is_closing():
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    # -- requests ----------------------------------------------------------------------------------

    def _begin(self) -> None:
        while self._task is None and self.is_open:
            request, keep = self._next()
            if request is None:
                return
            self.complete = False
            try:
                later = self._host.handle(request, self)
            except ConnectionResetError:
                self._host.ended(request, "disconnected")
                return
            if later is None:
                self._over(request, keep=keep)
            else:
                serving = self._serve(request, later, keep=keep)
                self._task = asyncio.get_running_loop().create_task(serving)

    def _next(self) -> tuple[RecordedRequest | None, bool]:
        """The next request if it is complete, and whether the connection outlives it."""
        buffer = self._buffer
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(buffer) > _MAX_HEAD:
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            return None, False
        head = bytes(buffer[:end])
        length, keep = b"0", True
        for name, value in _FIELDS.findall(head):
            match len(name):
                case 14:
                    length = value
                case 10:
                    keep = value.lower() != b"close"
                case _:
                    self._refuse(HTTPStatus.LENGTH_REQUIRED)
                    return None, False
        if (
            not length.isdigit()
            or int(length) > _MAX_BODY
            or head.split(b"\r", 1)[0].count(b" ") != 2
        ):
            self._refuse(HTTPStatus.BAD_REQUEST)
            return None, False
        stop = end + 4 + int(length)
        if len(buffer) < stop:
            return None, False
        body = bytes(buffer[end + 4 : stop])
        del buffer[:stop]
        return self._host.received(self, head, body), keep

    async def _serve(
        self, request: RecordedRequest, later: Coroutine[None, None, None], *, keep: bool
    ) -> None:
        try:
            await later
        except (asyncio.CancelledError, ConnectionResetError):
            self._task = None
            self._host.ended(request, "disconnected")
            return
        self._task = None
        self._over(request, keep=keep)
        self._begin()

    def _over(self, request: RecordedRequest, *, keep: bool) -> None:
        self._host.ended(request, "answered" if self.complete else "failed")
        if not keep:
            self.close()

    def _refuse(self, status: HTTPStatus) -> None:
        self._buffer.clear()
        if self._transport is not None:
            self._transport.write(head_of(status, 0, headers={"connection": "close"}))
            self._transport.close()


LAST_CHUNK = b"0\r\n\r\n"


def framed(data: bytes) -> bytes:
    """A piece of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def head_of(
    status: int,
    length: int | None,
    *,
    content_type: str = "",
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """The head of an answer with that much body; None: chunked."""
    lines = [f"HTTP/1.1 {status} {_PHRASES.get(status, 'Overloaded')}"]
    if content_type:
        lines.append(f"content-type: {content_type}")
    lines.append("transfer-encoding: chunked" if length is None else f"content-length: {length}")
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
