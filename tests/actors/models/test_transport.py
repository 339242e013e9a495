"""Leases, connections and their ends."""

import asyncio
import gc
import sys
import threading
import warnings

import httpx
import pytest
from tests.actors.models.raw_servers import (
    CHAT,
    STREAM,
    Make,
    body_of,
    chat,
    post,
    raw,
    take_request,
)

from understudy.actors.models.lent_answer import AnswerBody
from understudy.actors.models.resolver import Resolver
from understudy.actors.models.transport import LeasedTransport
from understudy.testing.provider_server import Blackhole, ProviderServer

pytestmark = pytest.mark.anyio


async def test_answers_are_httpx_responses(
    transport: LeasedTransport, server: ProviderServer
) -> None:
    """Status, headers and body, read the way httpx reads."""
    response = await transport.handle_async_request(chat(server))
    assert response.status_code == 200
    assert response.headers["x-request-id"] == "req_1"
    assert response.extensions["http_version"] == b"HTTP/1.1"
    await response.aread()
    assert response.json()["choices"][0]["message"]["content"] == "echo: one two three"


async def test_a_connection_is_used_again_after_its_body(
    transport: LeasedTransport, server: ProviderServer
) -> None:
    """One after the other needs one connection, whether whole or streamed."""
    for body in (CHAT, STREAM, CHAT):
        await body_of(await transport.handle_async_request(chat(server, body)))
    assert server.connections.total == 1
    assert (transport.stats.idle, transport.stats.lent) == (1, 0)


async def test_a_connection_is_lent_until_the_body_is_read(
    transport: LeasedTransport, server: ProviderServer
) -> None:
    """The head alone frees nothing: a second request opens a second connection."""
    first = await transport.handle_async_request(chat(server))
    await body_of(await transport.handle_async_request(chat(server)))
    assert server.connections.total == 2
    await body_of(first)
    assert transport.stats.idle == 2


async def test_no_more_connections_than_the_bound(make: Make, server: ProviderServer) -> None:
    """A hundred requests over four connections are all answered, and nothing else is opened."""
    async with make(max_connections=4) as transport:

        async def ask() -> bytes:
            return await body_of(await transport.handle_async_request(chat(server)))

        answers = await asyncio.gather(*(ask() for _ in range(100)))
        assert len(answers) == 100
        assert server.connections.total == 4


async def test_a_pool_timeout_names_itself(make: Make, server: ProviderServer) -> None:
    """Waiting for a place may be bounded."""
    async with make(max_connections=1) as transport:
        held = await transport.handle_async_request(chat(server))
        with pytest.raises(httpx.PoolTimeout, match="1 connections"):
            await transport.handle_async_request(chat(server, pool=0.001))
        await held.aclose()


async def test_origins_do_not_share_places(make: Make, server: ProviderServer) -> None:
    """A full origin does not keep another one waiting."""
    async with ProviderServer() as other, make(max_connections=1) as transport:
        held = await transport.handle_async_request(chat(server))
        await body_of(await transport.handle_async_request(chat(other)))
        await held.aclose()


async def test_the_end_of_a_body_is_said_again(
    transport: LeasedTransport, server: ProviderServer
) -> None:
    """To whoever asks again; a body that was closed before its end is none."""
    response = await transport.handle_async_request(chat(server))
    assert await body_of(response)
    assert await body_of(response) == b""
    response = await transport.handle_async_request(chat(server, STREAM))
    await response.aclose()
    with pytest.raises(httpx.StreamClosed):
        await body_of(response)


async def test_closing_early_closes_the_socket(transport: LeasedTransport) -> None:
    """What is left unread ends at the server: it sees the client go and stops generating."""
    async with ProviderServer(lambda _: "word " * 1000, tokens_per_second=100) as server:
        response = await transport.handle_async_request(chat(server, STREAM))
        assert isinstance(response.stream, httpx.AsyncByteStream)
        await anext(aiter(response.stream))
        await response.aclose()
        await server.auntil(lambda seen: seen.requests[0].outcome == "disconnected")
        await server.auntil(lambda seen: seen.connections.open == 0)
        with pytest.raises(httpx.StreamClosed):
            await anext(aiter(response.stream))


@pytest.mark.parametrize("where", ["head", "body"])
async def test_a_cancel_closes_the_socket(transport: LeasedTransport, where: str) -> None:
    """Cancelled while waiting for the head or inside the body: no socket and no lease is left."""
    faults = [Blackhole()] if where == "head" else []
    async with ProviderServer(
        lambda _: "word " * 1000, tokens_per_second=100, faults=faults
    ) as server:

        async def ask() -> None:
            await body_of(await transport.handle_async_request(chat(server, STREAM)))

        task = asyncio.create_task(ask())
        await server.auntil(lambda seen: bool(seen.requests))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert transport.stats.lent == 0
        await server.auntil(lambda seen: seen.connections.open == 0)
        assert server.requests[0].outcome == "disconnected"


async def test_a_stream_left_early_leaves_no_generator_behind(transport: LeasedTransport) -> None:
    """Nothing is finished later by the collector, on whatever loop it finds."""
    collected: list[object] = []
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(finalizer=collected.append)
    try:
        async with ProviderServer(lambda _: "word " * 1000, tokens_per_second=100) as server:
            response = await transport.handle_async_request(chat(server, STREAM))
            assert isinstance(response.stream, httpx.AsyncByteStream)
            await anext(aiter(response.stream))
            await response.aclose()
            del response
            gc.collect()
    finally:
        sys.set_asyncgen_hooks(*hooks)
    assert collected == []


