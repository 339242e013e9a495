"""Chat completions that fail: what the error is, and that it tells no secret."""

import socket

import httpx
import pytest
from tests.actors.models.openai_chat import ASK, KEY, chat, failure

from understudy.actors.models.transport import LeasedTransport
from understudy.messages.errors import (
    AuthenticationError,
    BadRequestError,
    ConnectError,
    ModelError,
    RateLimitError,
    ResponseError,
    ServerError,
    StreamBrokenError,
)
from understudy.testing.provider_server import (
    Fault,
    Malformed,
    ProviderServer,
    Reset,
    Status,
    StreamFault,
    Truncate,
)

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("cut", [0, 10, 60, 67])
async def test_a_stream_that_is_cut(transport: LeasedTransport, cut: int) -> None:
    """Before its end, even inside an event, it is broken, never short."""
    body = b'data: {"choices":[{"delta":{"content":"first"}}]}\n\ndata: {"choices"'[:cut]
    async with ProviderServer([Malformed(body=body, content_type="text/event-stream")]) as server:
        error = await failure(chat(transport, server.base_url), stream=True)
        assert type(error) is StreamBrokenError
        assert error.partial == ("first" if cut > 50 else "")
        assert error.retryable is (cut < 50)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("fault", "kind", "facts"),
    [
        (Status(status=429, retry_after=2.5), RateLimitError, (True, 429, 2.5)),
        (
            Status(status=429, code="insufficient_quota", retry_after=1),
            RateLimitError,
            (False, 429, 1.0),
        ),
        (Status(status=503), ServerError, (True, 503, None)),
        (Status(status=529), ServerError, (True, 529, None)),
        (Status(status=401, message=f"bad key {KEY}"), AuthenticationError, (False, 401, None)),
        (Status(status=404), BadRequestError, (False, 404, None)),
        (Status(status=302), ResponseError, (False, 302, None)),
        (Reset(), ConnectError, (True, None, None)),
        (Malformed(), ResponseError, (False, 200, None)),
        (
            Malformed(body=b"<html>hello " + KEY.encode(), content_type="text/html"),
            ResponseError,
            (False, 200, None),
        ),
        (Malformed(body=b'{"choices":"\xff"}'), ResponseError, (False, 200, None)),
        (
            Malformed(body=b'{"error":{"message":"busy","code":502}}'),
            ServerError,
            (True, 502, None),
        ),
    ],
)
async def test_faults_before_an_answer(
    transport: LeasedTransport,
    fault: Fault,
    kind: type[ModelError],
    facts: tuple[bool, int | None, float | None],
    *,
    stream: bool,
) -> None:
    """Each is one leaf with its facts, whether whole or streamed, and without the key."""
    async with ProviderServer([fault]) as server:
        error = await failure(chat(transport, server.base_url), stream=stream)
        assert type(error) is kind
        assert (error.retryable, error.status, error.retry_after) == facts
        assert error.request_id == (None if isinstance(fault, Reset) else "req_1")


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Reset(after=2), StreamBrokenError),
        (Truncate(after=2), StreamBrokenError),
        (StreamFault(after=2), ServerError),
        (StreamFault(after=2, code=429), RateLimitError),
    ],
)
async def test_faults_inside_a_stream(
    transport: LeasedTransport, fault: Fault, kind: type[ModelError]
) -> None:
    """What had come is `partial`, and after delivery nothing is worth repeating."""
    async with ProviderServer(faults=[fault]) as server:
        error = await failure(chat(transport, server.base_url), stream=True)
        assert type(error) is kind
        assert error.partial == "echo: one"
        assert not error.retryable


async def test_a_stream_fault_before_any_text_may_be_repeated(transport: LeasedTransport) -> None:
    """Nothing was delivered yet."""
    async with ProviderServer(faults=[StreamFault(after=0)]) as server:
        assert (await failure(chat(transport, server.base_url), stream=True)).retryable


@pytest.mark.parametrize("fault", [Reset(after=0), Truncate()])
async def test_a_whole_answer_that_is_cut(transport: LeasedTransport, fault: Fault) -> None:
    """Half a body is a broken stream too."""
    async with ProviderServer(faults=[fault]) as server:
        error = await failure(chat(transport, server.base_url))
        assert (type(error), error.retryable) == (StreamBrokenError, True)


@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_that_is_too_large(transport: LeasedTransport, *, stream: bool) -> None:
    """It is refused while it arrives."""
    async with ProviderServer(lambda _: "x" * 100_000) as server:
        provider = chat(transport, server.base_url, max_response_bytes=50_000)
        error = await failure(provider, stream=stream)
        assert type(error) is ResponseError
        assert "50000" in error.message


async def test_nobody_listens(transport: LeasedTransport) -> None:
    """The address is named."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    error = await failure(chat(transport, f"http://127.0.0.1:{port}/v1"))
    assert (type(error), error.retryable) == (ConnectError, True)
    assert str(port) in error.message


@pytest.mark.parametrize(
    ("raised", "kind", "retryable"),
    [
        (httpx.ProxyError("407 refused"), ConnectError, False),
        (httpx.LocalProtocolError(f"bad header {KEY}"), BadRequestError, False),
        (httpx.RemoteProtocolError("illegal status line"), ResponseError, False),
        (httpx.ReadTimeout("silence"), ServerError, True),
        (httpx.ConnectTimeout("late"), ConnectError, True),
    ],
)
async def test_errors_of_any_transport(
    raised: httpx.TransportError, kind: type[ModelError], *, retryable: bool
) -> None:
    """Whatever stands behind the seam, its errors are ours."""

    def handle(request: httpx.Request) -> httpx.Response:
        raise raised

    with pytest.raises(kind) as caught:
        await chat(httpx.MockTransport(handle), "http://test/v1").complete(ASK, timeout=10)
    assert type(caught.value) is kind
    assert caught.value.retryable is retryable
    assert KEY not in str(caught.value)


async def test_an_encoding_that_nobody_asked_for() -> None:
    """Compressed bytes are not taken for JSON."""
    transport = httpx.MockTransport(
        lambda _: httpx.Response(200, headers={"content-encoding": "br"}, content=b"")
    )
    with pytest.raises(ResponseError, match="br"):
        await chat(transport, "http://test/v1").complete(ASK, timeout=10)


async def test_a_wrong_key_and_a_wrong_model(transport: LeasedTransport) -> None:
    """What a user meets first."""
    async with ProviderServer(api_key="another") as server:
        assert type(await failure(chat(transport, server.base_url))) is AuthenticationError
    async with ProviderServer(models=["other"]) as server:
        error = await failure(chat(transport, server.base_url))
        assert type(error) is BadRequestError
        assert "model's name" in error.message
