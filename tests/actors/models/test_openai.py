import asyncio
import contextlib
import pickle
import socket
import traceback

import httpx
import msgspec
import pytest

from understudy.actors.models.openai import OpenAIChat
from understudy.actors.models.profiles import COMPATIBLE
from understudy.actors.models.provider import Piece, ProviderSettings, TextPiece, ThoughtPiece
from understudy.actors.models.transport import LeasedTransport
from understudy.messages.chat import (
    AssistantMessage,
    Thought,
    ToolCall,
    ToolMessage,
    Usage,
    UserMessage,
)
from understudy.messages.errors import (
    AuthenticationError,
    BadRequestError,
    ConfigError,
    ConnectError,
    DeadlineExceededError,
    ModelError,
    RateLimitError,
    ResponseError,
    ServerError,
    StreamBrokenError,
)
from understudy.messages.models import Complete, Completion, ToolDeclaration
from understudy.messages.secrets import Secret
from understudy.testing.provider_server import (
    Blackhole,
    Drip,
    Fault,
    Malformed,
    ProviderServer,
    Reset,
    Status,
    StreamFault,
    Truncate,
)

pytestmark = pytest.mark.anyio

KEY = "sk-very-secret-key"
ASK = Complete(model="m", messages=(UserMessage(content="one two three"),))


def chat(
    transport: httpx.AsyncBaseTransport, base_url: str | None, **settings: float
) -> OpenAIChat:
    """OpenAI's dialect at that address, with a key."""
    made = ProviderSettings(base_url=base_url, api_key=Secret(KEY), **settings)  # type: ignore[arg-type]
    return OpenAIChat(made, transport)


async def pieces(
    provider: OpenAIChat, request: Complete = ASK, *, timeout: float = 10
) -> list[Piece]:
    """All that a stream yields."""
    async with contextlib.aclosing(provider.stream(request, timeout=timeout)) as stream:
        return [piece async for piece in stream]


async def failure(provider: OpenAIChat, *, stream: bool = False) -> ModelError:
    """The error of a call that must fail, checked for what every error promises."""
    with pytest.raises(ModelError) as caught:
        await (pieces(provider) if stream else provider.complete(ASK, timeout=10))
    error = caught.value
    assert (error.provider, error.model) == ("openai", "m")
    assert KEY not in "".join(traceback.format_exception(error))
    assert KEY.encode() not in pickle.dumps(error)
    return error


async def test_complete(transport: LeasedTransport) -> None:
    """One answer with its facts, asked for with the key."""
    async with ProviderServer(api_key=KEY) as server:
        completion = await chat(transport, server.base_url).complete(ASK, timeout=10)
        assert completion == Completion(
            message=AssistantMessage(content="echo: one two three"),
            finish_reason="stop",
            usage=Usage(input_tokens=3, output_tokens=4),
            model="m",
            provider="openai",
            request_id="req_1",
        )
        assert server.requests[0].json == {
            "model": "m",
            "messages": [{"role": "user", "content": "one two three"}],
        }


async def test_stream(transport: LeasedTransport) -> None:
    """Pieces as they come, then the same completion; the connection is used again."""
    async with ProviderServer() as server:
        provider = chat(transport, server.base_url)
        for _ in range(2):
            *texts, completion = await pieces(provider)
            assert texts == [TextPiece(text=text) for text in ("echo:", " one", " two", " three")]
            assert isinstance(completion, Completion)
            assert completion.message.content == "echo: one two three"
            assert completion.usage == Usage(input_tokens=3, output_tokens=4)
        assert server.connections.total == 1


async def test_a_stream_is_read_however_it_is_cut(transport: LeasedTransport) -> None:
    """Byte by byte it says the same."""
    async with ProviderServer(lambda _: "naïve café 😀", faults=[Drip(interval=0)]) as server:
        *_, completion = await pieces(chat(transport, server.base_url))
        assert isinstance(completion, Completion)
        assert completion.message.content == "naïve café 😀"
        await server.auntil(lambda seen: seen.requests[0].outcome == "answered")


