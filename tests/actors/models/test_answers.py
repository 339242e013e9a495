"""Answers as servers really write them: every parser reads the same, and refuses the same."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from understudy.actors.models.transport import LeasedTransport

pytestmark = pytest.mark.anyio

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Script:
    """A server that answers the n-th request of all with the n-th text, and counts."""

    def __init__(self, *answers: bytes, close: bool = False, step: int = 0) -> None:
        self.heads: list[bytes] = []
        self.connections = 0
        self._answers = list(answers)
        self._close = close
        self._step = step

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while self._answers:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
                await reader.readexactly(int(length or 0))
                answer = self._answers.pop(0)
                step = self._step or len(answer) or 1
                for start in range(0, len(answer), step):
                    writer.write(answer[start : start + step])
                    await writer.drain()
                    await asyncio.sleep(0)
                if self._close:
                    break
            else:
                await reader.read()
        writer.close()

    @contextlib.asynccontextmanager
    async def url(self) -> AsyncIterator[str]:
        """Serve; gives the address."""
        writers: list[asyncio.StreamWriter] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.append(writer)
            await self.serve(reader, writer)

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1?a=b"
        finally:
            server.close()
            for writer in writers:
                writer.transport.abort()
            await server.wait_closed()


async def ask(transport: LeasedTransport, url: str, **options: object) -> httpx.Response:
    """One request and its whole answer."""
    request = httpx.Request("POST", url, content=b"{}", **options)  # type: ignore[arg-type]
    response = await transport.handle_async_request(request)
    await response.aread()
    return response


CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: 1\r\nx-a:  2 \r\n\r\n"
    b"3;ext=1\r\none\r\n4\r\n two\r\n0\r\nTrailer: x\r\n\r\n"
)


@pytest.mark.parametrize("step", [0, 1, 7])
@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (OK, b"ok"),
        (CHUNKED, b"one two"),
        (b"HTTP/1.1 100 Continue\r\nx-early: 1\r\n\r\n" + OK, b"ok"),
        (b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + CHUNKED, b"one two"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b""),
        (b"HTTP/1.1 200\r\ncontent-length: 2\r\n\r\nok", b"ok"),
    ],
)
async def test_bodies(transport: LeasedTransport, answer: bytes, body: bytes, step: int) -> None:
    """However it is framed and cut, the body is whole, and the connection is used again."""
    script = Script(answer, OK, step=step)
    async with script.url() as url:
        response = await ask(transport, url)
        assert response.content == body
        assert "x-early" not in response.headers
        assert "link" not in response.headers
        if b"X-A" in answer:
            assert response.headers.get_list("x-a") == ["1", "2"]
            assert "trailer" not in response.headers
        assert (await ask(transport, url)).content == b"ok"
        assert script.connections == 1


@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.0 200 OK\r\ncontent-type: text/plain\r\n\r\n"]
)
async def test_a_body_without_a_length(transport: LeasedTransport, head: bytes) -> None:
    """It ends with its connection, which is not used again."""
    script = Script(head + b"all of it", OK, close=True)
    async with script.url() as url:
        assert (await ask(transport, url)).content == b"all of it"
        assert transport.stats.idle == 0
        assert (await ask(transport, url)).content == b"ok"
        assert script.connections == 2


@pytest.mark.parametrize(
    "head", [b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 200 OK\r\nconnection: close\r\n"]
)
async def test_a_server_that_closes_is_not_asked_again(
    transport: LeasedTransport, head: bytes
) -> None:
    """HTTP/1.0 closes unless it says otherwise, 1.1 when it says so."""
    script = Script(head + b"content-length: 2\r\n\r\nok", OK)
    async with script.url() as url:
        await ask(transport, url)
        await ask(transport, url)
        assert script.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhal",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-le",
        b"",
    ],
)
async def test_what_ends_too_early(transport: LeasedTransport, answer: bytes) -> None:
    """A body that is cut or whose framing is wrong is an error, never a short answer."""
    async with Script(answer, close=True).url() as url:
        with pytest.raises(httpx.RemoteProtocolError):
            await ask(transport, url)


@pytest.mark.parametrize("extra", [b"x", OK])
async def test_more_than_was_asked_for(transport: LeasedTransport, extra: bytes) -> None:
    """Bytes behind an answer are nobody's: it stands, and the next request gets its own."""
    script = Script(OK + extra, b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nown")
    async with script.url() as url:
        assert (await ask(transport, url)).content == b"ok"
        assert (await ask(transport, url)).content == b"own"
        assert script.connections == 2


async def test_a_head_without_end(transport: LeasedTransport) -> None:
    """A head is read up to a bound, and then refused."""
    answer = b"HTTP/1.1 200 OK\r\n" + b"x-filler: " + b"y" * 300_000
    async with Script(answer, OK).url() as url:
        with pytest.raises(httpx.RemoteProtocolError):
            await ask(transport, url)


@pytest.mark.parametrize(
    "headers",
    [
        {"x-key": "a\r\nx-evil: b"},
        {"x-key": "a\nb"},
        {"x-key": "a\0b"},
        {"x key": "a"},
        {"x-key\r\nx-evil": "a"},
    ],
)
async def test_a_header_that_would_be_two(
    transport: LeasedTransport, headers: dict[str, str]
) -> None:
    """What cannot be one line of a head is refused before a byte leaves, and shown to nobody."""
    script = Script(OK)
    async with script.url() as url:
        with pytest.raises(httpx.LocalProtocolError) as caught:
            await ask(transport, url, headers=headers)
        assert "evil" not in str(caught.value)
    assert script.heads == []


async def test_the_request_as_it_is_written(transport: LeasedTransport) -> None:
    """Method, target with its query, host, length and the caller's headers."""
    script = Script(OK)
    async with script.url() as url:
        await ask(
            transport, url, headers=[(b"Authorization", b"Bearer k"), (b"x-name", b"caf\xe9")]
        )
    lines = script.heads[0].split(b"\r\n")
    assert lines[0] == b"POST /v1?a=b HTTP/1.1"
    assert {line.partition(b":")[0].lower() for line in lines[1:-2]} == {
        b"host", b"content-length", b"authorization", b"x-name",
    }  # fmt: skip
    assert b"Authorization: Bearer k" in lines


async def test_a_body_that_is_generated(transport: LeasedTransport) -> None:
    """Without a length it is sent in chunks."""
    got: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        got.set_result(await reader.readuntil(b"0\r\n\r\n"))
        writer.write(OK)
        writer.close()

    async def parts() -> AsyncIterator[bytes]:
        yield b"one"
        yield b""
        yield b" two"

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        response = await transport.handle_async_request(httpx.Request("POST", url, content=parts()))
        await response.aread()
    assert await got == b"3\r\none\r\n4\r\n two\r\n0\r\n\r\n"


async def test_half_a_body_ends_the_use_of_a_connection(transport: LeasedTransport) -> None:
    """A server that answers early and then reads what is on its way waits for the rest: alone."""
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\n")
        with contextlib.suppress(TimeoutError, ConnectionError):
            while await asyncio.wait_for(reader.read(2**20), 0.1):
                pass
        writer.write(b"no")
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        for _ in range(2):
            request = httpx.Request("POST", url, content=b"x" * 64 * 1024 * 1024)
            response = await transport.handle_async_request(request)
            assert await response.aread() == b"no"
        assert connections == 2


async def test_refused_while_it_is_sent(make: Callable[..., LeasedTransport]) -> None:
    """A server that answers and reads no further is heard; half a body is not followed by more."""
    done = asyncio.Event()
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n")
        await done.wait()
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, make() as transport:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        for _ in range(2):
            request = httpx.Request("POST", url, content=b"x" * 64 * 1024 * 1024)
            async with asyncio.timeout(20):
                response = await transport.handle_async_request(request)
                assert response.status_code == 413
                await response.aread()
        assert connections == 2
        assert transport.stats.idle == 0
        done.set()
