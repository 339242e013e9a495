"""Connecting: from a name to a protocol of asyncio's on an open socket.

Guarantees: addresses are tried in order, each with its share of the time there is. A connect that
is cancelled, or too late, leaves no socket behind, also inside of TLS or of a proxy's tunnel.
Errors are httpcore's.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeVar, cast

import httpcore

from understudy.actors.models.proxies import Proxy
from understudy.actors.models.resolver import Resolver
from understudy.actors.models.tunnels import Tunnel


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
