"""One connection: a socket with HTTP/1.1 on it, and httpcore's errors as httpx's.

`HttpcoreConnection` is the one that the required dependencies bring, `LlhttpConnection` (in
`llhttp`, extra `fast`) the one whose parser is C. Both raise httpcore's errors, and the transport
cannot tell them apart.

`httpcore.AsyncHTTP11Connection` and not `AsyncHTTPConnection`, which wraps it: the wrapper opens
the socket itself, under a lock, and a cancel in between leaves the socket where nobody can close it
(encode/httpcore#1099). Here whoever makes the connection has its socket first.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterable, AsyncIterator
from typing import NamedTuple, Protocol, cast

import httpcore
import httpx

from understudy.actors.models.proxies import Proxy
from understudy.actors.models.sockets import SocketStream

_ERRORS: dict[type[Exception], type[httpx.TransportError]] = {
    httpcore.ConnectTimeout: httpx.ConnectTimeout,
    httpcore.ReadTimeout: httpx.ReadTimeout,
    httpcore.WriteTimeout: httpx.WriteTimeout,
    httpcore.ConnectError: httpx.ConnectError,
    httpcore.ProxyError: httpx.ProxyError,
    httpcore.ReadError: httpx.ReadError,
    httpcore.WriteError: httpx.WriteError,
    httpcore.LocalProtocolError: httpx.LocalProtocolError,
    httpcore.RemoteProtocolError: httpx.RemoteProtocolError,
    httpcore.ConnectionNotAvailable: httpx.ReadError,
    httpcore.UnsupportedProtocol: httpx.UnsupportedProtocol,
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


class Answer(NamedTuple):
    """The head of an answer."""

    status: int
    headers: list[tuple[bytes, bytes]]
    version: bytes
    reason: bytes


class Connection(Protocol):
    """What the transport leases."""

    @property
    def closed(self) -> asyncio.Future[None]:
        """Done when the operating system's socket is closed."""
        ...

    @property
    def reusable(self) -> bool:
        """Idle, open, and nothing unasked has arrived."""
        ...

    @property
    def untouched(self) -> bool:
        """No byte of the answer to the request in hand has arrived."""
        ...

    @property
    def held_back(self) -> bool:
        """The peer is stopped because too much waits unread."""
        ...

    async def send(self, request: httpx.Request) -> Answer:
        """Send, and read the head of the answer."""
        ...

    async def read(self, timeout: float | None) -> bytes | None:
        """The next bytes of the body, None at its end; then the connection is idle."""
        ...

    async def unwind(self) -> None:
        """After `abort`: let what is suspended in here run to its end."""
        ...

    def abort(self) -> asyncio.Future[None]:
        """Close the socket; the future is done when the operating system has it back."""
        ...


class HttpcoreConnection:
    """One socket with httpcore's HTTP/1.1 on it.

    Args:
        origin: whom the requests are for.
        stream: the socket.
        forward: the proxy at its other end that forwards plain HTTP.
    """

    def __init__(
        self, origin: httpcore.Origin, stream: SocketStream, forward: Proxy | None = None
    ) -> None:
        self._stream = stream
        self._forward = forward
        self._http = httpcore.AsyncHTTP11Connection(origin=origin, stream=stream)
        self._core: httpcore.Response | None = None
        self._parts: AsyncIterator[bytes] | None = None

    @property
    def closed(self) -> asyncio.Future[None]:
        """See `Connection`."""
        return self._stream.closed

    @property
    def reusable(self) -> bool:
        """See `Connection`."""
        # What came behind the answer lies in h11's buffer, where the next request would find it.
        behind, _ = self._http._h11_state.trailing_data  # noqa: SLF001 - httpcore does not ask
        return self._http.is_available() and self._stream.reusable and not behind

    @property
    def untouched(self) -> bool:
        """See `Connection`."""
        return self._stream.virgin

    @property
    def held_back(self) -> bool:
        """See `Connection`."""
        return self._stream.held_back

    async def send(self, request: httpx.Request) -> Answer:
        """See `Connection`."""
        self._stream.rewind()
        headers = request.headers.raw
        if self._forward is not None:
            headers = [*headers, *self._forward.headers]
        url = request.url
        core = await self._http.handle_async_request(
            httpcore.Request(
                method=request.method,
                url=httpcore.URL(
                    scheme=url.raw_scheme,
                    host=url.raw_host,
                    port=url.port,
                    target=target_of(url, self._forward),
                ),
                headers=headers,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        self._core = core
        self._parts = cast("AsyncIterable[bytes]", core.stream).__aiter__()
        found = core.extensions
        return Answer(
            core.status,
            core.headers,
            found.get("http_version", b"HTTP/1.1"),
            found.get("reason_phrase", b""),
        )

    async def read(self, timeout: float | None) -> bytes | None:  # noqa: ARG002 - httpcore knows
        """See `Connection`."""
        if self._parts is None or self._core is None:
            return None
        try:
            return await self._parts.__anext__()
        except StopAsyncIteration:
            await self._core.aclose()  # httpcore's connection becomes idle here
            self._parts = None
            return None

    async def unwind(self) -> None:
        """Let httpcore's generators run into the closed socket and end, not in the collector."""
        if self._parts is not None:
            # RuntimeError: another task is reading, and will see it.
            with contextlib.suppress(*FAILURES, RuntimeError):
                async for _ in self._parts:
                    pass

    def abort(self) -> asyncio.Future[None]:
        """See `Connection`."""
        self._stream.abort()
        return self._stream.closed


def target_of(url: httpx.URL, forward: Proxy | None) -> bytes:
    """What the request line names: the path, or for a proxy that forwards the whole address."""
    return (
        url.raw_path
        if forward is None
        else b"%b://%b%b"
        % (
            url.raw_scheme,
            url.netloc,
            url.raw_path,
        )
    )


def mapped(error: BaseException, request: httpx.Request) -> httpx.TransportError | None:
    """The httpx error that an httpcore error is; None for anything else."""
    for kind in type(error).__mro__:
        found = _ERRORS.get(cast("type[Exception]", kind))
        if found is httpx.LocalProtocolError:  # whose text quotes the header that it dislikes
            return found("the request cannot be written as HTTP/1.1", request=request)
        if found is not None:
            return found(str(error) or kind.__name__, request=request)
    return None
