"""Chat completions: whole and streamed answers, tools, thoughts, settings."""

import httpx
import msgspec
import pytest
from tests.actors.models.openai_chat import ASK, KEY, chat, pieces

from understudy.actors.models.openai import OpenAIChat
from understudy.actors.models.profiles import COMPATIBLE
from understudy.actors.models.provider import ProviderSettings, TextPiece, ThoughtPiece
from understudy.actors.models.transport import LeasedTransport
from understudy.messages.chat import AssistantMessage, Thought, ToolCall, ToolMessage, Usage
from understudy.messages.errors import AuthenticationError, ConfigError
from understudy.messages.models import Complete, Completion, ToolDeclaration
from understudy.testing.provider_server import Drip, Malformed, ProviderServer

pytestmark = pytest.mark.anyio


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
