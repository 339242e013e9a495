"""A player of recorded answers (a provider, one answer, what came of it), and real transports."""

import contextlib
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import httpx
import msgspec
import pytest

from understudy.actors.models.http_provider import HttpProvider
from understudy.actors.models.provider import Piece, ProviderSettings, TextPiece, ThoughtPiece
from understudy.actors.models.transport import LeasedTransport
from understudy.messages.chat import UserMessage
from understudy.messages.errors import ModelError
from understudy.messages.models import Complete, Completion
from understudy.messages.secrets import Secret
from understudy.testing import ScriptedTransport
from understudy.testing.provider_server import ProviderServer

KEY = "sk-very-secret"
EVENTS = "text/event-stream"
LINES = "application/x-ndjson"

Make = Callable[[ProviderSettings, ScriptedTransport], HttpProvider]


class Pieces(httpx.AsyncByteStream):
    """A body that comes in pieces of some bytes."""

    def __init__(self, body: bytes, size: int) -> None:
        self._body = body
        self._size = size

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._body), self._size):
            yield self._body[start : start + self._size]


class Player:
    """Answers requests of one provider from recordings.

    Attributes:
        transport: what was sent, in `requests`.
    """

    def __init__(self, make: Make) -> None:
        self._answers: list[dict[str, Any]] = []
        self.transport = ScriptedTransport(lambda _: self._answers.pop(0))
        settings = ProviderSettings(api_key=Secret(KEY))
        self.provider = make(settings, self.transport)

    @property
    def sent(self) -> Any:
        """The body of the last request."""
        return msgspec.json.decode(self.transport.requests[-1].content)

    def answers(self, body: Any, *, status: int = 200, kind: str = "", **headers: str) -> None:
        """The next answer: bytes, or what becomes JSON."""
        if not isinstance(body, bytes):
            body = msgspec.json.encode(body)
        head = {"content-type": kind or "application/json"}
        head |= {name.replace("_", "-"): value for name, value in headers.items()}
        self._answers.append({"status": status, "content": body, "headers": head})

    def streams(self, *payloads: Any, cut: int = 0, end: bytes = b"", **headers: str) -> None:
        """The next answer, as events or lines, in pieces of `cut` bytes."""
        encoded = [p if isinstance(p, bytes) else msgspec.json.encode(p) for p in payloads]
        lines = self.provider.framing == "lines"
        frame = b"%s\n" if lines else b"data: %s\n\n"
        body = b"".join(frame % payload for payload in encoded) + end
        head = {"content-type": LINES if lines else EVENTS}
        head |= {name.replace("_", "-"): value for name, value in headers.items()}
        self._answers.append({"stream": Pieces(body, cut or max(1, len(body))), "headers": head})

    async def complete(self, **options: Any) -> Completion:
        """Ask without streaming."""
        return await self.provider.complete(asking(**options), timeout=10)

    async def stream(self, **options: Any) -> tuple[str, str, Completion]:
        """Ask for a stream: its text, its thoughts, its completion."""
        pieces: list[Piece] = []
        async with contextlib.aclosing(
            self.provider.stream(asking(**options), timeout=10)
        ) as stream:
            async for piece in stream:
                pieces.append(piece)  # noqa: PERF401 - what came before an error counts too
        *rest, completion = pieces
        assert isinstance(completion, Completion)
        text = "".join(piece.text for piece in rest if isinstance(piece, TextPiece))
        thought = "".join(piece.text for piece in rest if isinstance(piece, ThoughtPiece))
        return text, thought, completion

    async def fails(self, *, stream: bool = False, **options: Any) -> ModelError:
        """The error of a call that must fail; it knows whose it is, and not the key."""
        with pytest.raises(ModelError) as caught:
            await (self.stream(**options) if stream else self.complete(**options))
        error = caught.value
        assert error.provider == self.provider.name
        assert error.model == options.get("model", "m")
        assert KEY not in str(error)
        return error


def asking(**options: Any) -> Complete:
    """A short question."""
    return Complete(**{"model": "m", "messages": (UserMessage(content="hi"),), **options})


@pytest.fixture
def player(request: pytest.FixtureRequest) -> Player:
    """A player of the provider that the module of the test names as `PROVIDER`."""
    return Player(request.module.PROVIDER)


@pytest.fixture
def play() -> type[Player]:
    """Makes a player of recorded answers for a provider."""
    return Player


@pytest.fixture(params=["h11", "llhttp"])
def make(request: pytest.FixtureRequest) -> Callable[..., LeasedTransport]:
    """Callable[..., LeasedTransport]s transports of one kind; each kind passes every test here."""
    if request.param == "llhttp":
        pytest.importorskip("httptools", reason="the extra 'fast' is not installed")
    return partial(LeasedTransport, parser=request.param, trust_env=False)


@pytest.fixture
async def transport(make: Callable[..., LeasedTransport]) -> AsyncIterator[LeasedTransport]:
    """A transport; at its end no socket and no lease may be left."""
    async with make() as leased:
        yield leased
        assert leased.stats.lent == 0
    assert leased.stats.open == 0


@pytest.fixture
async def server() -> AsyncIterator[ProviderServer]:
    """A provider on this loop."""
    async with ProviderServer() as running:
        yield running
