"""The listening socket of a server, which can be away for a while and come back at the same port.

While nobody listens, connections are really refused. The port stays reserved meanwhile by a second
socket that is bound and never listens, so that nothing else can take it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable

_HOST = "127.0.0.1"
_CAN_SHARE = hasattr(socket, "SO_REUSEPORT")


class Listener:
    """See the module's docstring.

    Args:
        accept: makes the protocol of each connection.
        port: where; 0 picks a free one when it starts.
    """

    def __init__(self, accept: Callable[[], asyncio.Protocol], port: int) -> None:
        self.port = port
        self._accept = accept
        self._server: asyncio.Server | None = None
        self._reserved: socket.socket | None = None
        self._back: asyncio.TimerHandle | None = None
        self._coming: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the port is taken.
        """
        if _CAN_SHARE:
            self._reserved = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            try:
                if self.port:
                    _probe(self.port)
                self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                self._reserved.bind((_HOST, self.port))
            except OSError:
                self._reserved.close()
                raise
            self.port = self._reserved.getsockname()[1]
        await self._listen()

    def pause(self, seconds: float) -> None:
        """Refuse connections for so long; those that are open stay. A second pause prolongs it."""
        loop = asyncio.get_running_loop()
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._back is not None:
            self._back.cancel()
        self._back = loop.call_later(seconds, self._come_back)

    def close(self) -> None:
        """Stop for good."""
        if self._server is not None:
            self._server.close()
        if self._back is not None:
            self._back.cancel()
        if self._coming is not None:
            self._coming.cancel()
        if self._reserved is not None:
            self._reserved.close()

    async def closed(self) -> None:
        """Wait until everything of it has ended."""
        if self._coming is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await self._coming
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def _come_back(self) -> None:
        self._back = None
        if self._server is None:
            self._coming = asyncio.get_running_loop().create_task(self._listen())

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            self._accept, _HOST, self.port, backlog=4096, reuse_port=_CAN_SHARE or None
        )
        self.port = self._server.sockets[0].getsockname()[1]


def _probe(port: int) -> None:
    """Two servers that may share a port would both get it: find out whether it is free."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((_HOST, port))
