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
from types import TracebackType
from typing import Self, cast

import httpcore
import httpx
import msgspec

from understudy.actors.models.connections import STALE, Parser, maker, mapped
from understudy.actors.models.http1 import Http1Connection
from understudy.actors.models.leases import Leases, LeasesClosedError
from understudy.actors.models.lent_answer import Answer, AnswerBody
from understudy.actors.models.proxies import Proxies, Proxy
from understudy.actors.models.resolver import Resolver
from understudy.actors.models.seam import Outgoing, Target, Timeouts, target_of
from understudy.actors.models.sockets import Route


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
        parser: who reads HTTP/1.1: `h11` (in Python; httpx brings it) or `llhttp` (in C, by
            httptools, which the extra `fast` brings). Everything else is the same.
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
        parser: Parser = "h11",
        proxy: str | None = None,
        trust_env: bool = True,
    ) -> None:
        self._max_connections = max_connections
        self._idle_expiry = idle_expiry
        self._ssl_context = ssl_context
        self._resolver = resolver or Resolver()
        self._proxies = Proxies(proxy, trust_env=trust_env)
        self._make = maker(parser)
        self.parser = parser
        """Who reads HTTP/1.1."""
        self._origins: dict[tuple[str, str, int], Leases[Http1Connection]] = {}
        self._open: set[Http1Connection] = set()
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
        timeouts = request.extensions.get("timeout", {})
        stream = request.stream
        try:
            outgoing = Outgoing(
                target_of(request.url),
                request.headers.raw,
                # A body in memory can be sent again; one that is made while it is sent cannot.
                request.content
                if isinstance(stream, httpx.ByteStream)
                else cast("httpx.AsyncByteStream", stream),
                request.method.encode("ascii", "replace"),
            )
            answer = await self.send(outgoing, timeouts)
        except httpx.TransportError as error:
            error.request = request
            raise
        return httpx.Response(
            answer.status,
            headers=answer.headers,
            stream=AnswerBody(request, answer),
            extensions={"http_version": answer.version, "reason_phrase": answer.reason},
            request=request,
        )

    async def send(self, outgoing: Outgoing, timeouts: Timeouts) -> Answer:
        """The same without httpx's objects; see `seam.Wire`."""
        leases = self._leases(outgoing.target)
        connection = leases.take_idle() or await self._borrow(leases, timeouts.get("pool"))
        reused = connection is not None
        try:
            if connection is None:
                connection = await self._connect(outgoing.target, timeouts)
            try:
                await connection.send(outgoing, timeouts)
            except STALE:
                replayable = isinstance(outgoing.body, bytes)
                if not (reused and connection.untouched and replayable):
                    raise
                connection.abort()
                connection = await self._connect(outgoing.target, timeouts)
                await connection.send(outgoing, timeouts)
            if connection.status == 407 and (proxy := self._proxy_of(outgoing.target)) is not None:
                told = f"the proxy {proxy} refuses (407 Proxy Authentication Required)"
                raise httpcore.ProxyError(told)
        except BaseException as error:
            if connection is not None:
                connection.abort()
            leases.forfeit()
            known = mapped(error)
            if known is None:
                raise
            raise known from error
        return Answer(connection, leases, timeouts.get("read"))

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

    def _leases(self, target: Target) -> Leases[Http1Connection]:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            if self._loop is not None:
                msg = "a LeasedTransport serves one event loop; make another for this one"
                raise RuntimeError(msg)
            self._loop = loop
        leases = self._origins.get(target.origin)
        if leases is None:
            leases = Leases(limit=self._max_connections, idle_expiry=self._idle_expiry)
            if self._closed:
                leases.close()
            self._origins[target.origin] = leases
        return leases

    async def _borrow(
        self, leases: Leases[Http1Connection], timeout: float | None
    ) -> Http1Connection | None:
        try:
            connection = await leases.borrow(timeout)
        except TimeoutError as error:
            msg = f"all {self._max_connections} connections stayed busy"
            raise httpx.PoolTimeout(msg) from error
        except LeasesClosedError as error:
            raise httpx.ConnectError("the transport is closed") from error
        if connection is not None and not connection.reusable:
            connection.abort()  # something came between it was handed over and this turn
            return None
        return connection

    async def _connect(self, target: Target, timeouts: Timeouts) -> Http1Connection:
        scheme, _, port = target.origin
        proxy = self._proxy_of(target)
        route = Route(
            target.host,
            port,
            self._tls() if scheme == "https" else None,
            proxy,
            self._tls() if proxy is not None and proxy.secure else None,
        )
        connection = await self._make(route, self._resolver, timeouts.get("connect"))
        self._open.add(connection)
        connection.closed.add_done_callback(lambda _: self._open.discard(connection))
        if self._closed:
            connection.abort()
        return connection

    def _proxy_of(self, target: Target) -> Proxy | None:
        return None if self._proxies.none else self._proxies.of(*target.origin)

    def _tls(self) -> ssl.SSLContext:
        if self._ssl_context is None:
            self._ssl_context = httpx.create_ssl_context()
        return self._ssl_context
