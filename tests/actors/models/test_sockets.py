import asyncio

import httpcore
import pytest

from understudy.actors.models.resolver import Resolver
from understudy.actors.models.sockets import Route, SocketStream, connect

pytestmark = pytest.mark.anyio


class Peer(asyncio.Protocol):
    """Greets, and remembers what it got."""

    def __init__(self) -> None:
        self.got = bytearray()
        self.arrived = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"hello")

    def data_received(self, data: bytes) -> None:
        self.got += data
        self.arrived.set()


async def connected() -> tuple[SocketStream, Peer, asyncio.Server]:
    """A stream whose peer has greeted."""
    peer = Peer()
    server = await asyncio.get_running_loop().create_server(lambda: peer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    stream = await connect(SocketStream, Route("127.0.0.1", port), resolver=Resolver(), timeout=5)
    return stream, peer, server


async def test_reads_are_bounded_and_remembered() -> None:
    """A read takes at most what it asks for; the first byte ends being untouched."""
    stream, _, server = await connected()
    async with server:
        states = []
        stream.rewind()
        assert await stream.read(2) == b"he"
        states.append((stream.virgin, stream.reusable))
        assert await stream.read(10) == b"llo"
        stream.rewind()
        states.append((stream.virgin, stream.reusable))
        assert states == [(False, False), (True, True)]
        stream.abort()
        await stream.closed


async def test_writes_leave_together_with_the_next_read() -> None:
    """Head and body of a request are one packet."""
    stream, peer, server = await connected()
    async with server:
        await stream.read(10)
        await stream.write(b"head ")
        await stream.write(b"body")
        for _ in range(20):
            await asyncio.sleep(0)
        assert not peer.got
        with pytest.raises(httpcore.ReadTimeout):
            await stream.read(10, timeout=0.001)
        await peer.arrived.wait()
        assert peer.got == b"head body"
        await stream.aclose()
        await stream.closed


async def test_nothing_is_read_after_an_abort() -> None:
    """Bytes that were waiting are dropped, and the reader hears why."""
    stream, _, server = await connected()
    async with server:
        assert await stream.read(1) == b"h"
        stream.abort()
        stream.abort()
        with pytest.raises(httpcore.ReadError, match="closed by this side"):
            await stream.read(10)
        await stream.write(b"x" * 10)
        with pytest.raises(httpcore.WriteError):
            await stream.write(b"x" * 100_000)
        await stream.closed


async def test_an_abort_wakes_the_reader() -> None:
    """Whoever waits for bytes gets the error at once."""
    stream, _, server = await connected()
    async with server:
        await stream.read(10)
        reading = asyncio.create_task(stream.read(10))
        await asyncio.sleep(0)
        stream.abort()
        with pytest.raises(httpcore.ReadError):
            await reading
        await stream.closed
