"""One connection: what it does with bytes, whoever parses them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import httpcore
import httpx
import pytest

from understudy.actors.models.h11_connection import H11Connection
from understudy.actors.models.http1 import HIGH_WATER, Http1Connection
from understudy.actors.models.llhttp import LlhttpConnection
from understudy.actors.models.resolver import Resolver
from understudy.actors.models.seam import Outgoing, target_of
from understudy.actors.models.sockets import Route, connect

pytestmark = pytest.mark.anyio

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
Open = Callable[[], Http1Connection]


class Peer(asyncio.Protocol):
    """Remembers what it gets, piece by piece, and says what it is told."""

    def __init__(self, greeting: bytes = b"", answer: bytes = OK) -> None:
        self.got: list[bytes] = []
        self.transport: asyncio.Transport | None = None
        self._greeting = greeting
        self._answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        if self._greeting:
            transport.write(self._greeting)

    def data_received(self, data: bytes) -> None:
        self.got.append(data)
        if self._answer and self.transport is not None:
            self.transport.write(self._answer)

    def say(self, data: bytes) -> None:
        """Whatever it is, unasked."""
        assert self.transport is not None
        self.transport.write(data)


@pytest.fixture(params=["h11", "llhttp"])
def kind(request: pytest.FixtureRequest) -> Open:
    """Makes connections of each parser."""
    if request.param == "h11":
        return H11Connection
    pytest.importorskip("httptools", reason="the extra 'fast' is not installed")
    return LlhttpConnection


@contextlib.asynccontextmanager
async def connected(kind: Open, peer: Peer) -> AsyncIterator[tuple[Http1Connection, Outgoing]]:
    """A connection to the peer, and a request for it."""
    server = await asyncio.get_running_loop().create_server(lambda: peer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    target = target_of(httpx.URL(f"http://127.0.0.1:{port}/v1"))
    headers = [(b"host", target.url.netloc), (b"content-length", b"4")]
    async with server:
        route = Route("127.0.0.1", port)
        connection = await connect(kind, route, resolver=Resolver(), timeout=5)
        yield connection, Outgoing(target, headers, b"body")
        await connection.abort()
        if peer.transport is not None:
            peer.transport.abort()


async def until(said: Callable[[], object]) -> None:
    """Turn the loop until it is so."""
    for _ in range(100_000):
        if said():
            return
        await asyncio.sleep(0)
    pytest.fail("it never came")


async def test_an_exchange(kind: Open) -> None:
    """Head and body leave in one piece; the answer that came in one is at hand, and then read."""
    peer = Peer()
    async with connected(kind, peer) as (connection, request):
        await connection.send(request, {})
        states = [(connection.reusable, connection.untouched)]
        assert connection.over
        assert connection.take() == b"ok"
        assert connection.take() == b""
        await connection.send(request, {})
        states.append((connection.reusable, connection.untouched))
        assert [piece.count(b"\r\n\r\nbody") for piece in peer.got] == [1, 1]
        assert states == [(True, False), (True, False)]


async def test_a_body_in_two_pieces(kind: Open) -> None:
    """It is over when all has come."""
    peer = Peer(answer=OK[:-1])
    async with connected(kind, peer) as (connection, request):
        await connection.send(request, {})
        found = [(connection.over, connection.take())]
        peer.say(b"k")
        await connection.more(None)
        found.append((connection.over, connection.take()))
        assert found == [(False, b"o"), (True, b"k")]


async def test_who_speaks_before_it_is_asked(kind: Open) -> None:
    """Its words are no answer, and it is asked nothing."""
    peer = Peer(greeting=OK)
    async with connected(kind, peer) as (connection, request):
        await until(lambda: not connection.untouched)
        with pytest.raises(httpcore.RemoteProtocolError, match="before it was asked"):
            await connection.send(request, {})
        assert not connection.untouched
        assert not peer.got


async def test_a_word_between_two_answers(kind: Open) -> None:
    """Whatever comes unasked ends the use of a connection."""
    peer = Peer()
    async with connected(kind, peer) as (connection, request):
        await connection.send(request, {})
        assert connection.take() == b"ok"
        peer.say(b"\r\n")
        await until(lambda: not connection.reusable)


async def test_an_abort_wakes_whoever_waits(kind: Open) -> None:
    """For the head as for the body; twice is once."""
    peer = Peer(answer=b"")
    async with connected(kind, peer) as (connection, request):
        sending = asyncio.create_task(connection.send(request, {}))
        await until(lambda: peer.got)
        connection.abort()
        connection.abort()
        with pytest.raises(httpcore.ReadError, match="closed by this side"):
            await sending
        assert not connection.reusable
        with pytest.raises(httpcore.ReadError, match="closed by this side"):
            await connection.more(None)


async def test_a_socket_that_comes_after_an_abort(kind: Open) -> None:
    """A connect that was cancelled may still succeed: its socket is closed."""

    class Late(asyncio.Transport):
        closed = False

        def abort(self) -> None:
            self.closed = True

    connection, late = kind(), Late()
    connection.abort()
    connection.connection_made(late)
    assert late.closed


async def test_nothing_is_whole_after_an_abort(kind: Open) -> None:
    """Bytes that were waiting are dropped, and whoever reads hears of it."""
    async with connected(kind, Peer()) as (connection, request):
        await connection.send(request, {})
        connection.abort()
        assert not connection.over
        assert connection.take() == b""
        with pytest.raises(httpcore.ReadError, match="closed by this side"):
            await connection.more(None)


async def test_a_body_that_waits_unread_stops_its_peer(kind: Open) -> None:
    """And goes on when it was read."""
    size = 4 * HIGH_WATER
    peer = Peer(answer=b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size + bytes(size))
    async with connected(kind, peer) as (connection, request):
        await connection.send(request, {})
        await until(lambda: connection.held_back)
        got = 0
        while got < size:
            if not (part := connection.take()):
                await connection.more(None)
            got += len(part)
        assert got == size
        assert not connection.held_back


async def test_a_request_that_is_two(kind: Open) -> None:
    """Nothing of it is written, and the caller hears nothing of what the header holds."""
    peer = Peer()
    async with connected(kind, peer) as (connection, request):
        smuggled = [*request.headers, (b"x-a", b"1\r\nx-b: 2")]
        with pytest.raises(httpcore.LocalProtocolError):
            await connection.send(request._replace(headers=smuggled), {})
        assert not peer.got


async def test_a_body_in_memory_that_is_to_go_in_chunks(kind: Open) -> None:
    """It is framed as its header says."""
    peer = Peer()
    async with connected(kind, peer) as (connection, request):
        headers = [request.headers[0], (b"Transfer-Encoding", b"Chunked")]
        await connection.send(request._replace(headers=headers), {})
        assert peer.got[0].endswith(b"\r\n\r\n4\r\nbody\r\n0\r\n\r\n")
