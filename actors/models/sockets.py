"""Sockets for httpcore, straight on asyncio.

Purpose: be the `httpcore.AsyncNetworkStream` under a connection, with three things that httpcore's
own (anyio) stream lacks: `abort` closes without awaiting anything, so that a cancelled request
cannot leave a half-closed socket behind; `reusable` and `virgin` say whether the peer has said
anything, which decides about reuse and about the one retry; and a request's head and body leave in
one `send`.

Guarantees: reading stops when 256 KiB wait unread (backpressure reaches the peer). A timeout of
`None` means no timeout; each read has its own. Errors are httpcore's.

Assumptions: one task reads and writes at a time, as HTTP/1.1 does; everything on one event loop.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any, cast

import httpcore

from understudy.actors.models.resolver import Resolver

_HIGH_WATER = 256 * 1024
_LOW_WATER = 64 * 1024
_FLUSH_AT = 64 * 1024


class SocketStream(asyncio.Protocol, httpcore.AsyncNetworkStream):
    """One TCP or TLS connection; made by `connect`."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._unsent: list[bytes] = []
        self._unsent_bytes = 0
        self._eof = False
        self._lost = False
        self._error: Exception | None = None
        self._reader: asyncio.Future[None] | None = None
        self._drainer: asyncio.Future[None] | None = None
        self._reading_paused = False
        self._writing_paused = False
        self.closed: asyncio.Future[None] = self._loop.create_future()
        """Done when the operating system's socket is closed."""
        self.virgin = True
        """True until a byte arrives after the last `rewind`."""

    @property
    def reusable(self) -> bool:
        """Open, and the peer has neither closed nor said anything unasked."""
        return not (self._eof or self._lost or self._received or self._transport is None)

    def rewind(self) -> None:
        """Begin a new exchange: `virgin` is True again."""
        self.virgin = True

    def abort(self) -> None:
        """Close now. Whoever reads gets an error; nothing that is unsent is sent. Idempotent."""
        self._lost = True
        self._received.clear()
        if self._error is None:
            self._error = ConnectionAbortedError("closed by this side")
        if self._transport is not None:
            self._transport.abort()
        self._wake()

    # What httpcore calls.

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """The next bytes, at most `max_bytes`; `b""` at the end.

        Raises:
            httpcore.ReadTimeout: nothing came for `timeout` seconds.
            httpcore.ReadError: the connection broke.
        """
        self._flush()
        if not self._received and not self._eof and not self._lost:
            self._reader = self._loop.create_future()
            try:
                await _within(timeout, self._reader)
            except TimeoutError as error:
                msg = f"nothing received for {timeout} s"
                raise httpcore.ReadTimeout(msg) from error
            finally:
                self._reader = None
        if not self._received:
            if self._error is not None:
                raise httpcore.ReadError(str(self._error)) from self._error
            return b""
        return self._take(max_bytes)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Queue bytes; they leave with the next `read`, or here once 64 KiB have gathered.

        Raises:
            httpcore.WriteTimeout: the peer took nothing for `timeout` seconds.
            httpcore.WriteError: the connection broke.
        """
        self._unsent.append(buffer)
        self._unsent_bytes += len(buffer)
        if self._unsent_bytes < _FLUSH_AT:
            return
        self._flush()
        if self._lost:
            msg = str(self._error or "the peer closed the connection")
            raise httpcore.WriteError(msg)
        if self._writing_paused:
            self._drainer = self._loop.create_future()
            try:
                await _within(timeout, self._drainer)
            except TimeoutError as error:
                msg = f"the peer took nothing for {timeout} s"
                raise httpcore.WriteTimeout(msg) from error
            finally:
                self._drainer = None

    async def aclose(self) -> None:
        """The same as `abort`: nothing in HTTP/1.1 needs a farewell."""
        self.abort()

    def get_extra_info(self, info: str) -> Any:  # Any: httpcore's interface
        """What asyncio's transport knows, and `is_readable` for httpcore."""
        if info == "is_readable":
            return not self.reusable
        return None if self._transport is None else self._transport.get_extra_info(info)

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected, TLS included."""
        # A cast and no check: uvloop's transports do not inherit from asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        if self._lost:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Keep the bytes, wake the reader, stop the peer when it is too far ahead."""
        self.virgin = False
        self._received += data
        if len(self._received) > _HIGH_WATER and not self._reading_paused and self._transport:
            self._transport.pause_reading()
            self._reading_paused = True
        self._wake_reader()

    def eof_received(self) -> None:
        """No more will come; asyncio closes the transport."""
        self._eof = True
        self._wake_reader()

    def connection_lost(self, exc: Exception | None) -> None:
        """Closed, by whomever."""
        self._lost = True
        if self._error is None:
            self._error = exc
        self._wake()
        if not self.closed.done():
            self.closed.set_result(None)

    def pause_writing(self) -> None:
        """The peer takes nothing."""
        self._writing_paused = True

    def resume_writing(self) -> None:
        """It does again."""
        self._writing_paused = False
        if self._drainer is not None and not self._drainer.done():
            self._drainer.set_result(None)

    def _flush(self) -> None:
        if self._unsent and self._transport is not None and not self._lost:
            self._transport.write(b"".join(self._unsent))
        self._unsent.clear()
        self._unsent_bytes = 0

    def _take(self, max_bytes: int) -> bytes:
        if len(self._received) <= max_bytes:
            data = bytes(self._received)
            self._received.clear()
        else:
            data = bytes(self._received[:max_bytes])
            del self._received[:max_bytes]
        if self._reading_paused and len(self._received) < _LOW_WATER and self._transport:
            self._reading_paused = False
            if not self._lost:
                self._transport.resume_reading()
        return data

    def _wake(self) -> None:
        self._wake_reader()
        if self._drainer is not None and not self._drainer.done():
            self._drainer.set_result(None)

    def _wake_reader(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)


