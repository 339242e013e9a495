"""Sockets that a script plays: what a server says, cut and broken off as a test wants it."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from understudy.actors.models.http1 import Http1Connection
from understudy.actors.models.transport import LeasedTransport
from understudy.messages.errors import RunCancelledError


class ScriptedSocket(asyncio.Transport):
    """Says `pieces` once something is written to it, and then ends as `fate` says.

    Args:
        fate: `open` (it says no more), `eof` or `reset`.
        gaps: turns of the loop before each piece, again and again.
    """

    def __init__(
        self, peer: Http1Connection, pieces: Sequence[bytes], fate: str, gaps: Sequence[int]
    ) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._peer = peer
        self._left = list(pieces)
        self._fate = fate
        self._gaps = gaps
        self._turns = 0
        self._held = self._started = self._lost = False

    def write(self, data: Any) -> None:  # Any: whatever bytes are like
        if not self._started:
            self._started = True
            self._loop.call_soon(self._turn)

    def pause_reading(self) -> None:
        self._held = True

    def resume_reading(self) -> None:
        self._held = False
        self._loop.call_soon(self._turn)

    def abort(self) -> None:
        self._lose(None)

    def _turn(self) -> None:
        if self._held or self._lost:
            return
        if self._turns < self._gaps[len(self._left) % len(self._gaps)]:
            self._turns += 1
        elif self._left:
            self._turns = 0
            self._peer.data_received(self._left.pop(0))
        elif self._fate == "eof":
            self._peer.eof_received()
            self._lose(None)
        elif self._fate == "reset":
            self._lose(ConnectionResetError("reset"))
        if self._left or self._fate != "open":
            self._loop.call_soon(self._turn)

    def _lose(self, error: Exception | None) -> None:
        if not self._lost:
            self._lost = True
            self._loop.call_soon(self._peer.connection_lost, error)


def scripted(parser: str, play: Callable[[Http1Connection], ScriptedSocket]) -> LeasedTransport:
    """A transport whose connections are played."""
    from understudy.actors.models.h11_connection import H11Connection
    from understudy.actors.models.llhttp import LlhttpConnection

    kind = H11Connection if parser == "h11" else LlhttpConnection
    transport = LeasedTransport(parser=parser, trust_env=False)  # type: ignore[arg-type]

    async def make(*_: object) -> Http1Connection:
        connection = kind()
        connection.connection_made(play(connection))
        return connection

    transport._make = make
    return transport


class Basin:
    """A sink that is full each `size` pieces, for `wait` turns, and may be closed after some."""

    text_only = False
    retain = "full"
    at = 0.0
    credit = 1

    def __init__(self, size: int = 1, wait: int = 1, closed_after: int | None = None) -> None:
        self.said: list[tuple[str, str]] = []
        self._size = size
        self._wait = wait
        self._closed_after = closed_after

    def offer(self, text: str) -> bool:
        return self._add("text", text)

    def offer_all(self, texts: Sequence[str]) -> bool:
        fits = True
        for text in texts:
            fits = self.offer(text)
        return fits

    def think(self, thought: str) -> bool:
        return self._add("thought", thought)

    async def room(self) -> None:
        for _ in range(self._wait):
            await asyncio.sleep(0)
        self._check()

    async def put(self, make: Callable[[int], object]) -> None:
        raise AssertionError("a provider puts nothing")

    def _add(self, kind: str, text: str) -> bool:
        self._check()
        self.said.append((kind, text))
        return bool(len(self.said) % self._size)

    def _check(self) -> None:
        if self._closed_after is not None and len(self.said) >= self._closed_after:
            raise RunCancelledError("closed")
