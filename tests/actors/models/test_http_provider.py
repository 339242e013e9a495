import contextlib
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from understudy.actors.models.anthropic import AnthropicMessages
from understudy.actors.models.families import Family, rejected
from understudy.actors.models.openai import OpenAIChat
from understudy.actors.models.profiles import NAMED, Profile
from understudy.actors.models.provider import Piece, ProviderSettings, TextPiece
from understudy.messages.chat import AssistantMessage, Thought, ToolCall, UserMessage
from understudy.messages.errors import (
    ModelError,
    RateLimitError,
    ResponseError,
    ServerError,
    StreamBrokenError,
)
from understudy.messages.models import Complete, ToolDeclaration
from understudy.messages.secrets import Secret
from understudy.testing import ScriptedTransport

pytestmark = pytest.mark.anyio

PROVIDER = OpenAIChat
STOP = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
DONE = b"[DONE]"


def delta(**fields: Any) -> dict[str, Any]:
    """A chunk of a chat completion."""
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": None}]}


def profile(name: str) -> Profile:
    """The profile of that name."""
    return next(known for known in NAMED if known.name == name)


async def test_what_came_before_an_error_is_delivered_before_it(player: Any) -> None:
    """Also where both are in one piece of the body."""
    player.streams(delta(content="some"), {"error": {"message": "busy", "code": 503}})
    pieces: list[Piece] = []
    request = Complete(model="m", messages=(UserMessage(content="hi"),))

    async def read() -> None:
        async with contextlib.aclosing(player.provider.stream(request, timeout=10)) as stream:
            async for piece in stream:
                pieces.append(piece)  # noqa: PERF401 - what came before the error

    with pytest.raises(ServerError) as caught:
        await read()
    assert pieces == [TextPiece(text="some")]
    assert (caught.value.partial, caught.value.retryable) == ("some", False)
    assert caught.value.status == 503


async def test_an_interrupted_stream_has_a_price(player: Any) -> None:
    """What it used is known to who pays: counted where the server has counted, else estimated."""
    counted = {**delta(content="b"), "usage": {"prompt_tokens": 5, "completion_tokens": 2}}
    for chunks, measured in ((delta(content="12345678"),), False), ((counted,), True):
        player.streams(*chunks)
        error = await player.fails(stream=True)
        assert type(error) is StreamBrokenError
        assert error.status is None
        assert (error.usage.output_tokens, error.usage.measured) == (2, measured)
    player.streams()
    assert (await player.fails(stream=True)).usage is None


async def test_an_answer_that_is_streamed_though_nobody_asked(player: Any) -> None:
    """Its own content type decides how it is read."""
    player.streams(delta(content="al"), delta(content="l"), STOP, DONE)
    assert (await player.complete()).message.content == "all"
    player.streams(delta(content="half"))
    error = await player.fails()
    assert (type(error), error.partial, error.retryable) == (StreamBrokenError, "half", True)


async def test_a_stream_of_bytes_that_are_no_events(player: Any) -> None:
    """A page under a status of 200 is a bad answer, not a broken stream."""
    player.answers(b"<html>hello</html>", kind="text/html; charset=utf-8")
    assert type(await player.fails(stream=True)) is ResponseError


async def test_openrouter(play: Callable[[Any], Any]) -> None:
    """Comments while it waits, reasoning under its name, errors with a status inside the stream."""
    player = play(lambda s, t: OpenAIChat(s, t, profile=profile("openrouter")))
    comment = b": OPENROUTER PROCESSING\n\n"
    answer = [delta(role="assistant", content="", reasoning="hm"), delta(content="ah"), STOP]
    player.streams(*answer, DONE, end=comment, cut=5)
    text, thought, completion = await player.stream()
    assert (text, thought, completion.provider) == ("ah", "hm", "openrouter")
    assert completion.message.thoughts == (Thought(text="hm", provider="openrouter"),)
    failed = {"error": {"code": 429, "message": "slow"}, **delta(content="")}
    player.streams(failed)
    error = await player.fails(stream=True)
    assert (type(error), error.retryable, error.status) == (RateLimitError, True, 429)


