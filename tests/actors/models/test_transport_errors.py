"""What breaks, by its name."""

import asyncio
import contextlib
import socket
import ssl

import httpx
import pytest
from tests.actors.models.raw_servers import Make, body_of, chat, post, raw, take_request

from understudy.actors.models.resolver import Resolver
from understudy.actors.models.transport import LeasedTransport
from understudy.testing.provider_server import Blackhole, ProviderServer, Status

pytestmark = pytest.mark.anyio


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


async def test_status_errors_are_answers(transport: LeasedTransport) -> None:
    """The transport judges no status."""
    async with ProviderServer(faults=[Status(status=503)]) as server:
        response = await transport.handle_async_request(chat(server))
        assert response.status_code == 503
        await body_of(response)
        await body_of(await transport.handle_async_request(chat(server)))
        assert server.connections.total == 1
