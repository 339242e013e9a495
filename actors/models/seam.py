"""The seam between providers and transports: a request, where it goes, and what comes back.

Purpose: what a provider and a transport say to each other for each request, without an httpx
object: making and taking apart a `Request`, its `Headers` and a `Response` costs as much as sending
one. The seam stays `httpx.AsyncBaseTransport`: whatever else is given there is spoken to in httpx's
own words, by `HttpxWire`.

Guarantees: errors are httpx's, without their request. An answer is read to its end or closed;
closing one early closes its socket.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import NamedTuple, Protocol, cast

import httpx

PORTS = {"http": 80, "https": 443}

Headers = Sequence[tuple[bytes, bytes]]
Timeouts = Mapping[str, float | None]
"""Seconds by httpx's names: `connect`, `read`, `write`, `pool`; missing or None: no limit."""


class Target(NamedTuple):
    """An address, taken apart once.

    Attributes:
        origin: scheme, host and port: whose connections are its.
        host: as it is looked up, in ASCII.
        path: with its query, as the request line has it.
    """

    url: httpx.URL
    origin: tuple[str, str, int]
    host: str
    path: bytes

    @property
    def whole(self) -> bytes:
        """The whole address, as a proxy that forwards is told it."""
        return b"%b://%b%b" % (self.url.raw_scheme, self.url.netloc, self.path)


class Outgoing(NamedTuple):
    """A request. Its headers are complete: what is missing there is not sent."""

    target: Target
    headers: Headers
    body: bytes | httpx.AsyncByteStream
    method: bytes = b"POST"


class Reading(Protocol):
    """An answer whose head has come."""

    @property
    def status(self) -> int:
        """Of HTTP."""
        ...

    @property
    def headers(self) -> Headers:
        """As they came."""
        ...

    def at_hand(self) -> bytes | None:
        """All of the body, if all has come already; it is read to its end then."""
        ...

    async def read(self) -> bytes | None:
        """The next bytes of the body, None at its end.

        Raises:
            httpx.TransportError: it broke off.
        """
        ...

    async def pour(self, take: Callable[[bytes], bool]) -> bool:
        """Have what comes of the body taken where it arrives, until `take` says False.

        `take` is called in the context of whoever awaits this, or in a copy of it.

        Returns:
            True at the end of the body, False when `take` wants no more just now.

        Raises:
            httpx.TransportError: it broke off.
            Whatever `take` raises.
        """
        ...

    async def aclose(self) -> None:
        """Close the socket unless the body was read to its end. Idempotent."""
        ...


class Wire(Protocol):
    """Who sends requests."""

    async def send(self, outgoing: Outgoing, timeouts: Timeouts) -> Reading:
        """Send a request; gives the answer once its head has come.

        Raises:
            httpx.TransportError: the leaf that says what went wrong.
        """
        ...


class HttpxWire:
    """Any transport of httpx."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport

    async def send(self, outgoing: Outgoing, timeouts: Timeouts) -> Reading:
        """See `Wire`."""
        body = outgoing.body
        request = httpx.Request(
            outgoing.method.decode("ascii"),
            outgoing.target.url,
            headers=outgoing.headers,
            stream=httpx.ByteStream(body) if isinstance(body, bytes) else body,
            extensions={"timeout": timeouts},
        )
        if isinstance(body, bytes):
            request.read()
        return _HttpxReading(await self._transport.handle_async_request(request))


class _HttpxReading:
    """A response of httpx, without decoding; what reads it is closed with it."""

    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        self.headers = response.headers.raw
        self._stream = cast("httpx.AsyncByteStream", response.stream)
        self._parts = aiter(self._stream)

    def at_hand(self) -> None:
        """See `Reading`: nobody knows."""

    async def read(self) -> bytes | None:
        """See `Reading`."""
        return await anext(self._parts, None)

    async def pour(self, take: Callable[[bytes], bool]) -> bool:
        """See `Reading`."""
        async for part in self._parts:
            if part and not take(part):  # nothing is no sign of life
                return False
        return True

    async def aclose(self) -> None:
        """See `Reading`."""
        try:
            if isinstance(self._parts, AsyncGenerator):
                await self._parts.aclose()
        finally:
            await self._stream.aclose()


def target_of(url: httpx.URL) -> Target:
    """Take an address apart.

    Raises:
        httpx.UnsupportedProtocol: it is no `http://` or `https://` with a host.
    """
    scheme, host = url.scheme, url.host
    if scheme not in PORTS or not host:
        msg = f"the URL needs http:// or https:// and a host, not {scheme or 'nothing'!r}"
        raise httpx.UnsupportedProtocol(msg)
    origin = (scheme, host, url.port or PORTS[scheme])
    return Target(url, origin, url.raw_host.decode("ascii"), url.raw_path)
