"""The listening socket that goes away and comes back."""

import asyncio
import socket

import pytest

from understudy.testing.provider_server.listener import Listener

pytestmark = pytest.mark.anyio


class Greeting(asyncio.Protocol):
    """Says hello and closes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say it."""
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"hello")
        transport.close()


async def greeted(port: int) -> bytes:
    """What a new connection hears."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        return await reader.read()
    finally:
        writer.close()


async def test_who_was_accepted_before_a_pause_is_served() -> None:
    """Not left on an open connection that nobody looks at, whenever the pause begins."""

    def accept() -> asyncio.Protocol:
        listener.pause(0.01)  # between the acceptance and its protocol
        return Greeting()

    listener = Listener(accept, 0)
    await listener.start()
    try:
        async with asyncio.timeout(20):
            assert await greeted(listener.port) == b"hello"
    finally:
        listener.close()
        await listener.closed()


async def test_nobody_listens_meanwhile() -> None:
    """Connections are refused during a pause, and taken after it, at the same port."""
    listener = Listener(Greeting, 0)
    await listener.start()
    port = listener.port
    try:
        listener.pause(0.01)
        with pytest.raises(ConnectionRefusedError), socket.socket() as client:
            client.connect(("127.0.0.1", port))
        async with asyncio.timeout(20):
            while True:
                try:
                    assert await greeted(port) == b"hello"
                except ConnectionRefusedError:
                    continue
                break
    finally:
        listener.close()
        await listener.closed()
    with pytest.raises(ConnectionRefusedError):
        await greeted(port)


async def test_what_is_written_is_sent_at_once() -> None:
    """Small writes do not wait for a delayed ACK: a first token would come 40 ms late."""
    without_delay: list[bool] = []

    class Looking(Greeting):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            raw = transport.get_extra_info("socket")
            without_delay.append(bool(raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)))
            super().connection_made(transport)

    listener = Listener(Looking, 0)
    await listener.start()
    try:
        async with asyncio.timeout(20):
            assert await greeted(listener.port) == b"hello"
    finally:
        listener.close()
        await listener.closed()
    assert without_delay == [True]
