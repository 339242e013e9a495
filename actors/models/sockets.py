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
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeVar, cast

import httpcore

from understudy.actors.models.proxies import Proxy
from understudy.actors.models.resolver import Resolver
from understudy.actors.models.tunnels import Tunnel

HIGH_WATER = 256 * 1024
"""Unread bytes at which the peer is stopped."""
LOW_WATER = 64 * 1024
"""And at which it may go on."""
_FLUSH_AT = 64 * 1024
_PIECE = 256 * 1024


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

    @property
    def held_back(self) -> bool:
        """The peer is stopped because too much waits unread."""
        return self._reading_paused

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
                await within(timeout, self._reader)
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
        for start in range(0, len(buffer), _PIECE):  # one that takes a little is no silent one
            piece = buffer[start : start + _PIECE]
            self._unsent.append(piece)
            self._unsent_bytes += len(piece)
            if self._unsent_bytes >= _FLUSH_AT:
                self._flush()
                await self._drained(timeout)

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
        if len(self._received) > HIGH_WATER and not self._reading_paused and self._transport:
            self._transport.pause_reading()
            self._reading_paused = True
        self._wake()

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

    async def _drained(self, timeout: float | None) -> None:
        while self._writing_paused and not self._lost and not self._received:
            self._drainer = self._loop.create_future()
            try:
                await within(timeout, self._drainer)
            except TimeoutError as error:
                msg = f"the peer took nothing for {timeout} s"
                raise httpcore.WriteTimeout(msg) from error
            finally:
                self._drainer = None
        if self._lost:
            msg = str(self._error or "the peer closed the connection")
            raise httpcore.WriteError(msg)
        if self._writing_paused:
            # httpcore goes on to read that answer, and does not use the connection again.
            raise httpcore.WriteError("the peer has answered before it had read everything")

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
        if self._reading_paused and len(self._received) < LOW_WATER and self._transport:
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


class Peer(Protocol):
    """A protocol that can be closed without waiting."""

    def abort(self) -> object:
        """Close at once; idempotent."""
        ...


P = TypeVar("P", bound=Peer)


class Route(NamedTuple):
    """Where a connection leads: to `host`, with TLS when there is a context, maybe by a proxy."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    proxy: Proxy | None = None
    proxy_tls: ssl.SSLContext | None = None
    """For a proxy that is itself spoken to by TLS."""

    @property
    def forward(self) -> Proxy | None:
        """The proxy, where it forwards plain HTTP; with TLS it only passes bytes."""
        return None if self.tls is not None else self.proxy

    def __str__(self) -> str:
        by = "" if self.proxy is None else f" by the proxy {self.proxy}"
        return f"{self.host}:{self.port}{by}"


async def connect(
    make: Callable[[], P], route: Route, *, resolver: Resolver, timeout: float | None
) -> P:
    """Open a connection and give it to what `make` makes, an asyncio protocol.

    Addresses are tried in order. Each but the last gets an equal share of the time that is left,
    so that one that swallows packets does not take the others' chance.

    Raises:
        httpcore.ConnectTimeout: not connected within `timeout` seconds, names and TLS included.
        httpcore.ConnectError: the name does not resolve, nobody listens, or TLS failed.
        httpcore.ProxyError: the proxy refuses.
    """
    loop = asyncio.get_running_loop()
    end = None if timeout is None else loop.time() + timeout
    proxy = route.proxy
    try:
        async with asyncio.timeout_at(end):
            if proxy is None:
                return await _reach(
                    make, route.host, route.port, route.tls, resolver=resolver, end=end
                )
            if route.tls is None:
                return await _reach(
                    make, proxy.host, proxy.port, route.proxy_tls, resolver=resolver, end=end
                )
            return await _through(make, proxy, route, resolver, end)
    except TimeoutError as error:
        msg = f"no connection to {route} within {timeout} s"
        raise httpcore.ConnectTimeout(msg) from error
    except OSError as error:
        msg = f"cannot connect to {route}: {error}"
        raise httpcore.ConnectError(msg) from error


async def _reach(
    make: Callable[[], P],
    host: str,
    port: int,
    tls: ssl.SSLContext | None,
    *,
    resolver: Resolver,
    end: float | None,
) -> P:
    loop = asyncio.get_running_loop()
    addresses = await resolver.resolve(host, port)
    for position, address in enumerate(addresses):
        left = len(addresses) - position
        share = None if end is None else loop.time() + (end - loop.time()) / left
        try:
            async with asyncio.timeout_at(share):
                return await _reach_one(make, address, host, port, tls)
        except OSError:  # a TimeoutError is one too
            if left == 1:
                raise
    raise OSError("the name has no address")


async def _reach_one(
    make: Callable[[], P], address: str, host: str, port: int, tls: ssl.SSLContext | None
) -> P:
    peer = make()
    try:
        await asyncio.get_running_loop().create_connection(
            lambda: cast("asyncio.Protocol", peer),
            address,
            port,
            ssl=tls,
            server_hostname=None if tls is None else host,
        )
    except BaseException:
        peer.abort()
        raise
    return peer


async def _through(
    make: Callable[[], P], proxy: Proxy, route: Route, resolver: Resolver, end: float | None
) -> P:
    """TLS with the other side, inside a tunnel that the proxy opens."""
    tunnel = await _reach(
        lambda: Tunnel(proxy),
        proxy.host,
        proxy.port,
        route.proxy_tls,
        resolver=resolver,
        end=end,
    )
    try:
        await tunnel.open(route.host, route.port)
        peer = make()
        made = await asyncio.get_running_loop().start_tls(
            cast("asyncio.Transport", tunnel.transport),
            cast("asyncio.Protocol", peer),
            cast("ssl.SSLContext", route.tls),
            server_hostname=route.host,
        )
    except BaseException:
        tunnel.abort()
        raise
    if made is None:
        raise OSError("the connection was lost while TLS began")
    cast("asyncio.Protocol", peer).connection_made(made)
    return peer


async def within(timeout: float | None, future: asyncio.Future[None]) -> None:
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
