"""Servers that do to a connection what a test says, and requests for them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx

from understudy.actors.models.transport import LeasedTransport
from understudy.testing.provider_server import ProviderServer

CHAT = b'{"model":"m","messages":[{"role":"user","content":"one two three"}]}'
STREAM = b'{"model":"m","messages":[{"role":"user","content":"one two three"}],"stream":true}'


Make = Callable[..., LeasedTransport]


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
