import asyncio
import contextlib
import gc
import socket
import ssl
import sys
import threading
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest

from understudy.actors.models import transport as transport_module
from understudy.actors.models.resolver import Resolver
from understudy.actors.models.transport import LeasedTransport
from understudy.testing.provider_server import Blackhole, ProviderServer, Reset, Status

pytestmark = pytest.mark.anyio

CHAT = b'{"model":"m","messages":[{"role":"user","content":"one two three"}]}'
STREAM = b'{"model":"m","messages":[{"role":"user","content":"one two three"}],"stream":true}'


Make = Callable[..., LeasedTransport]


@pytest.fixture
async def server() -> AsyncIterator[ProviderServer]:
    """A provider on this loop."""
    async with ProviderServer() as running:
        yield running


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def raw(serve: Serve) -> AsyncIterator[str]:
    """A server that does to its connections what `serve` says; gives its URL."""
    writers: list[asyncio.StreamWriter] = []

    async def serve_and_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await serve(reader, writer)
        writer.close()

    running = await asyncio.start_server(serve_and_close, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{running.sockets[0].getsockname()[1]}/"
    finally:
        running.close()
        for writer in writers:
            writer.transport.abort()
        await running.wait_closed()


async def take_request(reader: asyncio.StreamReader) -> bytes:
    """Read one request off a connection; gives its body."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
    return await reader.readexactly(length)


def post(url: str, body: bytes = CHAT, **timeouts: float) -> httpx.Request:
    """A request with these timeouts."""
    return httpx.Request("POST", url, content=body, extensions={"timeout": timeouts})


def chat(server: ProviderServer, body: bytes = CHAT, **timeouts: float) -> httpx.Request:
    """A request for a chat completion."""
    return post(f"{server.base_url}/chat/completions", body, **timeouts)


async def body_of(response: httpx.Response) -> bytes:
    """The body, read through the stream that the transport made."""
    assert isinstance(response.stream, httpx.AsyncByteStream)
    return b"".join([part async for part in response.stream])


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
        assert isinstance(response.stream, transport_module._Body)
        connection = response.stream._answer._connection
        assert connection is not None
        for _ in range(1000):
            await asyncio.sleep(0)
        assert connection.held_back
        assert not gone.is_set()
        async with asyncio.timeout(10):
            assert await body_of(response) == sent


async def test_timeouts(transport: LeasedTransport) -> None:
    """Silence before the head and inside the body are read timeouts."""
    async with ProviderServer(faults=[Blackhole()]) as server:
        with pytest.raises(httpx.ReadTimeout):
            await transport.handle_async_request(chat(server, read=0.005))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await take_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\npart")
        await reader.read()

    async with raw(serve) as url:
        response = await transport.handle_async_request(post(url, read=0.3))
        with pytest.raises(httpx.ReadTimeout):
            await body_of(response)


async def test_a_peer_that_takes_nothing_is_a_write_timeout(transport: LeasedTransport) -> None:
    """A body that does not fit into the buffers waits for `write` seconds and no longer."""
    over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.transport.abort()

    async with raw(serve) as url:
        with pytest.raises(httpx.WriteTimeout):
            await transport.handle_async_request(post(url, b"x" * 64 * 1024 * 1024, write=0.01))
        over.set()


async def test_a_connect_timeout(transport: LeasedTransport) -> None:
    """A listener whose queue is full never completes the handshake."""
    with socket.socket() as listener, contextlib.ExitStack() as stack:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        with pytest.raises(httpx.ConnectTimeout, match=str(port)):
            await transport.handle_async_request(post(f"http://127.0.0.1:{port}/", connect=0.01))


async def test_refused_and_unknown(make: Make) -> None:
    """Nobody listens, or the name does not exist: a connect error that names it."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]

    def lookup(host: str, port: int) -> list[str]:
        raise OSError(-2, "Name or service not known")

    async with make(resolver=Resolver(lookup)) as transport:
        with pytest.raises(httpx.ConnectError, match=str(port)):
            await transport.handle_async_request(post(f"http://127.0.0.1:{port}/"))
        with pytest.raises(httpx.ConnectError, match=r"nowhere\.test"):
            await transport.handle_async_request(post("http://nowhere.test/"))
        assert transport.stats.lent == 0


async def test_the_next_address_is_tried(make: Make, server: ProviderServer) -> None:
    """A name with a dead address first still connects."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.2", 0))
        resolver = Resolver(lambda _host, _port: ["127.0.0.2", "127.0.0.1"])
        async with make(resolver=resolver) as transport:
            url = server.url.replace("127.0.0.1", "name.test")
            response = await transport.handle_async_request(
                post(f"{url}/v1/chat/completions", connect=5)
            )
            assert response.status_code == 200
            await body_of(response)


async def test_tls_that_is_none(make: Make) -> None:
    """An https URL of a server that speaks plain HTTP is a connect error, and leaves no socket."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
        await reader.read()

    context = ssl.create_default_context()
    async with raw(serve) as url, make(ssl_context=context) as transport:
        with pytest.raises(httpx.ConnectError, match=r"(?i)ssl"):
            await transport.handle_async_request(post(url.replace("http:", "https:"), connect=5))
        assert (transport.stats.lent, transport.stats.open) == (0, 0)


async def test_urls_that_are_none(transport: LeasedTransport) -> None:
    """Another scheme or no host is refused before anything is opened."""
    for url in ("ftp://127.0.0.1/", "/v1/chat"):
        with pytest.raises(httpx.UnsupportedProtocol):
            await transport.handle_async_request(post(url))


async def test_what_is_not_http(transport: LeasedTransport) -> None:
    """A server that speaks something else is a protocol error."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.test ESMTP\r\n\r\n")
        await reader.read()

    async with raw(serve) as url:
        with pytest.raises(httpx.RemoteProtocolError):
            await transport.handle_async_request(post(url))


async def test_an_early_refusal_of_a_large_body(transport: LeasedTransport) -> None:
    """A server may answer 413 before it has read the body; the answer is read all the same."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        await writer.drain()
        await reader.read()

    async with raw(serve) as url:
        response = await transport.handle_async_request(post(url, b"x" * 1_000_000))
        assert response.status_code == 413
        await body_of(response)


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


async def test_status_errors_are_answers(transport: LeasedTransport) -> None:
    """The transport judges no status."""
    async with ProviderServer(faults=[Status(status=503)]) as server:
        response = await transport.handle_async_request(chat(server))
        assert response.status_code == 503
        await body_of(response)
        await body_of(await transport.handle_async_request(chat(server)))
        assert server.connections.total == 1


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
