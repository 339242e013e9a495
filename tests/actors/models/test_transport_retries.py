"""The one retry: of a connection that was used before, before the first byte."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from tests.actors.models.raw_servers import CHAT, body_of, chat, post, raw, take_request

from understudy.actors.models.transport import LeasedTransport
from understudy.testing.provider_server import ProviderServer, Reset

pytestmark = pytest.mark.anyio


async def test_a_reset_of_a_reused_connection_is_retried_once(transport: LeasedTransport) -> None:
    """The race with the server's keep-alive timeout is not the caller's business."""
    async with ProviderServer(faults=[None, Reset()]) as server:
        for _ in range(2):
            response = await transport.handle_async_request(chat(server))
            assert (await body_of(response)).startswith(b"{")
        assert [request.connection for request in server.requests] == [1, 1, 2]


async def test_the_retry_is_one(transport: LeasedTransport) -> None:
    """A second reset is an error."""
    async with ProviderServer(faults=[None, Reset(), Reset()]) as server:
        await body_of(await transport.handle_async_request(chat(server)))
        with pytest.raises(httpx.ReadError):
            await transport.handle_async_request(chat(server))
        assert len(server.requests) == 3


async def test_a_fresh_connection_that_is_reset_is_not_retried(transport: LeasedTransport) -> None:
    """Only a reused one can have been closed before the request was sent."""
    async with ProviderServer(faults=[Reset()]) as server:
        with pytest.raises(httpx.ReadError):
            await transport.handle_async_request(chat(server))
        assert len(server.requests) == 1


async def test_no_retry_after_the_first_byte(transport: LeasedTransport) -> None:
    """Once the answer began, sending again could do the work twice."""
    calls = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        while True:
            await take_request(reader)
            calls += 1
            if calls == 1:
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                continue
            writer.write(b"HTTP/1.1 2")
            return

    async with raw(serve) as url:
        await body_of(await transport.handle_async_request(post(url)))
        with pytest.raises(httpx.RemoteProtocolError):
            await transport.handle_async_request(post(url))
    assert calls == 2


async def test_a_body_that_is_generated_is_not_sent_twice(transport: LeasedTransport) -> None:
    """It can be read once only."""

    async def generated() -> AsyncIterator[bytes]:
        yield CHAT

    async with ProviderServer(faults=[None, Reset()]) as server:
        await body_of(await transport.handle_async_request(chat(server)))
        request = httpx.Request(
            "POST",
            f"{server.base_url}/chat/completions",
            content=generated(),
            headers={"content-length": str(len(CHAT))},
        )
        with pytest.raises(httpx.ReadError):
            await transport.handle_async_request(request)


async def test_a_connection_closed_while_idle_is_not_used(transport: LeasedTransport) -> None:
    """The server's farewell is noticed without a request."""
    closed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await take_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        await writer.drain()
        closed.set()

    async with raw(serve) as url:
        await body_of(await transport.handle_async_request(post(url)))
        await closed.wait()
        for _ in range(1000):
            if transport.stats.open:
                await asyncio.sleep(0)
        assert transport.stats.open == 0
        await body_of(await transport.handle_async_request(post(url)))
