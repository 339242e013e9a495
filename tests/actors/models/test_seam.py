"""The seam: the short way, and the way of every other transport of httpx."""

from collections.abc import AsyncIterator

import httpx
import pytest

from understudy.actors.models.openai import OpenAIChat
from understudy.actors.models.profiles import COMPATIBLE
from understudy.actors.models.provider import ProviderSettings
from understudy.actors.models.seam import HttpxWire, Outgoing, target_of
from understudy.actors.models.transport import LeasedTransport
from understudy.messages.chat import UserMessage
from understudy.messages.errors import ResponseError
from understudy.messages.models import Complete
from understudy.testing import ProviderServer

pytestmark = pytest.mark.anyio

ASK = Complete(model="m", messages=(UserMessage(content="hi"),))


class Between(LeasedTransport):
    """Somebody's own word between the provider and the transport."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        return await super().handle_async_request(request)


def provider(transport: httpx.AsyncBaseTransport, base_url: str, **settings: int) -> OpenAIChat:
    """One without a key."""
    given = ProviderSettings(base_url=base_url, **settings)  # type: ignore[arg-type]
    return OpenAIChat(given, transport, profile=COMPATIBLE)


@pytest.mark.parametrize("kind", [LeasedTransport, Between])
async def test_both_ways_say_the_same(kind: type[LeasedTransport]) -> None:
    """What is asked and answered does not depend on the way; one that is in between is asked."""
    async with ProviderServer() as server, kind() as transport:
        asking = provider(transport, server.base_url)
        whole = await asking.complete(ASK, timeout=10)
        pieces = [piece async for piece in asking.stream(ASK, timeout=10)]
        assert pieces[-1].message == whole.message  # type: ignore[union-attr]
        assert transport.stats.lent == 0
        if isinstance(transport, Between):
            assert [request.url.path for request in transport.asked] == ["/v1/chat/completions"] * 2


async def test_an_answer_at_hand_is_bounded_too() -> None:
    """One that came in a single piece is measured as one that came in many."""
    async with ProviderServer() as server, LeasedTransport() as transport:
        asking = provider(transport, server.base_url, max_response_bytes=50)
        with pytest.raises(ResponseError, match=r"exceeds 50 bytes.*max_response_bytes="):
            await asking.complete(ASK, timeout=10)
        assert transport.stats.lent == 0


def test_an_address_taken_apart() -> None:
    """Origin, host and path, as sockets and request lines want them."""
    target = target_of(httpx.URL("https://bücher.example/a%20b?c=d"))
    assert target.origin == ("https", "bücher.example", 443)
    assert (target.host, target.path) == ("xn--bcher-kva.example", b"/a%20b?c=d")
    assert target.whole == b"https://xn--bcher-kva.example/a%20b?c=d"


async def test_a_body_of_httpx_that_is_left() -> None:
    """The generator that reads it ends then and there; a piece of nothing is none."""
    told: list[str] = []

    class Body(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            try:
                for part in (b"", b"one", b"two"):
                    yield part
            finally:
                told.append("ended")

        async def aclose(self) -> None:
            told.append("closed")

    wire = HttpxWire(httpx.MockTransport(lambda _: httpx.Response(200, stream=Body())))
    target = target_of(httpx.URL("http://127.0.0.1:9/"))
    answer = await wire.send(Outgoing(target, (), b""), {})
    taken: list[bytes] = []

    def take(part: bytes) -> bool:
        taken.append(part)
        return False

    assert not await answer.pour(take)
    assert taken == [b"one"]
    await answer.aclose()
    assert told == ["ended", "closed"]