@pytest.mark.parametrize("stream", [True, False])
async def test_a_conversation_with_tools(transport: LeasedTransport, *, stream: bool) -> None:
    """Calls come back decoded, and their results go out the way the server understands."""
    call = ToolCall(id="c1", name="weather", arguments={"city": "Köln", "days": [1, 2]})
    async with ProviderServer([[call], "sunny"]) as server:
        provider = chat(transport, server.base_url)
        request = ASK
        for turn in range(2):
            if stream:
                completion = (await pieces(provider, request))[-1]
                assert isinstance(completion, Completion)
            else:
                completion = await provider.complete(request, timeout=10)
            if turn:
                assert completion.message.content == "sunny"
                return
            assert completion.finish_reason == "tool_calls"
            assert completion.message.tool_calls == (call,)
            result = ToolMessage(call_id="c1", name="weather", content="sun")
            request = Complete(model="m", messages=(*ASK.messages, completion.message, result))


@pytest.mark.parametrize("stream", [True, False])
async def test_strict_tools(transport: LeasedTransport, *, stream: bool) -> None:
    """They go out in the strict subset, and what it adds is taken out of the call again."""
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city"],
    }
    tool = ToolDeclaration(name="weather", parameters=schema, strict=True)
    call = ToolCall(id="c1", name="weather", arguments={"city": "Köln", "days": None})
    request = msgspec.structs.replace(ASK, tools=(tool,), tool_choice="required")
    async with ProviderServer([[call]]) as server:
        provider = chat(transport, server.base_url)
        if stream:
            completion = (await pieces(provider, request))[-1]
            assert isinstance(completion, Completion)
        else:
            completion = await provider.complete(request, timeout=10)
        assert completion.message.tool_calls[0].arguments == {"city": "Köln"}
        sent = server.requests[0].json
        assert sent["tool_choice"] == "required"
        assert sent["tools"][0]["function"]["strict"] is True
        assert sent["tools"][0]["function"]["parameters"]["required"] == ["city", "days"]


async def test_thoughts(transport: LeasedTransport) -> None:
    """Reasoning comes as pieces of its own."""
    stream = (
        b'data: {"choices":[{"delta":{"reasoning":"hm"}}]}\n\n'
        b'data: {"choices":[{"delta":{"content":"ah"}}]}\n\ndata: [DONE]\n\n'
    )
    async with ProviderServer([Malformed(body=stream, content_type="text/event-stream")]) as server:
        thought, text, whole = await pieces(chat(transport, server.base_url))
        assert (thought, text) == (ThoughtPiece(text="hm"), TextPiece(text="ah"))
        assert isinstance(whole, Completion)
        assert whole.message.thoughts == (Thought(text="hm", provider="openai"),)


async def test_a_server_that_does_not_stream_after_all(transport: LeasedTransport) -> None:
    """It answers with one whole completion: that is one piece."""
    whole = b'{"choices":[{"message":{"content":"all"},"finish_reason":"stop"}]}'
    async with ProviderServer([Malformed(body=whole)]) as server:
        piece, completion = await pieces(chat(transport, server.base_url))
        assert piece == TextPiece(text="all")
        assert isinstance(completion, Completion)


@pytest.mark.parametrize("done", [b"data: [DONE]\n\n", b"data: [DONE]", b""])
async def test_ends_of_a_stream(transport: LeasedTransport, done: bytes) -> None:
    """`[DONE]`, also without its blank line, or a finish reason and the end of the body."""
    body = b'data: {"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}\n\n' + done
    async with ProviderServer([Malformed(body=body, content_type="text/event-stream")]) as server:
        *_, completion = await pieces(chat(transport, server.base_url))
        assert isinstance(completion, Completion)
        assert completion.message.content == "a"


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
async def test_the_deadline(transport: LeasedTransport, *, stream: bool) -> None:
    """It bounds the wait for the head and the whole of a stream, and closes the socket."""
    async with ProviderServer(faults=[Blackhole()]) as server:
        provider = chat(transport, server.base_url)
        call = pieces(provider, timeout=0.01) if stream else provider.complete(ASK, timeout=0.01)
        with pytest.raises(DeadlineExceededError):
            await call
        await server.auntil(lambda seen: seen.connections.open == 0)


