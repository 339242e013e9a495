"""The default HTTP transport: leased single connections behind httpx's seam.

Purpose: `httpx.AsyncBaseTransport` for model providers, with throughput that does not fall with
the number of requests in flight. The seam is httpx's, so any other transport can take this one's
place.

Guarantees:
- A request gets a connection of its own before anything is sent, from the free list of its origin
  (`Leases`); at most `max_connections` an origin, and whoever finds none waits in order, here,
  never inside httpcore. Idle connections are closed after `idle_expiry` seconds: providers keep
  theirs for about 60.
- A connection goes back only after the body was read to its end. Closing early, an error or a
  cancel closes the socket at once, which is what makes a provider stop generating (and billing).
- A connection that was used before and breaks before a single byte of the answer is replaced by a
  fresh one, once. That is the ordinary race with a peer's keep-alive timeout, not a retry policy.
- Errors are httpx's. Timeouts are read from `request.extensions["timeout"]` (`connect`, `read`,
  `write`, `pool`; missing means none); `read` is the longest silence, not a total.

Assumptions: one instance serves one event loop. HTTP/1.1 only: a stream a connection, no
    multiplexing.

Why not `httpx.AsyncClient`: its shared pool assigns requests to connections in O(requests x
connections), and an idle client costs an SSL context. Here there is one context, made when `https`
is first used.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Literal, Self

import httpcore
import httpx
import msgspec

from understudy.actors.models.connections import (
    STALE,
    Connection,
    HttpcoreConnection,
    mapped,
)
from understudy.actors.models.leases import Leases, LeasesClosedError
from understudy.actors.models.proxies import Proxies, Proxy
from understudy.actors.models.resolver import Resolver
from understudy.actors.models.sockets import Route, SocketStream, connect
from understudy.messages.errors import ConfigError

_PORTS = {"http": 80, "https": 443}


class TransportStats(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot over all origins: connections lent, idle, open sockets, requests in the queue."""

    lent: int
    idle: int
    open: int
    waiting: int


