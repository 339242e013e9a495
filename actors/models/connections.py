"""One connection: a socket with httpcore's HTTP/1.1 on it, and httpcore's errors as httpx's.

`httpcore.AsyncHTTP11Connection` and not `AsyncHTTPConnection`, which wraps it: the wrapper opens
the socket itself, under a lock, and a cancel in between leaves the socket where nobody can close it
(encode/httpcore#1099). Here whoever makes the connection has its socket first.
"""

from __future__ import annotations

import asyncio
from typing import cast

import httpcore
import httpx

from understudy.actors.models.sockets import SocketStream

_ERRORS: dict[type[Exception], type[httpx.TransportError]] = {
    httpcore.ConnectTimeout: httpx.ConnectTimeout,
    httpcore.ReadTimeout: httpx.ReadTimeout,
    httpcore.WriteTimeout: httpx.WriteTimeout,
    httpcore.ConnectError: httpx.ConnectError,
    httpcore.ReadError: httpx.ReadError,
    httpcore.WriteError: httpx.WriteError,
    httpcore.LocalProtocolError: httpx.LocalProtocolError,
    httpcore.RemoteProtocolError: httpx.RemoteProtocolError,
    httpcore.ConnectionNotAvailable: httpx.ReadError,
}

FAILURES: tuple[type[Exception], ...] = tuple(_ERRORS)
"""Everything that sending and reading may raise."""

STALE = (
    httpcore.ReadError,
    httpcore.WriteError,
    httpcore.RemoteProtocolError,
    httpcore.ConnectionNotAvailable,
)
"""How a reused connection that the peer has closed meanwhile shows itself."""


class Connection:
    """One socket with httpcore's HTTP/1.1 on it."""

    def __init__(self, origin: httpcore.Origin, stream: SocketStream) -> None:
        self._stream = stream
        self._http = httpcore.AsyncHTTP11Connection(origin=origin, stream=stream)

    @property
    def reusable(self) -> bool:
        """Idle, open, and nothing unasked has arrived."""
        return self._http.is_available() and self._stream.reusable

    @property
    def untouched(self) -> bool:
        """No byte of the answer to the request in hand has arrived."""
        return self._stream.virgin

    async def send(self, request: httpx.Request) -> httpcore.Response:
        """Send, and read the head of the answer."""
        self._stream.rewind()
        return await self._http.handle_async_request(
            httpcore.Request(
                method=request.method,
                url=core_url(request.url),
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )

    def abort(self) -> asyncio.Future[None]:
        """Close the socket; the future is done when the operating system has it back."""
        self._stream.abort()
        return self._stream.closed


def core_url(url: httpx.URL) -> httpcore.URL:
    """The same address, as httpcore takes it."""
    return httpcore.URL(
        scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
    )


def mapped(error: BaseException, request: httpx.Request) -> httpx.TransportError | None:
    """The httpx error that an httpcore error is; None for anything else."""
    for kind in type(error).__mro__:
        found = _ERRORS.get(cast("type[Exception]", kind))
        if found is not None:
            return found(str(error) or kind.__name__, request=request)
    return None
