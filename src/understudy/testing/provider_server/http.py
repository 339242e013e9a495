"""The little HTTP/1.1 that a server of tests needs, on an asyncio protocol.

Purpose: parse requests off a connection one after the other, hand each to a handler, and let the
handler write a whole body or a chunked one, or break the connection in any way a test asks for.

Guarantees: one request at a time a connection; what arrives meanwhile waits. A client that leaves
is noticed at once (a protocol hears it, a stream reader only when it reads): the handler is
cancelled and the request marked. Bodies need a `Content-Length`; others are refused with 411.

Why not `http.server`: it has a thread a connection, and no way to write half an answer.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import cast

from understudy.testing.provider_server.records import RecordedRequest

_PHRASES = {status.value: status.phrase for status in HTTPStatus}
_MAX_HEAD = 64 * 1024
_MAX_BODY = 64 * 1024 * 1024

Handler = Callable[[RecordedRequest, "Responder"], Awaitable[None]]
Received = Callable[["ServerConnection", str, str, dict[str, str], bytes], RecordedRequest]


class ServerConnection(asyncio.Protocol):
    """One accepted connection.

    Args:
        number: 1 for the first.
        handler: answers a request.
        received: records a request.
        changed: is called whenever a request or the connection ends.
    """

    def __init__(
        self,
        *,
        number: int,
        handler: Handler,
        received: Received,
        changed: Callable[[ServerConnection], None],
    ) -> None:
        self.number = number
        self.is_open = False
        self._handler = handler
        self._received = received
        self._changed = changed
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._task: asyncio.Task[None] | None = None
        self._drained: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accepted."""
        self._transport = cast("asyncio.Transport", transport)
        self.is_open = True
        self._changed(self)

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
        self._changed(self)

    def pause_writing(self) -> None:
        """The client does not read fast enough."""
        self._drained = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        """It does again."""
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None

    async def write(self, data: bytes) -> None:
        """Send; waits while the client does not read."""
        if self._transport is None or self._transport.is_closing():
            raise ConnectionResetError
        self._transport.write(data)
        if self._drained is not None:
            await self._drained

    def close(self) -> None:
        """Close in good form, after what was written."""
        if self._transport is not None:
            self._transport.close()

    def reset(self) -> None:
        """Close so that the client gets a reset, and drop what was written."""
        if self._transport is None:
            return
        raw = self._transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def _begin(self) -> None:
        if self._task is not None or not self.is_open:
            return
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > _MAX_HEAD:
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            return
        line, *fields = self._buffer[:end].decode("latin-1").split("\r\n")
        words = line.split(" ")
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (field.partition(":") for field in fields)
        }
        length = headers.get("content-length", "0")
        if len(words) != 3 or not length.isdigit() or int(length) > _MAX_BODY:
            self._refuse(HTTPStatus.BAD_REQUEST)
            return
        if "transfer-encoding" in headers:
            self._refuse(HTTPStatus.LENGTH_REQUIRED)
            return
        stop = end + 4 + int(length)
        if len(self._buffer) < stop:
            return
        body = bytes(self._buffer[end + 4 : stop])
        del self._buffer[:stop]
        request = self._received(self, words[0], words[1], headers, body)
        self._task = asyncio.get_running_loop().create_task(self._serve(request))

    async def _serve(self, request: RecordedRequest) -> None:
        responder = Responder(self)
        loop = asyncio.get_running_loop()
        try:
            await self._handler(request, responder)
            request.outcome = "answered" if responder.complete else "failed"
        except (asyncio.CancelledError, ConnectionResetError):
            request.outcome = "disconnected"
        finally:
            request.ended = loop.time()
            self._task = None
            self._changed(self)
        if request.headers.get("connection", "").lower() == "close":
            self.close()
        self._begin()

    def _refuse(self, status: HTTPStatus) -> None:
        if self._transport is not None:
            self._transport.write(_head(status, {"content-length": "0", "connection": "close"}))
            self._transport.close()


class Responder:
    """Writes the answer to one request."""

    def __init__(self, connection: ServerConnection) -> None:
        self.connection = connection
        self.complete = False
        """The answer was written to its end."""

    async def whole(
        self, status: int, body: bytes, *, content_type: str, headers: dict[str, str]
    ) -> None:
        """Write a body that is known."""
        await self.connection.write(
            self.head(status, len(body), content_type=content_type, headers=headers) + body
        )
        self.complete = True

    def head(
        self, status: int, length: int | None, *, content_type: str, headers: dict[str, str]
    ) -> bytes:
        """The head of an answer with that much body; None: chunked."""
        frame = (
            {"transfer-encoding": "chunked"} if length is None else {"content-length": str(length)}
        )
        return _head(status, {"content-type": content_type, **frame, **headers})

    async def chunk(self, data: bytes) -> None:
        """Write a piece of a chunked body."""
        await self.connection.write(b"%x\r\n%b\r\n" % (len(data), data))

    async def end(self) -> None:
        """End a chunked body."""
        await self.connection.write(b"0\r\n\r\n")
        self.complete = True


def _head(status: int, headers: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} {_PHRASES.get(status, 'Overloaded')}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
