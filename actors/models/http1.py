"""One socket with HTTP/1.1 on it; a subclass brings the parser.

Purpose: everything about a connection that does not depend on who parses: writing a request piece
by piece, waiting for its answer, stopping a peer that is too far ahead, closing without waiting.

Guarantees: head and body of a request leave in one `send`, so does an answer cost one wake-up that
comes in one piece: bytes are parsed where they arrive. Reading stops when 256 KiB of the body wait
unread. A head of more than 100 KiB is refused. `abort` closes without awaiting anything, so that a
cancelled request cannot leave a half-closed socket behind. `reusable` and `untouched` say whether
the peer has said anything, which decides about reuse and about the one retry. An answer that ends
before its length is an error, one that states no length ends with its connection. Interim answers
(1xx) are passed over. Errors are httpcore's.

Assumptions: one exchange at a time, everything on one event loop. No `HEAD`, no upgrades: nobody
asks a model with them.

Why not `httpcore.AsyncHTTP11Connection`, which stands over the same h11: a request through it takes
twice as long as h11 and the socket, it leaves generators to the garbage collector, and a cancel
while it connects leaves a socket that nobody can close (encode/httpcore#1099).
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import copy_context
from typing import TYPE_CHECKING, cast

import httpcore

from understudy.actors.models.proxies import Proxy
from understudy.actors.models.seam import Headers, Outgoing, Timeouts

if TYPE_CHECKING:
    import httpx

HIGH_WATER = 256 * 1024
"""Unread bytes of a body at which the peer is stopped, until they are read."""
LARGEST_HEAD = 100 * 1024
_PIECE = 256 * 1024
_CUT = "peer closed connection without sending complete message body"
_NOTHING = "Server disconnected without sending a response."


class Pouring:
    """A body that is taken where it arrives, in the loop's callback and not in a task.

    The callback runs in the context of whoever opened the connection; `take` runs in that of who
    waits, or a context variable would name somebody else's request.
    """

    __slots__ = ("_run", "_take", "enough", "error")

    def __init__(self, take: Callable[[bytes], bool]) -> None:
        self._run = copy_context().run
        self._take = take
        self.enough = False
        self.error: BaseException | None = None

    def took(self, part: bytes) -> bool:
        """Whether the next part is wanted too; what it raises belongs to whoever waits."""
        try:
            self.enough = not self._run(self._take, part)
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            self.enough, self.error = True, error
        return not self.enough


class Http1Connection(asyncio.Protocol):
    """See the module's docstring; made by `sockets.connect`.

    Args:
        forward: the proxy at its other end that forwards plain HTTP.

    Attributes:
        closed: done when the operating system's socket is closed.
        untouched: no byte of the answer to the request in hand has arrived.
        status, reason, headers, version: of the answer, once its head is complete.
        over: the answer is whole, or there was none.
    """

    def __init__(self, forward: Proxy | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._forward = forward
        self._transport: asyncio.Transport | None = None
        self.status = 0
        self.reason = b""
        self.version = b"HTTP/1.1"
        self.headers: list[tuple[bytes, bytes]] = []
        self._head_size = 0
        self._parts: list[bytes] = []
        self._unread = 0
        self.over = True
        self._sent = True  # the request in hand is written to its end
        self._keep = True
        self._failed: Exception | None = None
        self._eof = False
        self._lost = False
        self._waiter: asyncio.Future[None] | None = None
        self._pouring: Pouring | None = None
        self._reading_paused = False
        self._writing_paused = False
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self.untouched = True

    @property
    def reusable(self) -> bool:
        """Idle, open, and nothing unasked has arrived."""
        return (
            self.over
            and self._keep
            and not (self._lost or self._eof or self._failed or self._transport is None)
        )

    @property
    def held_back(self) -> bool:
        """The peer is stopped because too much waits unread."""
        return self._reading_paused

    async def send(self, outgoing: Outgoing, timeouts: Timeouts) -> None:
        """Send, and read the head of the answer.

        Raises:
            httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError: it failed.
        """
        if not self._keep:
            raise httpcore.RemoteProtocolError("it spoke before it was asked")
        head = self._begin(outgoing)
        self.headers = []
        self.status = self._head_size = self._unread = 0
        self.over, self._sent, self.untouched = False, False, True
        body = outgoing.body
        if not isinstance(body, bytes):
            self._sent = await self._generate(head, outgoing, timeouts.get("write"))
        elif len(body) <= _PIECE:
            self._write(head + self._frame(body) + self._finish())
            self._sent = True
        else:
            data = self._frame(body) + self._finish()
            self._sent = await self._write_all(head, data, timeouts.get("write"))
        while not self.status:
            self._check(_NOTHING)
            await self._news(timeouts.get("read"))

    def take(self) -> bytes:
        """What has come of the body and was not taken; nothing, when there is nothing just now."""
        parts = self._parts
        if not parts:
            return b""
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self._unread = 0
        if self._reading_paused and self._transport and not self._lost:
            self._reading_paused = False
            self._transport.resume_reading()
        return data

    def more(self, timeout: float | None) -> Awaitable[None]:
        """To be awaited, until more has come or the body is `over`.

        Raises:
            httpcore.ReadTimeout: nothing came for `timeout` seconds.
            httpcore.ReadError: the connection broke.
            httpcore.RemoteProtocolError: the body ended too early.
        """
        self._check(_CUT)
        return self._news(timeout)

    async def pour(self, take: Callable[[bytes], bool], timeout: float | None) -> bool:
        """Have what comes of the body taken where it arrives, until `take` says False.

        Returns:
            True when the body is over and taken.

        Raises:
            As `more`, and whatever `take` raises.
        """
        while True:
            part = self.take()
            if part:
                if not take(part):
                    return False
                continue
            if self.over:
                return True
            pouring = self._pouring = Pouring(take)
            try:
                await self.more(timeout)
            except asyncio.CancelledError:
                if isinstance(pouring.error, (KeyboardInterrupt, SystemExit)):
                    raise pouring.error from None  # nobody else would hear of it
                raise
            finally:
                self._pouring = None
            if pouring.error is not None:
                raise pouring.error
            if pouring.enough:
                return False

    def abort(self) -> asyncio.Future[None]:
        """Close the socket; the future is done when the operating system has it back."""
        self._parts.clear()
        self.over = False  # whoever still reads must not take what is left for a whole body
        self._fail(httpcore.ReadError("closed by this side"))
        return self.closed

    # -- what a parser does ------------------------------------------------------------------------

    @abstractmethod
    def _begin(self, outgoing: Outgoing) -> bytes:
        """The head of a request.

        Raises:
            httpcore.LocalProtocolError: HTTP/1.1 cannot carry it; nothing is sent.
        """

    @abstractmethod
    def _frame(self, part: bytes) -> bytes:
        """A part of its body as it is written; never empty."""

    @abstractmethod
    def _finish(self) -> bytes:
        """What follows the last part."""

    @abstractmethod
    def _parse(self, data: bytes) -> None:
        """Take in bytes of an answer.

        Raises:
            httpcore.RemoteProtocolError: they are none.
        """

    @abstractmethod
    def _ends(self) -> None:
        """The peer has said all: an answer without a stated length is whole with that.

        Raises:
            httpcore.RemoteProtocolError: something is missing.
        """

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
        if self.over:  # unasked, or behind an answer that stands: nothing else comes here
            self._keep = False
            return
        try:
            self._parse(data)
        except httpcore.RemoteProtocolError as error:
            self._fail(error)  # an answer before it stands
        pouring = self._pouring
        if not self.status:
            self._head_size += len(data)
            if self._head_size > LARGEST_HEAD:
                told = f"the head of the answer exceeds {LARGEST_HEAD} bytes"
                self._fail(httpcore.RemoteProtocolError(told))
        elif pouring is not None and not pouring.enough and self._parts:
            if pouring.took(self.take()) and not self._has_ended():
                return  # nobody has to wake up for that
        elif self._unread > HIGH_WATER and not self._reading_paused and self._transport:
            self._transport.pause_reading()
            self._reading_paused = True
        self._wake()

    def eof_received(self) -> None:
        """No more will come; asyncio closes the transport."""
        self._end()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """Closed, by whomever."""
        self._lost = True
        if exc is None:
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

    # -- private -----------------------------------------------------------------------------------

    def _lines(self, outgoing: Outgoing) -> tuple[bytes, Headers]:
        """What the request line names, and the headers, as who is at the other end needs them."""
        if self._forward is None:
            return outgoing.target.path, outgoing.headers
        return outgoing.target.whole, [*outgoing.headers, *self._forward.headers]

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._lost:
            self._transport.write(data)

    async def _write_all(self, head: bytes, body: bytes, timeout: float | None) -> bool:
        """Piece by piece, until all is gone (True) or the peer has answered."""
        self._write(head)
        for start in range(0, len(body), _PIECE):
            self._write(body[start : start + _PIECE])
            while self._writing_paused and not (self.status or self._lost or self._failed):
                await self._news(timeout, httpcore.WriteTimeout, "the peer took nothing")
            if self.status:
                return False  # it has heard enough
        return True

    async def _generate(self, head: bytes, outgoing: Outgoing, timeout: float | None) -> bool:
        self._write(head)
        async for part in cast("httpx.AsyncByteStream", outgoing.body):
            if part and not await self._write_all(b"", self._frame(part), timeout):
                return False
        self._write(self._finish())
        return True

    def _news(
        self,
        timeout: float | None,
        late: type[httpcore.TimeoutException] = httpcore.ReadTimeout,
        told: str = "nothing received",
    ) -> Awaitable[None]:
        """Until something has changed. No coroutine where there is no limit: it is always made."""
        self._waiter = waiter = self._loop.create_future()
        return waiter if timeout is None else _within(timeout, waiter, late, told)

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)

    def _has_ended(self) -> bool:
        return self.over or self._failed is not None

    def _check(self, told: str) -> None:
        if self._failed is not None:
            raise self._failed
        if self._eof or self._lost:
            raise httpcore.RemoteProtocolError(told)

    def _end(self) -> None:
        self._eof = True
        if self.status and not self.over:
            with suppress(httpcore.RemoteProtocolError):  # whoever reads on hears that it is cut
                self._ends()

    def _fail(self, error: Exception) -> None:
        self._lost = True
        if self._failed is None:
            self._failed = error
        if self._transport is not None:
            self._transport.abort()
        self._wake()


async def _within(
    timeout: float,
    waiter: asyncio.Future[None],
    late: type[httpcore.TimeoutException],
    told: str,
) -> None:
    """With one timer and no task."""
    timer = asyncio.get_running_loop().call_later(timeout, _expire, waiter)
    try:
        await waiter
    except TimeoutError as error:
        raise late(f"{told} for {timeout} s") from error
    finally:
        timer.cancel()


def _expire(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_exception(TimeoutError())