async def test_azure(play: Callable[[Any], Any]) -> None:
    """A first chunk about filters with no model and no delta, later ones without text."""

    def make(settings: ProviderSettings, transport: ScriptedTransport) -> OpenAIChat:
        made = ProviderSettings(base_url="https://r.openai.azure.com", api_key=settings.api_key)
        return OpenAIChat(made, transport, profile=profile("azure"))

    player = play(make)
    first = {"choices": [], "model": "", "prompt_filter_results": [{"prompt_index": 0}]}
    filters = {"choices": [{"index": 0, "delta": None, "finish_reason": None}], "model": ""}
    player.streams(first, {**delta(content="a"), "model": "gpt-4o"}, filters, STOP, DONE)
    text, _, completion = await player.stream()
    assert (text, completion.model) == ("a", "gpt-4o")
    request = player.transport.requests[0]
    assert request.headers["api-key"] == "sk-very-secret"
    assert "authorization" not in request.headers
    player.answers({"error": {"code": "429", "message": "no"}}, status=429, retry_after_ms="1500")
    assert (await player.fails()).retry_after == 1.5


async def test_a_conversation_of_deepseeks(play: Callable[[Any], Any]) -> None:
    """The reasoning that led to a call goes back with it."""
    player = play(lambda s, t: OpenAIChat(s, t, profile=profile("deepseek")))
    part = {"index": 0, "id": "c", "function": {"name": "f", "arguments": ""}}
    player.streams(delta(reasoning_content="hm"), delta(tool_calls=[part]), STOP, DONE)
    _, thought, completion = await player.stream()
    assert thought == "hm"
    assert completion.message == AssistantMessage(
        tool_calls=(ToolCall(id="c", name="f"),),
        thoughts=(Thought(text="hm", provider="deepseek"),),
    )
    player.streams(delta(content="ok"), STOP, DONE)
    await player.stream(messages=(UserMessage(content="hi"), completion.message))
    assert player.sent["messages"][1]["reasoning_content"] == "hm"


@pytest.mark.parametrize("base_url", ["https://proxy.test", "https://proxy.test/v1/"])
async def test_an_address_with_or_without_its_version(base_url: str) -> None:
    """Anthropic's is written both ways."""
    transport = ScriptedTransport([{"json": {"content": [{"type": "text", "text": "a"}]}}])
    settings = ProviderSettings(base_url=base_url, api_key=Secret("k"))
    request = Complete(model="m", messages=(UserMessage(content="hi"),))
    completion = await AnthropicMessages(settings, transport).complete(request, timeout=10)
    assert completion.message.content == "a"
    assert str(transport.requests[0].url) == "https://proxy.test/v1/messages"


async def test_every_error_is_named_once(player: Any) -> None:
    """The call it belongs to is in front, also where somebody else wrote the sentence."""
    player.answers({"choices": []})
    error = await player.fails()
    assert error.message == "openai:m: the answer has no choices"
    assert isinstance(error, ModelError)
    assert error.status == 200


def test_which_fields_a_model_refuses() -> None:
    """By its name; a family without a pattern is every model."""
    some = Family(name="some", rejects=frozenset({"a", "b"}), models="^x")
    every = Family(name="every", rejects=frozenset({"c"}))
    assert rejected((some, every), "x1", ["a", "c", "d"]) == {"a": "some", "c": "every"}
    assert rejected((some, every), "y", ["a", "c", "d"]) == {"c": "every"}


async def test_tool_choice_none_for_a_server_that_knows_no_choice() -> None:
    """No tools are offered: anything else might be called."""
    transport = httpx.MockTransport(lambda _: httpx.Response(500))
    provider = OpenAIChat(ProviderSettings(), transport, profile=profile("ollama-openai"))
    request = Complete(
        model="m",
        messages=(UserMessage(content="hi"),),
        tools=(ToolDeclaration(name="f"),),
        tool_choice="none",
    )
    assert not {"tools", "tool_choice"} & provider.ask(request, stream=False).body.keys()
