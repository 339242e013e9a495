"""Five limits in time, each over real sockets, each with its own error."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from understudy.actors.models.openai import OpenAIChat
from understudy.actors.models.provider import ProviderSettings, TextPiece
from understudy.actors.models.transport import LeasedTransport
from understudy.messages.chat import UserMessage
from understudy.messages.errors import (
    ConnectError,
    DeadlineExceededError,
    ServerError,
    StreamBrokenError,
)
from understudy.messages.models import Complete
from understudy.messages.secrets import Secret

pytestmark = pytest.mark.anyio

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
SHORT = 0.05
LONG = 60.0
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def event(text: str) -> bytes:
    """A token, as a chunk."""
    data = b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n' % text.encode()
    return b"%x\r\n%b\r\n" % (len(data), data)


@contextlib.asynccontextmanager
async def served(talk: Talk) -> AsyncIterator[str]:
    """A server that reads a head, does what `talk` says and then keeps still; gives its URL."""
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            await talk(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=2**10)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await server.wait_closed()


async def ask(
    transport: LeasedTransport, url: str, said: str = "hi", timeout: float = LONG, **limits: float
) -> str:
    """A stream's text; all limits are long but those that are given."""
    names = ("connect_timeout", "write_timeout", "first_byte_timeout", "idle_timeout")
    long = dict.fromkeys(names, LONG)
    settings = ProviderSettings(base_url=url, api_key=Secret("sk-secret"), **(long | limits))  # type: ignore[arg-type]
    request = Complete(model="m", messages=(UserMessage(content=said),))
    text = ""
    provider = OpenAIChat(settings, transport)
    async with contextlib.aclosing(provider.stream(request, timeout=timeout)) as stream:
        async for piece in stream:
            text += piece.text if isinstance(piece, TextPiece) else ""
    return text


async def test_connect(transport: LeasedTransport) -> None:
    """A listener whose queue is full is a connect error, long before the first byte is due."""
    with socket.socket() as listener, contextlib.ExitStack() as stack:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        with pytest.raises(ConnectError, match=rf"no connection.*{port}") as caught:
            await ask(transport, f"http://127.0.0.1:{port}/v1", connect_timeout=SHORT)
    assert caught.value.retryable


async def test_write(transport: LeasedTransport) -> None:
    """A server that takes nothing of a large request is given up, and may be asked again."""
    still = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await still.wait()

    async with served(talk) as url:
        with pytest.raises(ServerError, match="took nothing") as caught:
            await ask(transport, url, "x" * 64 * 1024 * 1024, write_timeout=SHORT)
    assert caught.value.retryable


async def test_first_event_before_the_head(transport: LeasedTransport) -> None:
    """No head in time is the server's failure."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with served(talk) as url:
        with pytest.raises(ServerError, match="no answer within"):
            await ask(transport, url, connect_timeout=SHORT, first_byte_timeout=SHORT)


async def test_first_event_behind_the_head(transport: LeasedTransport) -> None:
    """A head that comes at once does not end the patience for the first token, nor keep it long."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD)
        await asyncio.sleep(3 * SHORT)
        writer.write(event("late") + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
        await reader.read()

    async with served(talk) as url:
        assert await ask(transport, url, idle_timeout=SHORT) == "late"

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD)
        await reader.read()

    async with served(silent) as url:
        with pytest.raises(StreamBrokenError, match="silent for"):
            await ask(
                transport, url, connect_timeout=SHORT, first_byte_timeout=SHORT, idle_timeout=SHORT
            )


async def test_idle(transport: LeasedTransport) -> None:
    """Silence between tokens breaks the stream; tokens that keep coming do not, however long."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD)
        for _ in range(8):
            writer.write(event("x"))
            await asyncio.sleep(SHORT)
        await reader.read()

    async with served(talk) as url:
        with pytest.raises(StreamBrokenError, match=r"silent for 0\.2 s") as caught:
            await ask(transport, url, idle_timeout=4 * SHORT)
    assert caught.value.partial == "x" * 8


async def test_total(transport: LeasedTransport) -> None:
    """The deadline ends a stream whose tokens keep coming, and says so; what came is there."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD)
        while True:
            writer.write(event("x"))
            await writer.drain()
            await asyncio.sleep(SHORT / 5)

    async with served(talk) as url:
        with pytest.raises(DeadlineExceededError) as caught:
            await ask(transport, url, timeout=4 * SHORT)
    assert caught.value.partial.startswith("xx")
