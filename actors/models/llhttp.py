"""One connection whose HTTP/1.1 is parsed in C: httptools, which is node's llhttp.

Purpose: the same as `HttpcoreConnection`, for a third of its time. It needs the extra `fast`.

Guarantees: those of its twin, by the same tests. A request that could smuggle a line into its head
is refused before a byte of it leaves. A head of more than 100 KiB is refused; reading stops when
256 KiB of the body wait unread. An answer that ends before its length is an error, one that states
no length ends with its connection. Interim answers (1xx) are passed over.

Assumptions: one exchange at a time, everything on one event loop. No `HEAD`, no upgrades: nobody
asks a model with them.

Why a protocol of its own and not `SocketStream` under a parser: bytes are parsed where they arrive,
so an answer that comes in one piece costs one wake-up and no buffer.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from typing import cast

import httpcore
import httpx

from understudy.actors.models.connections import Answer, target_of
from understudy.actors.models.proxies import Proxy
from understudy.actors.models.sockets import HIGH_WATER, LOW_WATER, within

_LARGEST_HEAD = 100 * 1024
_PIECE = 256 * 1024
_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+: [\t\x20-\x7e\x80-\xff]*")
_TARGET = re.compile(rb"[\x21-\x7e]+")
_CUT = "peer closed connection without sending complete message body"
_NOTHING = "Server disconnected without sending a response."


class LlhttpConnection(asyncio.Protocol):
    """One socket with llhttp on it; made by `connect`.

    Args:
        forward: the proxy at its other end that forwards plain HTTP.

    Raises:
        ImportError: httptools is not installed.
    """

    def __init__(self, forward: Proxy | None = None) -> None:
        import httptools

        self._loop = asyncio.get_running_loop()
        self._forward = forward
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._refusals = (httptools.HttpParserError, httptools.HttpParserUpgrade)
        self._headers: list[tuple[bytes, bytes]] = []
        self._reason = b""
        self._parts: list[bytes] = []
        self._unread = 0
        self._head_size = 0
        self._status = 0  # of the answer whose head is complete
        self._over = True
        self._sent = True
        """The request in hand is written to its end."""
        self._keep = True
        self._failed: Exception | None = None
        self._eof = False
        self._lost = False
        self._waiter: asyncio.Future[None] | None = None
        self._reading_paused = False
        self._writing_paused = False
        self.closed: asyncio.Future[None] = self._loop.create_future()
        """Done when the operating system's socket is closed."""
        self.untouched = True
        """No byte of the answer to the request in hand has arrived."""

    @property
    def reusable(self) -> bool:
        """Idle, open, and nothing unasked has arrived."""
        return (
            self._over
            and self._keep
            and not (self._lost or self._eof or self._failed or self._transport is None)
        )

    @property
    def held_back(self) -> bool:
        """The peer is stopped because too much waits unread."""
        return self._reading_paused

    async def send(self, request: httpx.Request) -> Answer:
        """Send, and read the head of the answer.

        Raises:
            httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError: it failed.
        """
        head = self._head(request)
        timeouts = request.extensions.get("timeout", {})
        self._headers = []
        self._status = self._head_size = self._unread = 0
        self._over, self._sent, self.untouched = False, False, True
        stream = request.stream
        if isinstance(stream, httpx.ByteStream):
            body = request.content
            if len(body) <= _PIECE:
                self._write(head + body)
                self._sent = True
            else:
                self._sent = await self._write_all(head, body, timeouts.get("write"))
        else:
            self._sent = await self._generate(head, request, timeouts.get("write"))
        while not self._status:
            self._check(_NOTHING)
            await self._wait(timeouts.get("read"), httpcore.ReadTimeout, "nothing received")
        return Answer(self._status, self._headers, b"HTTP/1.1", self._reason)

    async def read(self, timeout: float | None) -> bytes | None:
        """What has come of the body, None at its end.

        Raises:
            httpcore.ReadTimeout: nothing came for `timeout` seconds.
            httpcore.ReadError: the connection broke.
            httpcore.RemoteProtocolError: it ended too early.
        """
        while not self._parts:
            if self._over:
                return None
            self._check(_CUT)
            await self._wait(timeout, httpcore.ReadTimeout, "nothing received")
        parts = self._parts
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self._unread = 0
        if self._reading_paused:
            self._resume()
        return data

    async def unwind(self) -> None:
        """Nothing is suspended in here."""

    def abort(self) -> asyncio.Future[None]:
        """Close the socket; the future is done when the operating system has it back."""
        self._parts.clear()
        self._fail(httpcore.ReadError("closed by this side"))
        return self.closed

    # -- what asyncio calls ------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected, TLS included."""
        # A cast and no check: uvloop's transports do not inherit from asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        if self._lost:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Parse; wake whoever waits; stop the peer when it is too far ahead."""
        self.untouched = False
        if not self._status:
            self._head_size += len(data)
        try:
            self._parser.feed_data(data)
        except self._refusals as error:
            if self._over:  # a stray word after the answer: that one stands, nothing else comes
                self._keep = False
            else:
                self._fail(httpcore.RemoteProtocolError(f"not HTTP/1.1: {error}"))
        if not self._status and self._head_size > _LARGEST_HEAD:
            told = f"the head of the answer exceeds {_LARGEST_HEAD} bytes"
            self._fail(httpcore.RemoteProtocolError(told))
        if self._unread > HIGH_WATER and not self._reading_paused and self._transport:
            self._transport.pause_reading()
            self._reading_paused = True
        self._wake()

    def eof_received(self) -> None:
        """No more will come; asyncio closes the transport."""
        self._eof = True
        self._end()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """Closed, by whomever."""
        self._lost = True
        if exc is None:
            self._eof = True
            self._end()
        elif self._failed is None:
            self._failed = httpcore.ReadError(str(exc) or type(exc).__name__)
            self._failed.__cause__ = exc
        self._wake()
        if not self.closed.done():
            self.closed.set_result(None)

    def pause_writing(self) -> None:
        """The peer takes nothing."""
        self._writing_paused = True

    def resume_writing(self) -> None:
        """It does again."""
        self._writing_paused = False
        self._wake()

    # -- what the parser calls ---------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """An answer; one that nobody asked for ends the connection's use."""
        if self._over:
            raise ValueError("unasked")

    def on_status(self, reason: bytes) -> None:
        """The words behind the number."""
        self._reason = reason

    def on_header(self, name: bytes, value: bytes) -> None:
        """One line of the head, or of what follows the body, which nobody reads."""
        if not self._status:
            self._headers.append((name, value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        """The head is there, unless it is an interim one."""
        status = self._parser.get_status_code()
        if status >= 200:
            self._status = status

    def on_body(self, part: bytes) -> None:
        """Some of the body."""
        self._parts.append(part)
        self._unread += len(part)

    def on_message_complete(self) -> None:
        """The answer is whole; an interim one is forgotten."""
        if self._status:
            self._over = True
            # Half a body that lies in between would swallow the next request.
            self._keep = self._sent and self._parser.should_keep_alive()
        else:
            self._headers.clear()

    # -- private -----------------------------------------------------------------------------------

    def _head(self, request: httpx.Request) -> bytes:
        target = target_of(request.url, self._forward)
        headers: Iterable[tuple[bytes, bytes]] = request.headers.raw
        if self._forward is not None:
            headers = [*headers, *self._forward.headers]
        lines = [b"%b: %b" % (name, value.strip(b" \t")) for name, value in headers]
        method = request.method.encode("ascii")
        if not _TARGET.fullmatch(target) or method == b"HEAD" or not method.isalpha():
            raise httpcore.LocalProtocolError("a method or an address that HTTP/1.1 cannot carry")
        for line in lines:
            if not _LINE.fullmatch(line):
                raise httpcore.LocalProtocolError("illegal header")
        return b"%b %b HTTP/1.1\r\n%b\r\n\r\n" % (method, target, b"\r\n".join(lines))

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._lost:
            self._transport.write(data)

    async def _write_all(self, head: bytes, body: bytes, timeout: float | None) -> bool:
        """Piece by piece, until all is gone (True) or the peer has answered."""
        self._write(head)
        for start in range(0, len(body), _PIECE):
            self._write(body[start : start + _PIECE])
            while self._writing_paused and not (self._status or self._lost or self._failed):
                await self._wait(timeout, httpcore.WriteTimeout, "the peer took nothing")
            if self._status:
                return False  # it has heard enough
        return True

    async def _generate(self, head: bytes, request: httpx.Request, timeout: float | None) -> bool:
        chunked = b"chunked" in request.headers.get("transfer-encoding", "").lower().encode()
        self._write(head)
        async for part in cast("httpx.AsyncByteStream", request.stream):
            if part:
                framed = b"%x\r\n%b\r\n" % (len(part), part) if chunked else part
                if not await self._write_all(b"", framed, timeout):
                    return False
        if chunked:
            self._write(b"0\r\n\r\n")
        return True

    async def _wait(
        self, timeout: float | None, late: type[httpcore.TimeoutException], told: str
    ) -> None:
        self._waiter = self._loop.create_future()
        try:
            await within(timeout, self._waiter)
        except TimeoutError as error:
            raise late(f"{told} for {timeout} s") from error
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _resume(self) -> None:
        if self._unread < LOW_WATER and self._transport and not self._lost:
            self._reading_paused = False
            self._transport.resume_reading()

    def _check(self, told: str) -> None:
        if self._failed is not None:
            raise self._failed
        if self._eof or self._lost:
            raise httpcore.RemoteProtocolError(told)

    def _end(self) -> None:
        """The peer has said all: an answer without a stated length is whole with that."""
        if self._status and not self._over:
            names = {name.lower() for name, _ in self._headers}
            if not names & {b"content-length", b"transfer-encoding"}:
                self._over, self._keep = True, False

    def _fail(self, error: Exception) -> None:
        self._lost = True
        if self._failed is None:
            self._failed = error
        if self._transport is not None:
            self._transport.abort()
        self._wake()