async def connect(
    host: str,
    port: int,
    *,
    resolver: Resolver,
    ssl_context: ssl.SSLContext | None,
    timeout: float | None,
) -> SocketStream:
    """Open a connection, with TLS when `ssl_context` is given.

    Addresses are tried in order. Each but the last gets an equal share of the time that is left,
    so that one that swallows packets does not take the others' chance.

    Raises:
        httpcore.ConnectTimeout: not connected within `timeout` seconds, names and TLS included.
        httpcore.ConnectError: the name does not resolve, nobody listens, or TLS failed.
    """
    loop = asyncio.get_running_loop()
    end = None if timeout is None else loop.time() + timeout
    try:
        async with asyncio.timeout_at(end):
            addresses = await resolver.resolve(host, port)
            for position, address in enumerate(addresses):
                left = len(addresses) - position
                share = None if end is None else loop.time() + (end - loop.time()) / left
                try:
                    async with asyncio.timeout_at(share):
                        return await _connect_one(address, host, port, ssl_context)
                except OSError:  # a TimeoutError is one too
                    if left == 1:
                        raise
    except TimeoutError as error:
        msg = f"no connection to {host}:{port} within {timeout} s"
        raise httpcore.ConnectTimeout(msg) from error
    except OSError as error:
        msg = f"cannot connect to {host}:{port}: {error}"
        raise httpcore.ConnectError(msg) from error
    msg = f"cannot connect to {host}:{port}: the name has no address"
    raise httpcore.ConnectError(msg)


async def _connect_one(
    address: str, host: str, port: int, ssl_context: ssl.SSLContext | None
) -> SocketStream:
    stream = SocketStream()
    try:
        await asyncio.get_running_loop().create_connection(
            lambda: stream,
            address,
            port,
            ssl=ssl_context,
            server_hostname=None if ssl_context is None else host,
        )
    except BaseException:
        stream.abort()
        raise
    return stream


async def _within(timeout: float | None, future: asyncio.Future[None]) -> None:
    """Await a future of ours with one timer and no task; on timeout or cancel it is cancelled."""
    if timeout is None:
        await future
        return
    timer = asyncio.get_running_loop().call_later(timeout, _expire, future)
    try:
        await future
    finally:
        timer.cancel()


def _expire(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_exception(TimeoutError())
