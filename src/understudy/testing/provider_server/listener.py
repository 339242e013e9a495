"""The listening socket of a server, which can be away for a while and come back at the same port.

While nobody listens, connections are really refused. The port stays reserved meanwhile by a second
socket that is bound and never listens, so that nothing else can take it.

It accepts by itself: a connection that `asyncio.Server` has accepted when it is closed, and not yet
told its protocol of, is left open with nobody at it until the garbage collector finds it. Here
whoever was accepted is served.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

_HOST = "127.0.0.1"
_BACKLOG = 4096
_EXHAUSTED = 1.0
"""Seconds to wait when the process has no descriptors left for connections."""
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
        self._listening: socket.socket | None = None
        self._reserved: socket.socket | None = None
        self._back: asyncio.TimerHandle | None = None
        self._welcoming: set[asyncio.Task[None]] = set()

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
        self._listen()

    def pause(self, seconds: float) -> None:
        """Refuse connections for so long; those that are open stay. A second pause prolongs it."""
        self._leave()
        if self._back is not None:
            self._back.cancel()
        self._back = asyncio.get_running_loop().call_later(seconds, self._come_back)

    def close(self) -> None:
        """Stop for good."""
        self._leave()
        if self._back is not None:
            self._back.cancel()
        for task in self._welcoming:
            task.cancel()
        if self._reserved is not None:
            self._reserved.close()

    async def closed(self) -> None:
        """Wait until everything of it has ended."""
        if self._welcoming:
            await asyncio.wait(self._welcoming)

    def _come_back(self) -> None:
        self._back = None
        self._listen()

    def _listen(self) -> None:
        # With its protocol: only then does asyncio switch Nagle off for those that are accepted,
        # and a stream's first token is not held back until the client's delayed ACK (40 ms).
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            listening.settimeout(0)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if _CAN_SHARE:
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listening.bind((_HOST, self.port))
            listening.listen(_BACKLOG)
        except OSError:
            listening.close()
            raise
        self._listening = listening
        self.port = listening.getsockname()[1]
        asyncio.get_running_loop().add_reader(listening.fileno(), self._take, listening)

    def _leave(self) -> None:
        if self._listening is not None:
            asyncio.get_running_loop().remove_reader(self._listening.fileno())
            self._listening.close()
            self._listening = None

    def _take(self, listening: socket.socket) -> None:
        """Accept all who wait."""
        while True:
            try:
                connection, _ = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:
                self.pause(_EXHAUSTED)
                return
            connection.settimeout(0)
            task = asyncio.get_running_loop().create_task(self._welcome(connection))
            self._welcoming.add(task)
            task.add_done_callback(self._welcoming.discard)

    async def _welcome(self, connection: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(self._accept, connection)
        except OSError:
            connection.close()  # it has left already
        except BaseException:
            connection.close()
            raise


def _probe(port: int) -> None:
    """Two servers that may share a port would both get it: find out whether it is free."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((_HOST, port))
