"""Getting an answer onto the wire: at a pace, and through whatever fault befalls it.

The protocols say what the pieces of an answer are; this says when each is written and where it
stops. It serves event streams and lines alike.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import msgspec

from understudy.testing.provider_server.faults import (
    Blackhole,
    Drip,
    Fault,
    Malformed,
    Reset,
    StreamFault,
    Truncate,
)
from understudy.testing.provider_server.http import Responder


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """How one answer is delivered.

    Attributes:
        latency: seconds before the first byte.
        tokens_per_second: pace of a stream's pieces, and of a whole answer by its number of
            tokens; None: at once.
        headers: sent with every answer.
    """

    responder: Responder
    latency: float
    tokens_per_second: float | None
    headers: dict[str, str]

    async def refuse(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        """An error answer."""
        await self._wait(self.latency)
        await self.responder.whole(
            status, body, content_type="application/json", headers=self.headers | headers
        )

    async def instead(self, fault: Fault | None) -> bool:
        """Play a fault that leaves no answer; False: there will be one."""
        if isinstance(fault, Blackhole):
            await asyncio.get_running_loop().create_future()
        if isinstance(fault, Reset) and fault.after is None:
            await self._wait(self.latency)
            self.responder.connection.reset()
            return True
        if isinstance(fault, Malformed):
            await self._wait(self.latency)
            await self.responder.whole(
                200, fault.body, content_type=fault.content_type, headers=self.headers
            )
            return True
        return False

    async def whole(self, body: bytes, tokens: int, fault: Fault | None) -> None:
        """An answer in one piece."""
        pause = tokens / self.tokens_per_second if self.tokens_per_second else 0.0
        await self._wait(self.latency + pause)
        out = self.responder
        head = out.head(200, len(body), content_type="application/json", headers=self.headers)
        match fault:
            case Reset() | Truncate():
                await out.connection.write(head + body[: len(body) // 2])
                await self._break(fault)
            case Drip(interval=interval):
                await self._drip(head + body, interval)
                out.complete = True
            case _:
                await out.connection.write(head + body)
                out.complete = True

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
        out = self.responder
        await self._wait(self.latency)
        await out.connection.write(
            out.head(200, None, content_type=content_type, headers=self.headers)
        )
        started = asyncio.get_running_loop().time()
        limit = getattr(fault, "after", None)
        for count, piece in enumerate(pieces):
            if limit is not None and count >= limit:
                break
            if self.tokens_per_second:
                due = started + count / self.tokens_per_second
                await self._wait(due - asyncio.get_running_loop().time())
            await self._piece(piece, fault)
        if isinstance(fault, (Reset, Truncate)):
            await self._break(fault, chunked=True)
            return
        if isinstance(fault, StreamFault):
            await out.chunk(failure)
        else:
            for piece in end:
                await self._piece(piece, fault)
        await out.end()

    async def _piece(self, piece: bytes, fault: Fault | None) -> None:
        if isinstance(fault, Drip):
            await self._drip(b"%x\r\n%b\r\n" % (len(piece), piece), fault.interval)
        else:
            await self.responder.chunk(piece)

    async def _drip(self, data: bytes, interval: float) -> None:
        for position in range(len(data)):
            await self.responder.connection.write(data[position : position + 1])
            await asyncio.sleep(interval)

    async def _break(self, fault: Reset | Truncate, *, chunked: bool = False) -> None:
        if isinstance(fault, Reset):
            # What was written must leave first: a reset drops what is still in the kernel.
            await asyncio.sleep(0.01)
            self.responder.connection.reset()
        elif chunked:
            await self.responder.end()
            self.responder.complete = False
        else:
            self.responder.connection.close()

    @staticmethod
    async def _wait(seconds: float) -> None:
        if seconds > 0:
            await asyncio.sleep(seconds)
