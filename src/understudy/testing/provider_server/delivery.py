"""Getting an answer onto the wire: at a pace, and through whatever fault befalls it.

The protocols say what the pieces of an answer are; this says when each is written and where it
stops. It serves event streams and lines alike.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

import msgspec

from understudy.testing.provider_server.faults import (
    BadChunk,
    Blackhole,
    Drip,
    Fault,
    Huge,
    InvalidUtf8,
    Malformed,
    Refuse,
    Reset,
    StreamFault,
    Truncate,
)
from understudy.testing.provider_server.http import ServerConnection, framed, head_of

JSON = "application/json"
_BLOCK = 64 * 1024
_UNCODED = b"\xe2\x28\xa1"
MARK = "☃"
"""Stands where an `InvalidUtf8` has its bytes."""


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """How one answer is delivered.

    Attributes:
        connection: where to.
        latency: seconds before the first byte.
        tokens_per_second: pace of a stream's pieces, and of a whole answer by its number of
            tokens; None: at once.
        headers: sent with every answer.
        refuse: stops listening for some seconds.
    """

    connection: ServerConnection
    latency: float
    tokens_per_second: float | None
    headers: Mapping[str, str]
    refuse: Callable[[float], None]

    async def refusal(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        """An error answer."""
        await self._wait(self.latency)
        head = head_of(status, len(body), content_type=JSON, headers={**self.headers, **headers})
        await self._last(head + body)

    async def instead(self, fault: Fault, *, stream: str | None) -> bool:
        """Play a fault that leaves no answer; False: there will be one.

        Args:
            fault: the fault.
            stream: the type of a streamed answer, if one was wanted.
        """
        if isinstance(fault, Blackhole):
            await asyncio.get_running_loop().create_future()
        match fault:
            case Refuse():
                self.refuse(fault.seconds)
            case Reset(after=None) | Malformed() | Huge():
                await self._wait(self.latency)
            case _:
                return False
        match fault:
            case Malformed():
                head = head_of(
                    200, len(fault.body), content_type=fault.content_type, headers=self.headers
                )
                await self._last(head + fault.body)
            case Huge():
                await self._huge(fault.size, stream)
            case _:
                self.connection.reset()
        return True

    async def whole(self, body: bytes, tokens: int, fault: Fault | None) -> None:
        """An answer in one piece."""
        pause = tokens / self.tokens_per_second if self.tokens_per_second else 0.0
        await self._wait(self.latency + pause)
        out = self.connection
        chunked = isinstance(fault, BadChunk)
        if isinstance(fault, InvalidUtf8):
            body = _uncoded(body)
        head = head_of(200, None if chunked else len(body), content_type=JSON, headers=self.headers)
        half = body[: len(body) // 2]
        match fault:
            case Reset() | Truncate():
                await out.write(head + half)
                await self._break(fault)
            case BadChunk():
                await out.write(head + framed(half))
                await self._break(fault)
            case Drip(interval=interval):
                await self._drip(head + body, interval)
                out.complete = True
            case _:
                await self._last(head + body)

    async def stream(
        self,
        pieces: Iterable[bytes],
        end: Iterable[bytes],
        fault: Fault | None,
        *,
        content_type: str,
        failure: bytes = b"",
    ) -> None:
        """An answer in pieces, each a chunk of the body.

        Args:
            pieces: those that carry tokens; they come at the pace.
            end: those that follow at once.
            fault: breaks the answer off, or slows it.
            content_type: of the body.
            failure: what a `StreamFault` looks like in this protocol.
        """
        out = self.connection
        await self._wait(self.latency)
        await out.write(head_of(200, None, content_type=content_type, headers=self.headers))
        if fault is None and not self.tokens_per_second:
            await self._flow(pieces)
        else:
            await self._pace(pieces, fault)
        if isinstance(fault, (Reset, Truncate, BadChunk)):
            await self._break(fault, chunked=True)
            return
        if isinstance(fault, StreamFault):
            await out.chunk(failure)
        else:
            for piece in end:
                await self._piece(piece, fault)
        await out.end()

    async def _flow(self, pieces: Iterable[bytes]) -> None:
        """As fast as the client reads: many chunks at a time."""
        parts: list[bytes] = []
        size = 0
        for piece in pieces:
            parts.append(framed(piece))
            size += len(piece)
            if size >= _BLOCK:
                await self.connection.write(b"".join(parts))
                await asyncio.sleep(0)  # others have answers, too
                parts, size = [], 0
        await self.connection.write(b"".join(parts))

    async def _pace(self, pieces: Iterable[bytes], fault: Fault | None) -> None:
        """One after the other, each at its time, as far as the fault lets them."""
        clock = asyncio.get_running_loop().time
        started = clock()
        limit = getattr(fault, "after", None)
        for count, piece in enumerate(pieces):
            if limit is not None and count >= limit:
                break
            if self.tokens_per_second:
                await self._wait(started + count / self.tokens_per_second - clock())
            await self._piece(piece, fault)

    async def _piece(self, piece: bytes, fault: Fault | None) -> None:
        match fault:
            case Drip():
                await self._drip(framed(piece), fault.interval)
            case InvalidUtf8():
                await self.connection.chunk(_uncoded(piece))
            case _:
                await self.connection.chunk(piece)

    async def _huge(self, size: int, stream: str | None) -> None:
        out = self.connection
        if stream is None:
            await out.write(head_of(200, size, content_type=JSON, headers=self.headers))
        else:
            await out.write(head_of(200, None, content_type=stream, headers=self.headers))
        block = b"x" * _BLOCK
        for start in range(0, size, _BLOCK):
            part = block[: size - start]
            await out.write(part if stream is None else framed(part))
        if stream is not None:
            await out.end()
        out.complete = True

    async def _drip(self, data: bytes, interval: float) -> None:
        for position in range(len(data)):
            await self.connection.write(data[position : position + 1])
            await asyncio.sleep(interval)

    async def _break(self, fault: Reset | Truncate | BadChunk, *, chunked: bool = False) -> None:
        out = self.connection
        match fault:
            case Reset():
                # What was written must leave first: a reset drops what is still in the kernel.
                await asyncio.sleep(0.01)
                out.reset()
            case BadChunk():
                await out.write(b"no length\r\n\r\n")
                out.close()
            case _ if chunked:
                await out.end()
                out.complete = False
            case _:
                out.close()

    async def _last(self, data: bytes) -> None:
        await self.connection.write(data)
        self.connection.complete = True

    @staticmethod
    async def _wait(seconds: float) -> None:
        if seconds > 0:
            await asyncio.sleep(seconds)


def _uncoded(data: bytes) -> bytes:
    return data.replace(MARK.encode(), _UNCODED)
