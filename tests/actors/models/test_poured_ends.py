"""How a poured stream ends, and that nothing of it is left."""

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import httpx
import pytest
from tests.actors.models.raw_servers import raw, take_request
from tests.actors.models.scripted_socket import Basin, ScriptedSocket, scripted

from understudy.actors.models.h11_connection import H11Connection
from understudy.actors.models.http1 import Http1Connection
from understudy.actors.models.incoming import Incoming
from understudy.actors.models.openai import OpenAIChat
from understudy.actors.models.patience import Patience, Watch
from understudy.actors.models.profiles import COMPATIBLE
from understudy.actors.models.provider import ProviderSettings, TextPiece
from understudy.actors.models.seam import Outgoing, target_of
from understudy.actors.models.transport import LeasedTransport
from understudy.messages.chat import UserMessage
from understudy.messages.errors import (
    DeadlineExceededError,
    ResponseError,
    RunCancelledError,
    StreamBrokenError,
)
from understudy.messages.models import Complete

pytestmark = pytest.mark.anyio

ASK = Complete(model="m", messages=(UserMessage(content="hi"),))
HEAD = b"HTTP/1.1 200 Fine Words\r\ncontent-type: text/event-stream\r\n\r\n"
TEXT = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
DONE = b"data: [DONE]\n\n"
WHOSE: ContextVar[str] = ContextVar("whose", default="nobody's")


def playing(
    *pieces: bytes, parser: str = "h11", fate: str = "open"
) -> tuple[LeasedTransport, list[Http1Connection]]:
    """A transport each connection of which says this, and its connections."""
    made: list[Http1Connection] = []

    def play(peer: Http1Connection) -> ScriptedSocket:
        made.append(peer)
        return ScriptedSocket(peer, pieces, fate, [0])

    return scripted(parser, play), made


def provider(transport: LeasedTransport) -> OpenAIChat:
    """One without a key."""
    settings = ProviderSettings(base_url="http://127.0.0.1:9/v1")
    return OpenAIChat(settings, transport, profile=COMPATIBLE)


class Silence:
    """An answer without a body, that tells how long it may take."""

    status = 200
    headers = ()

    def __init__(self, patience: Patience) -> None:
        self.limits: list[float] = []
        self.ends = asyncio.Event()
        self._patience = patience

    def at_hand(self) -> None:
        return None

    async def read(self) -> None:
        self.limits.append(self._patience.limit)

    async def pour(self, take: Callable[[bytes], bool]) -> bool:
        """One piece, and then nothing more until `ends`."""
        is_enough = not take(b"x")
        self.limits.append(self._patience.limit)
        if not is_enough:
            await self.ends.wait()
        return not is_enough

    async def aclose(self) -> None:
        pass


def incoming(end: float | None, **set_: Any) -> tuple[Incoming, Silence]:  # Any: settings
    """An answer whose deadline is `end`, with settings."""
    loop = asyncio.get_running_loop()
    patience = Patience(Watch(loop))
    silence = Silence(patience)
    settings, first = ProviderSettings(**set_), loop.time() + 60
    limits: dict[str, Any] = {"where": "x", "first": first, "end": end, "scrub": str}
    return Incoming(silence, settings, patience, loop, **limits), silence


async def test_the_last_text_does_not_wait_for_the_end_of_the_body() -> None:
    """A body that is never ended holds up nothing that it had said."""
    transport, _ = playing(HEAD + TEXT + DONE)
    async with transport:
        stream = provider(transport).stream(ASK)
        assert await anext(stream) == TextPiece(text="a")
        assert transport.stats.lent == 1  # nobody has waited for more
        await stream.aclose()
        assert transport.stats.lent == 0


async def test_the_end_of_a_body_is_waited_for_within_the_deadline() -> None:
    """A second, or what is left."""
    now = asyncio.get_running_loop().time()
    near, silence = incoming(now + 0.5)
    await near.drain()
    assert silence.limits == [now + 0.5]
    far, silence = incoming(now + 50)
    await far.drain()
    assert now < silence.limits[0] < now + 50


async def test_an_error_of_the_sink_is_its_own() -> None:
    """Also one that is a `TimeoutError`: no server was silent."""
    answer, _ = incoming(None)
    mine = DeadlineExceededError("mine")

    def take(_: bytes) -> bool:
        raise mine

    with pytest.raises(DeadlineExceededError) as caught:
        await answer.pour(take)
    assert caught.value is mine