class LeasedTransport(httpx.AsyncBaseTransport):
    """Sends each request over a leased connection.

    Args:
        max_connections: connections an origin (scheme, host, port) may have.
        idle_expiry: seconds an unused connection is kept.
        ssl_context: for `https`; default: one made when first needed, with certifi's authorities.
        resolver: turns names into addresses.
        parser: who reads HTTP/1.1: `h11` (in Python, by httpcore) or `llhttp` (in C, by httptools,
            which the extra `fast` brings). Everything else is the same.
        proxy: `http://user:password@host:port` for every request; default: what the environment
            says (see `Proxies`).
        trust_env: whether the environment's proxies count.

    Raises:
        ConfigError: `proxy` is none, or the parser is not installed.
    """

    def __init__(
        self,
        *,
        max_connections: int = 1000,
        idle_expiry: float = 30.0,
        ssl_context: ssl.SSLContext | None = None,
        resolver: Resolver | None = None,
        parser: Literal["h11", "llhttp"] = "h11",
        proxy: str | None = None,
        trust_env: bool = True,
    ) -> None:
        self._max_connections = max_connections
        self._idle_expiry = idle_expiry
        self._ssl_context = ssl_context
        self._resolver = resolver or Resolver()
        self._proxies = Proxies(proxy, trust_env=trust_env)
        self._make = _maker(parser)
        self._origins: dict[tuple[str, str, int], Leases[Connection]] = {}
        self._open: set[Connection] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    @property
    def stats(self) -> TransportStats:
        """Counts of this instant."""
        origins = self._origins.values()
        return TransportStats(
            lent=sum(leases.lent for leases in origins),
            idle=sum(leases.idle for leases in origins),
            open=len(self._open),
            waiting=sum(leases.waiting for leases in origins),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; the answer's body streams and must be read to its end or closed.

        Raises:
            httpx.TransportError: the leaf that says what went wrong.
        """
        leases = self._leases(request)
        timeouts = request.extensions.get("timeout", {})
        try:
            connection = await leases.borrow(timeouts.get("pool"))
        except TimeoutError as error:
            msg = f"all {self._max_connections} connections stayed busy"
            raise httpx.PoolTimeout(msg, request=request) from error
        except LeasesClosedError as error:
            msg = "the transport is closed"
            raise httpx.ConnectError(msg, request=request) from error
        reused = connection is not None
        try:
            if connection is None:
                connection = await self._connect(request)
            try:
                answer = await connection.send(request)
            except STALE:
                if not (reused and connection.untouched and _replayable(request)):
                    raise
                connection.abort()
                connection = await self._connect(request)
                answer = await connection.send(request)
            if answer.status == 407 and (proxy := self._proxy_of(request)) is not None:
                told = f"the proxy {proxy} refuses (407 Proxy Authentication Required)"
                raise httpcore.ProxyError(told)
        except BaseException as error:
            if connection is not None:
                connection.abort()
            leases.forfeit()
            known = mapped(error, request)
            if known is None:
                raise
            raise known from error
        return httpx.Response(
            answer.status,
            headers=answer.headers,
            stream=_Body(request, connection, leases, timeouts.get("read")),
            extensions={"http_version": answer.version, "reason_phrase": answer.reason},
            request=request,
        )

    async def aclose(self) -> None:
        """Close every socket, used or not, and refuse further requests. Idempotent."""
        self._closed = True
        for leases in self._origins.values():
            leases.close()
        closing = [connection.abort() for connection in self._open]
        if closing:
            await asyncio.wait(closing)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self.aclose()

    def _leases(self, request: httpx.Request) -> Leases[Connection]:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            if self._loop is not None:
                msg = "a LeasedTransport serves one event loop; make another for this one"
                raise RuntimeError(msg)
            self._loop = loop
        url = request.url
        if url.scheme not in _PORTS or not url.host:
            msg = f"the URL needs http:// or https:// and a host, not {url.scheme or 'nothing'!r}"
            raise httpx.UnsupportedProtocol(msg, request=request)
        key = (url.scheme, url.host, url.port or _PORTS[url.scheme])
        leases = self._origins.get(key)
        if leases is None:
            leases = Leases(limit=self._max_connections, idle_expiry=self._idle_expiry)
            if self._closed:
                leases.close()
            self._origins[key] = leases
        return leases

    async def _connect(self, request: httpx.Request) -> Connection:
        url = request.url
        proxy = self._proxy_of(request)
        route = Route(
            url.raw_host.decode("ascii"),
            url.port or _PORTS[url.scheme],
            self._tls() if url.scheme == "https" else None,
            proxy,
            self._tls() if proxy is not None and proxy.secure else None,
        )
        timeout = request.extensions.get("timeout", {}).get("connect")
        connection = await self._make(route, self._resolver, timeout)
        self._open.add(connection)
        connection.closed.add_done_callback(lambda _: self._open.discard(connection))
        if self._closed:
            connection.abort()
        return connection

    def _proxy_of(self, request: httpx.Request) -> Proxy | None:
        if self._proxies.none:
            return None
        url = request.url
        return self._proxies.of(url.scheme, url.host, url.port or _PORTS[url.scheme])

    def _tls(self) -> ssl.SSLContext:
        if self._ssl_context is None:
            self._ssl_context = httpx.create_ssl_context()
        return self._ssl_context


class _Body(httpx.AsyncByteStream):
    """A body that holds the lease of its connection until it is read or closed.

    An iterator with its own `__anext__` and no generator: a generator that is left half-way is
    closed by a task that the garbage collector starts, at a time and on a loop of its own
    choosing.
    """

    def __init__(
        self,
        request: httpx.Request,
        connection: Connection,
        leases: Leases[Connection],
        timeout: float | None,
    ) -> None:
        self._timeout = timeout
        self._request = request
        self._connection: Connection | None = connection
        self._leases = leases
        self._finished = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._finished:
            raise StopAsyncIteration
        if self._connection is None:
            raise httpx.StreamClosed
        try:
            part = await self._connection.read(self._timeout)
        except BaseException as error:
            self._drop()
            known = mapped(error, self._request)
            if known is None:
                raise
            raise known from error
        if part is not None:
            return part
        connection, self._connection = self._connection, None
        self._finished = True
        self._leases.give_back(connection)
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Close the socket unless the body was read to its end. Idempotent."""
        connection = self._connection
        if connection is not None:
            self._drop()
            await connection.unwind()

    def _drop(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.abort()
            self._leases.forfeit()


_Make = Callable[[Route, Resolver, float | None], Awaitable[Connection]]


def _maker(parser: str) -> _Make:
    """Who opens connections with that parser."""
    if parser == "h11":
        return _connect_h11
    if parser != "llhttp":
        raise ConfigError(f"LeasedTransport(parser={parser!r}): it is 'h11' or 'llhttp'")
    try:
        import httptools  # noqa: F401 - made known here, not with the first connection
    except ImportError as error:
        told = "LeasedTransport(parser='llhttp') needs httptools: pip install 'understudy[fast]'"
        raise ConfigError(told) from error
    from understudy.actors.models.llhttp import LlhttpConnection

    async def connect_llhttp(
        route: Route, resolver: Resolver, timeout: float | None
    ) -> LlhttpConnection:
        forward = route.forward
        return await connect(
            lambda: LlhttpConnection(forward), route, resolver=resolver, timeout=timeout
        )

    return connect_llhttp


async def _connect_h11(
    route: Route, resolver: Resolver, timeout: float | None
) -> HttpcoreConnection:
    stream = await connect(SocketStream, route, resolver=resolver, timeout=timeout)
    origin = httpcore.Origin(
        b"http" if route.tls is None else b"https", route.host.encode("ascii"), route.port
    )
    return HttpcoreConnection(origin, stream, route.forward)


def _replayable(request: httpx.Request) -> bool:
    """A body in memory can be sent again; one that is generated while it is sent cannot."""
    return isinstance(request.stream, httpx.ByteStream)
