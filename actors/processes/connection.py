"""Our end of the socket to a worker's process: requests out, answers in, one at a time.

It reads and writes the socket itself, on the loop's readiness callbacks, which both asyncio and
uvloop have: closing is then closing, at once, also when the loop is about to end; a transport would
close in its next turn. What cannot be sent at once waits here; that is one call at most.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from understudy.actors.processes.frames import Unframer, frame
from understudy.messages.errors import CodecError

_CHUNK = 256 * 1024


class Connection:
    """See the module's docstring.

    Args:
        loop: where it is used; everything here runs on its thread.
        sock: our end; it is closed by `close`.
        on_lost: called when the other end is closed, or sends what nobody asked for.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, sock: socket.socket, on_lost: Callable[[], None]
    ) -> None:
        sock.settimeout(0)
        self._loop = loop
        self._sock = sock
        self._fd = sock.fileno()
        self._on_lost = on_lost
        self._unframer = Unframer()
        self._unsent = memoryview(b"")
        self._waiter: asyncio.Future[bytes] | None = None
        self._closed = False
        loop.add_reader(self._fd, self._readable)

    @property
    def busy(self) -> bool:
        """True while an answer is awaited."""
        return self._waiter is not None

    async def answer(self, request: bytes | None = None) -> bytes:
        """Send a request, if there is one, and wait for the next answer."""
        waiter: asyncio.Future[bytes] = self._loop.create_future()
        self._waiter = waiter
        try:
            if request is not None:
                self._send(frame(request))
            return await waiter
        finally:
            self._waiter = None

    def fail(self, error: BaseException) -> None:
        """Whoever waits for an answer gets this error instead."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)

    def drain(self) -> None:
        """Take what still lies in the socket: an answer can have come just before the end."""
        if not self._closed:
            self._receive()

    def close(self) -> None:
        """Close our end, which tells the process to end."""
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._fd)
            if self._unsent:
                self._loop.remove_writer(self._fd)
            self._sock.close()

    def _send(self, data: bytes) -> None:
        rest = memoryview(data)
        try:
            rest = rest[self._sock.send(rest) :]
        except BlockingIOError:
            pass
        except OSError:
            return  # the other end is gone: reading says so
        if rest:
            self._unsent = rest
            self._loop.add_writer(self._fd, self._writable)

    def _writable(self) -> None:
        try:
            self._unsent = self._unsent[self._sock.send(self._unsent) :]
        except BlockingIOError:
            return
        except OSError:
            self._unsent = memoryview(b"")
        if not self._unsent:
            self._loop.remove_writer(self._fd)

    def _readable(self) -> None:
        if not self._receive():
            self._loop.remove_reader(self._fd)
            self._on_lost()

    def _receive(self) -> bool:
        """Take a chunk; False when there is nothing more to expect."""
        try:
            data = self._sock.recv(_CHUNK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if not data:
            return False
        try:
            payloads = self._unframer.feed(data)
        except CodecError as error:
            self.fail(CodecError(f"what the process sent is no answer: {error.message}"))
            return False
        for payload in payloads:
            if self._waiter is None or self._waiter.done():
                return False  # nobody asked: whoever writes there is not our loop
            self._waiter.set_result(payload)
        return True