@pytest.mark.parametrize("way", ["complete", "stream", "push"])
async def test_an_assembly_that_cannot_be_made(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection is let go of."""

    def broken(_: object) -> None:
        raise LookupError("a bug of somebody")

    transport, _ = playing(HEAD + TEXT)
    asking = provider(transport)
    monkeypatch.setattr(asking, "assembly", broken)
    async with transport:
        ways: dict[str, Callable[[], Awaitable[object]]] = {
            "complete": lambda: asking.complete(ASK),
            "stream": lambda: anext(asking.stream(ASK)),
            "push": lambda: asking.push(ASK, Basin()),
        }
        with pytest.raises(LookupError):
            await ways[way]()
        assert transport.stats.lent == 0


async def test_nothing_of_a_stream_waits_for_the_garbage_collector() -> None:
    """When it is over, its sink is gone with it."""
    transport, _ = playing(HEAD + TEXT, TEXT, DONE, fate="eof")
    sink = Basin()
    async with transport:
        gc.collect()
        gc.disable()
        try:
            await provider(transport).push(ASK, sink)
            gone = weakref.ref(sink)
            del sink
            assert gone() is None
        finally:
            gc.enable()


@pytest.mark.parametrize("parser", ["h11", "llhttp"])
async def test_words_behind_a_status_that_come_in_pieces(parser: str) -> None:
    """They are put together."""
    if parser == "llhttp":
        pytest.importorskip("httptools", reason="the extra 'fast' is not installed")
    answer = b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 Fine Words\r\ncontent-length: 0\r\n\r\n"
    pieces = [answer[at : at + 1] for at in range(len(answer))]
    transport, _ = playing(*pieces, parser=parser)
    async with transport:
        request = httpx.Request("POST", "http://127.0.0.1:9/")
        response = await transport.handle_async_request(request)
        assert response.reason_phrase == "Fine Words"
        await response.aread()


async def test_unasked_words_while_a_connection_is_handed_over() -> None:
    """Whoever it was on its way to gets another one, and no error that is not its own."""
    transport, made = playing(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
    transport._max_connections = 1
    target = target_of(httpx.URL("http://127.0.0.1:9/"))
    asked = Outgoing(target, [(b"host", b"x"), (b"content-length", b"0")], b"")
    async with transport:
        first = await transport.send(asked, {})
        second = asyncio.create_task(transport.send(asked, {}))
        await asyncio.sleep(0)
        assert transport.stats.waiting == 1
        assert first.at_hand() == b"ok"
        made[0].data_received(b"x")
        assert (await second).at_hand() == b"ok"
        assert len(made) == 2
        assert transport.stats.lent == 0


async def test_a_key_that_is_pressed_in_a_callback() -> None:
    """An interrupt is heard of, also where the task that waits is cancelled in the same turn."""
    connection = H11Connection()
    connection.connection_made(ScriptedSocket(connection, [HEAD], "open", [0]))
    target = target_of(httpx.URL("http://127.0.0.1:9/"))
    await connection.send(Outgoing(target, [(b"host", b"x"), (b"content-length", b"0")], b""), {})

    def interrupted(_: bytes) -> bool:
        raise KeyboardInterrupt

    pouring = connection.pour(interrupted, None)
    pouring.send(None)
    connection.data_received(b"x")
    with pytest.raises(KeyboardInterrupt):
        pouring.throw(asyncio.CancelledError())


@pytest.mark.parametrize("cut", [False, True])
async def test_a_sink_that_is_closed_in_the_middle(*, cut: bool) -> None:
    """Its word ends the call, where a chunk arrives as where it is at hand; the socket is free."""
    pieces = [HEAD, TEXT, TEXT, TEXT] if cut else [HEAD + 3 * TEXT]
    transport, _ = playing(*pieces)
    sink = Basin(size=9, closed_after=2)
    async with transport:
        with pytest.raises(RunCancelledError):
            await provider(transport).push(ASK, sink)
        assert [text for _, text in sink.said] == ["a", "a"]
        assert transport.stats.lent == 0


async def test_whose_context_a_stream_is_taken_in() -> None:
    """That of its call, also on a connection that another call has opened."""
    seen: list[str] = []

    class Looking(Basin):
        def offer(self, text: str) -> bool:
            seen.append(WHOSE.get())
            return super().offer(text)

    body = TEXT + TEXT + DONE
    head = HEAD.replace(b"\r\n\r\n", b"\r\ncontent-length: %d\r\n\r\n" % len(body))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            await take_request(reader)
            for piece in (head, TEXT, TEXT + DONE):
                await asyncio.sleep(0)
                writer.write(piece)
                await writer.drain()
        await reader.read()

    async def ask(transport: LeasedTransport, url: str, whose: str) -> None:
        WHOSE.set(whose)
        settings = ProviderSettings(base_url=url)
        await OpenAIChat(settings, transport, profile=COMPATIBLE).push(ASK, Looking())

    async with raw(serve) as url, LeasedTransport(trust_env=False) as transport:
        for whose in ("mine", "yours"):
            await asyncio.create_task(ask(transport, url, whose))
    assert seen == ["mine", "mine", "yours", "yours"]


async def test_a_piece_does_not_move_the_deadline() -> None:
    """The next silence may last until then, and no longer."""
    now = asyncio.get_running_loop().time()
    answer, silence = incoming(now + 1, idle_timeout=30)
    silence.ends.set()
    assert await answer.pour(lambda _: True)
    assert silence.limits == [now + 1]
    answer, silence = incoming(now + 50, idle_timeout=30)
    silence.ends.set()
    assert await answer.pour(lambda _: True)
    assert now + 30 <= silence.limits[0] < now + 50


async def test_silence_behind_the_first_piece() -> None:
    """The server has begun: a shorter limit holds from then on, in the wait that is under way."""
    answer, _ = incoming(None, idle_timeout=0.01)
    with pytest.raises(StreamBrokenError, match=r"silent for 0\.01 s"):
        async with asyncio.timeout(2):
            await answer.pour(lambda _: True)


async def test_a_poured_answer_is_bounded() -> None:
    """Where it exceeds its bound it is refused, and its socket closed."""
    transport, _ = playing(HEAD + TEXT, TEXT, TEXT)
    settings = ProviderSettings(base_url="http://127.0.0.1:9/v1", max_response_bytes=2 * len(TEXT))
    sink = Basin(9)
    async with transport:
        with pytest.raises(ResponseError, match="max_response_bytes="):
            await OpenAIChat(settings, transport, profile=COMPATIBLE).push(ASK, sink)
        assert len(sink.said) == 2
        assert transport.stats.lent == 0
