"""Connections as the transport leases them, and httpcore's errors as httpx's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal, cast

import httpcore
import httpx

from understudy.actors.models.http1 import Http1Connection
from understudy.actors.models.resolver import Resolver
from understudy.actors.models.sockets import Route, connect
from understudy.messages.errors import ConfigError

Parser = Literal["h11", "llhttp"]
Make = Callable[[Route, Resolver, float | None], Awaitable[Http1Connection]]
"""Opens a connection; the number is the seconds it may take."""

STALE = (httpcore.ReadError, httpcore.WriteError, httpcore.RemoteProtocolError)
"""How a reused connection that the peer has closed meanwhile shows itself."""

_ERRORS: dict[type[Exception], type[httpx.TransportError]] = {
    httpcore.ConnectTimeout: httpx.ConnectTimeout,
    httpcore.ReadTimeout: httpx.ReadTimeout,
    httpcore.WriteTimeout: httpx.WriteTimeout,
    httpcore.ConnectError: httpx.ConnectError,
    httpcore.ProxyError: httpx.ProxyError,
    httpcore.ReadError: httpx.ReadError,
    httpcore.LocalProtocolError: httpx.LocalProtocolError,
    httpcore.RemoteProtocolError: httpx.RemoteProtocolError,
    httpcore.UnsupportedProtocol: httpx.UnsupportedProtocol,
}


def mapped(error: BaseException) -> httpx.TransportError | None:
    """The httpx error that an httpcore error is; None for anything else."""
    for kind in type(error).__mro__:
        found = _ERRORS.get(cast("type[Exception]", kind))
        if found is httpx.LocalProtocolError:  # whose text quotes the header that it dislikes
            return found("the request cannot be written as HTTP/1.1")
        if found is not None:
            return found(str(error) or kind.__name__)
    return None


def maker(parser: Parser) -> Make:
    """Who opens connections with that parser.

    Raises:
        ConfigError: there is none of that name, or it is not installed.
    """
    kind = _kind(parser)

    async def make(route: Route, resolver: Resolver, timeout: float | None) -> Http1Connection:
        forward = route.forward
        return await connect(lambda: kind(forward), route, resolver=resolver, timeout=timeout)

    return make


def _kind(parser: str) -> type[Http1Connection]:
    if parser == "h11":
        from understudy.actors.models.h11_connection import H11Connection

        return H11Connection
    if parser != "llhttp":
        raise ConfigError(f"LeasedTransport(parser={parser!r}): it is 'h11' or 'llhttp'")
    try:
        import httptools  # noqa: F401 - made known here, not with the first connection
    except ImportError as error:
        told = "LeasedTransport(parser='llhttp') needs httptools: pip install 'understudy[fast]'"
        raise ConfigError(told) from error
    from understudy.actors.models.llhttp import LlhttpConnection

    return LlhttpConnection