async def test_idle_connections_expire(make: Make, server: ProviderServer) -> None:
    """The server sees them go although nobody asks for anything."""
    async with make(idle_expiry=0.001) as transport:
        await body_of(await transport.handle_async_request(chat(server)))
        await server.auntil(lambda seen: seen.connections.open == 0)
        assert transport.stats.idle == 0


async def test_connection_close_is_obeyed(transport: LeasedTransport) -> None:
    """A server that says it will close is not asked again on that connection."""
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await take_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok")
        await reader.read()

    async with raw(serve) as url:
        for _ in range(2):
            await body_of(await transport.handle_async_request(post(url)))
    assert connections == 2


async def test_a_large_body_goes_and_comes(transport: LeasedTransport) -> None:
    """Megabytes in both directions, past every buffer and pause."""
    size = 5_000_000

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received = await take_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(received))
        writer.write(received)
        await writer.drain()
        await reader.read()

    sent = bytes(range(256)) * (size // 256)
    async with raw(serve) as url:
        assert await body_of(await transport.handle_async_request(post(url, sent))) == sent


async def test_a_reader_that_stops_stops_the_server(transport: LeasedTransport) -> None:
    """Unread bytes do not gather here: reading halts, goes on when asked, and loses nothing."""
    sent = bytes(range(256)) * 64 * 1024
    gone = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await take_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(sent))
        writer.write(sent)
        await writer.drain()
        gone.set()
        await reader.read()

    async with raw(serve) as url:
        response = await transport.handle_async_request(post(url))
        assert isinstance(response.stream, AnswerBody)
        connection = response.stream._answer._connection
        assert connection is not None
        for _ in range(1000):
            await asyncio.sleep(0)
        assert connection.held_back
        assert not gone.is_set()
        async with asyncio.timeout(10):
            assert await body_of(response) == sent


async def test_aclose_ends_everything(make: Make) -> None:
    """Lent and waiting: sockets are closed, readers and waiters hear of it; twice is once."""
    async with ProviderServer(lambda _: "word " * 1000, tokens_per_second=100) as server:
        transport = make(max_connections=1)
        lent = await transport.handle_async_request(chat(server, STREAM))
        waiting = asyncio.create_task(transport.handle_async_request(chat(server)))
        await asyncio.sleep(0)
        assert transport.stats.waiting == 1
        await transport.aclose()
        assert (transport.stats.open, transport.stats.waiting) == (0, 0)
        with pytest.raises(httpx.ConnectError, match="closed"):
            await waiting
        with pytest.raises(httpx.TransportError):
            await body_of(lent)
        with pytest.raises(httpx.ConnectError, match="closed"):
            await transport.handle_async_request(chat(server))
        await transport.aclose()
        assert transport.stats.lent == 0


async def test_aclose_while_connecting(make: Make, server: ProviderServer) -> None:
    """A connection that is made after all is closed at once."""
    inside, go = threading.Event(), threading.Event()

    def lookup(host: str, port: int) -> list[str]:
        inside.set()
        go.wait(5)
        return ["127.0.0.1"]

    transport = make(resolver=Resolver(lookup))
    url = f"{server.base_url}/chat/completions".replace("127.0.0.1", "name.test")
    asking = asyncio.create_task(transport.handle_async_request(post(url)))
    await asyncio.sleep(0)
    assert inside.wait(5)
    await transport.aclose()
    go.set()
    with pytest.raises(httpx.TransportError):
        await asking
    await server.auntil(lambda seen: seen.connections.open == 0)
    assert (transport.stats.lent, server.requests) == (0, [])


def test_one_transport_serves_one_loop(make: Make) -> None:
    """Used on a second loop it says so, instead of waiting for the first one's sockets."""
    transport = make()
    with ProviderServer() as server:

        async def ask() -> None:
            await body_of(await transport.handle_async_request(chat(server)))

        async def ask_and_close() -> None:
            await ask()
            await transport.aclose()

        asyncio.run(ask_and_close())
        with pytest.raises(RuntimeError, match="one event loop"):
            asyncio.run(ask())


def test_a_loop_may_end_without_a_word(make: Make) -> None:
    """A loop that is closed over an idle connection leaves no thread and no error behind."""
    with ProviderServer() as server:

        async def ask() -> None:
            transport = make()
            await body_of(await transport.handle_async_request(chat(server)))
            await transport.aclose()

        with warnings.catch_warnings():
            warnings.simplefilter("error")
            asyncio.run(ask(), debug=True)
            gc.collect()


async def test_a_storm_of_cancels_loses_no_place(make: Make, server: ProviderServer) -> None:
    """Hundreds of requests cancelled at every possible point: afterwards all places are free."""
    async with make(max_connections=3) as transport:

        async def ask() -> bytes:
            return await body_of(await transport.handle_async_request(chat(server, STREAM)))

        for ticks in range(60):
            tasks = [asyncio.create_task(ask()) for _ in range(6)]
            for _ in range(ticks):
                await asyncio.sleep(0)
            for task in tasks[::2]:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert all(not task.cancelled() for task in tasks[1::2])
            assert transport.stats.lent == 0
        assert len(await ask()) > 100
        await server.auntil(lambda seen: seen.connections.open <= 3)