async def test_the_deadline_inside_a_stream(transport: LeasedTransport) -> None:
    """A stream that goes on for ever ends in time, with what had come."""
    async with ProviderServer(lambda _: "word " * 1000, tokens_per_second=200) as server:
        with pytest.raises(DeadlineExceededError) as caught:
            await pieces(chat(transport, server.base_url), timeout=0.3)
        assert caught.value.partial.startswith("word word")
        assert server.connections.total == 1


async def test_silence_before_the_head(transport: LeasedTransport) -> None:
    """It is the server's failure, not the deadline's, and may be repeated."""
    async with ProviderServer(faults=[Blackhole()]) as server:
        provider = chat(transport, server.base_url, first_byte_timeout=0.001, connect_timeout=0.3)
        error = await failure(provider)
        assert (type(error), error.retryable) == (ServerError, True)


async def test_silence_inside_a_stream(transport: LeasedTransport) -> None:
    """It breaks the stream."""
    async with ProviderServer(tokens_per_second=0.01) as server:
        error = await failure(chat(transport, server.base_url, idle_timeout=0.05), stream=True)
        assert type(error) is StreamBrokenError
        assert error.partial == "echo:"


@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_that_is_too_large(transport: LeasedTransport, *, stream: bool) -> None:
    """It is refused while it arrives."""
    async with ProviderServer(lambda _: "x" * 100_000) as server:
        provider = chat(transport, server.base_url, max_response_bytes=50_000)
        error = await failure(provider, stream=stream)
        assert type(error) is ResponseError
        assert "50000" in error.message


async def test_leaving_a_stream_stops_the_server(transport: LeasedTransport) -> None:
    """Closing the generator closes the socket."""
    async with ProviderServer(lambda _: "word " * 1000, tokens_per_second=100) as server:
        async with contextlib.aclosing(
            chat(transport, server.base_url).stream(ASK, timeout=10)
        ) as stream:
            await anext(stream)
        await server.auntil(lambda seen: seen.requests[0].outcome == "disconnected")
        await server.auntil(lambda seen: seen.connections.open == 0)


async def test_cancelling_a_call_stops_the_server(transport: LeasedTransport) -> None:
    """The same for a task that is cancelled inside."""
    async with ProviderServer(faults=[Blackhole()]) as server:
        task = asyncio.create_task(chat(transport, server.base_url).complete(ASK, timeout=10))
        await server.auntil(lambda seen: bool(seen.requests))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.auntil(lambda seen: seen.connections.open == 0)


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


def test_settings_that_cannot_work() -> None:
    """No key, no address, no scheme: said when the provider is made."""
    transport = httpx.MockTransport(lambda _: httpx.Response(500))
    with pytest.raises(AuthenticationError, match="OPENAI_API_KEY"):
        OpenAIChat(ProviderSettings(), transport)
    with pytest.raises(ConfigError, match="base_url="):
        OpenAIChat(ProviderSettings(), transport, profile=COMPATIBLE)
    with pytest.raises(ConfigError, match="has no scheme"):
        chat(transport, "localhost:8000/v1")


async def test_compatible_servers_need_no_key(transport: LeasedTransport) -> None:
    """And get no header for one."""
    async with ProviderServer() as server:
        provider = OpenAIChat(
            ProviderSettings(base_url=server.base_url), transport, profile=COMPATIBLE
        )
        completion = await provider.complete(ASK, timeout=10)
        assert completion.provider == provider.name == "openai-compatible"
        assert "authorization" not in server.requests[0].headers
        await provider.aclose()


async def test_a_wrong_key_and_a_wrong_model(transport: LeasedTransport) -> None:
    """What a user meets first."""
    async with ProviderServer(api_key="another") as server:
        assert type(await failure(chat(transport, server.base_url))) is AuthenticationError
    async with ProviderServer(models=["other"]) as server:
        error = await failure(chat(transport, server.base_url))
        assert type(error) is BadRequestError
        assert "model's name" in error.message
