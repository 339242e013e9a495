"""A way through a proxy: `CONNECT`, and what the proxy says to it.

Guarantees: errors name the proxy, never who asks it. A refusal is a `ProxyError`; a proxy that
could not reach the other side (502, 503, 504) is a `ConnectError`, as if nobody had been between.
"""

from __future__ import annotations

import asyncio
import re
from typing import cast

import httpcore

from understudy.actors.models.proxies import Proxy

_LARGEST_HEAD = 64 * 1024
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})[^\r\n]*")
_UNREACHED = (502, 503, 504)


class Tunnel(asyncio.Protocol):
    """The talk with a proxy before it falls silent and passes bytes; made by `connect`."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._head: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._received = b""
        self.transport: asyncio.Transport | None = None

    async def open(self, host: str, port: int) -> None:
        """Ask for the way.

        Raises:
            httpcore.ProxyError: the proxy refuses, or speaks something else.
            httpcore.ConnectError: it found no way, or hung up.
        """
        if self.transport is None:
            raise httpcore.ConnectError(f"no connection to the proxy {self._proxy}")
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        lines = [f"CONNECT {where} HTTP/1.1".encode(), b"host: " + where.encode()]
        lines += [b"%b: %b" % header for header in self._proxy.headers]
        self.transport.write(b"\r\n".join(lines) + b"\r\n\r\n")
        head = await self._head
        found = _STATUS.match(head)
        if found is None:
            told = f"the proxy {self._proxy} does not speak HTTP/1.1"
            raise httpcore.ProxyError(told)
        status = int(found[1])
        said = found[0].split(b" ", 1)[1].decode("latin-1")
        if status in _UNREACHED:
            told = f"the proxy {self._proxy} found no way to {where} ({said})"
            raise httpcore.ConnectError(told)
        if not 200 <= status < 300:
            raise httpcore.ProxyError(f"the proxy {self._proxy} refuses {where} ({said})")

    def abort(self) -> None:
        """Close the socket."""
        if self.transport is not None:
            self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected to the proxy."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Gather the head; a proxy says nothing else before the other side does."""
        self._received += data
        if b"\r\n\r\n" in self._received or len(self._received) > _LARGEST_HEAD:
            self._settle(self._received)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """The proxy has hung up."""
        if not self._head.done():
            told = f"the proxy {self._proxy} closed the connection"
            self._head.set_exception(httpcore.ConnectError(told))

    def _settle(self, head: bytes) -> None:
        if not self._head.done():
            self._head.set_result(head)
