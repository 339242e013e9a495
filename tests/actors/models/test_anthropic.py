import logging
from collections.abc import Callable
from typing import Any

import pytest

from understudy.actors.models.anthropic import AnthropicMessages
from understudy.messages.chat import (
    AssistantMessage,
    Image,
    SystemMessage,
    Text,
    Thought,
    ToolCall,
    ToolMessage,
    Usage,
    UserMessage,
)
from understudy.messages.errors import (
    AuthenticationError,
    BadRequestError,
    ContextWindowError,
    ModelError,
    RateLimitError,
    ResponseError,
    ServerError,
    StreamBrokenError,
)
from understudy.messages.limits import Headroom
from understudy.messages.models import OutputSchema, ToolDeclaration

pytestmark = pytest.mark.anyio

OLD, NEW = "claude-sonnet-4-5", "claude-opus-5"
USAGE = {
    "input_tokens": 10,
    "cache_creation_input_tokens": 5,
    "cache_read_input_tokens": 100,
    "output_tokens": 1,
}
WEATHER = ToolDeclaration(
    name="weather",
    description="Current weather",
    parameters={"type": "object", "properties": {"city": {"type": "string"}}},
)


def started(**fields: Any) -> dict[str, Any]:
    """How every stream begins."""
    message = {"id": "msg_1", "model": "claude-x", "content": [], "usage": USAGE, **fields}
    return {"type": "message_start", "message": message}


def block(index: int, start: dict[str, Any], *deltas: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of one block."""
    return [
        {"type": "content_block_start", "index": index, "content_block": start},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def ended(reason: str = "end_turn", **usage: int) -> list[dict[str, Any]]:
    """How every stream ends."""
    usage = usage or {"output_tokens": 7}
    return [
        {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage},
        {"type": "message_stop"},
    ]


def text(said: str, index: int = 0) -> list[dict[str, Any]]:
    """A block of text in one delta."""
    return block(index, {"type": "text", "text": ""}, {"type": "text_delta", "text": said})


@pytest.fixture
def player(play: Callable[[Any], Any]) -> Any:
    """A player of Anthropic's answers."""
    return play(AnthropicMessages)


async def test_a_whole_message(player: Any) -> None:
    """All its facts; what the cache had a part in belongs to the prompt."""
    content = [{"type": "text", "text": "Paris."}]
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-x",
        "content": content,
        "stop_reason": "end_turn",
        "usage": {**USAGE, "output_tokens": 7, "service_tier": "standard"},
    }
    player.answers(message, request_id="req_9")
    completion = await player.complete(max_tokens=100)
    assert completion.message == AssistantMessage(content="Paris.")
    assert completion.usage == Usage(input_tokens=115, output_tokens=7, cached_tokens=100)
    assert (completion.finish_reason, completion.model) == ("stop", "claude-x")
    assert (completion.provider, completion.request_id) == ("anthropic", "req_9")
    request = player.transport.requests[0]
    assert str(request.url) == "https://api.anthropic.com/v1/messages"
    assert request.headers["x-api-key"] == "sk-very-secret"
    assert player.sent == {
        "model": "m",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
    }


@pytest.mark.parametrize("cut", [0, 1, 7])
async def test_a_stream(player: Any, cut: int) -> None:
    """Text, thoughts and calls; pings and unknown events are nothing; usage overwrites."""
    player.streams(
        started(),
        {"type": "ping"},
        *block(
            0,
            {"type": "thinking", "thinking": "", "signature": ""},
            {"type": "thinking_delta", "thinking": "hm, "},
            {"type": "thinking_delta", "thinking": "naïve"},
            {"type": "signature_delta", "signature": "c2ln"},
        ),
        *block(1, {"type": "redacted_thinking", "data": "ZGF0YQ=="}),
        {"type": "shiny_new_event", "index": 9},
        *text("Let me ", 2),
        *block(
            3,
            {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}},
            {"type": "input_json_delta", "partial_json": ""},
            {"type": "input_json_delta", "partial_json": '{"city": "K'},
            {"type": "input_json_delta", "partial_json": 'öln"}'},
        ),
        *ended("tool_use", output_tokens=20),
        cut=cut,
    )
    said, thought, completion = await player.stream()
    assert (said, thought) == ("Let me ", "hm, naïve")
    call = ToolCall(id="toolu_1", name="weather", arguments={"city": "Köln"})
    assert completion.message.tool_calls == (call,)
    assert completion.finish_reason == "tool_calls"
    assert completion.usage == Usage(input_tokens=115, output_tokens=20, cached_tokens=100)
    assert completion.message.thoughts == (
        Thought(text="hm, naïve", provider="anthropic", token="c2ln"),
        Thought(provider="anthropic", token='{"type":"redacted_thinking","data":"ZGF0YQ=="}'),
    )


async def test_thoughts_go_back_verbatim(player: Any) -> None:
    """Signed ones, before the turn they led to; those of others stay here."""
    player.streams(
        started(),
        *block(
            0,
            {"type": "thinking", "thinking": ""},
            {"type": "signature_delta", "signature": "c2ln"},
        ),
        *block(1, {"type": "redacted_thinking", "data": "x"}),
        *block(2, {"type": "tool_use", "id": "t1", "name": "weather", "input": {}}),
        *ended("tool_use"),
    )
    _, _, completion = await player.stream()
    foreign = Thought(text="mine", provider="gemini", token="{}")
    unsigned = Thought(text="mine", provider="anthropic")
    turn = AssistantMessage(
        tool_calls=completion.message.tool_calls,
        thoughts=(*completion.message.thoughts, foreign, unsigned),
    )
    player.streams(started(), *text("ok"), *ended())
    result = ToolMessage(call_id="t1", name="weather", content="sun")
    await player.stream(messages=(UserMessage(content="hi"), turn, result))
    assert player.sent["messages"][1] == {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "", "signature": "c2ln"},
            {"type": "redacted_thinking", "data": "x"},
            {"type": "tool_use", "id": "t1", "name": "weather", "input": {}},
        ],
    }


async def test_a_tool_without_arguments(player: Any) -> None:
    """Its only fragment is empty."""
    start = {"type": "tool_use", "id": "t", "name": "now", "input": {}}
    delta = {"type": "input_json_delta", "partial_json": ""}
    player.streams(started(), *block(0, start, delta), *ended("tool_use"))
    _, _, completion = await player.stream()
    assert completion.message.tool_calls == (ToolCall(id="t", name="now"),)


async def test_the_results_of_a_turn_are_one_message(player: Any) -> None:
    """All of them, before any text; system messages leave the conversation."""
    calls = (ToolCall(id="a", name="f"), ToolCall(id="b", name="g", arguments={"x": 1}))
    player.streams(started(), *text("ok"), *ended())
    await player.stream(
        messages=(
            SystemMessage(content="Be terse."),
            UserMessage(content="go"),
            AssistantMessage(tool_calls=calls),
            UserMessage(content="and"),
            ToolMessage(call_id="a", name="f", content="1"),
            ToolMessage(call_id="b", name="g", content="boom", is_error=True),
            SystemMessage(content="Really."),
        )
    )
    assert player.sent["system"] == "Be terse.\n\nReally."
    assert [turn["role"] for turn in player.sent["messages"]] == ["user", "assistant", "user"]
    assert player.sent["messages"][2]["content"] == [
        {"type": "tool_result", "tool_use_id": "a", "content": "1"},
        {"type": "tool_result", "tool_use_id": "b", "content": "boom", "is_error": True},
        {"type": "text", "text": "and"},
    ]


async def test_tools_and_the_shape_of_the_answer(player: Any) -> None:
    """Anthropic's words for them, merged with what the caller adds to the same object."""
    strict = ToolDeclaration(name="f", parameters={"type": "object", "properties": {}}, strict=True)
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}}
    player.streams(started(), *text('{"n":1}'), *ended())
    await player.stream(
        tools=(WEATHER, strict),
        tool_choice="required",
        output=OutputSchema(name="N", schema=schema),
        stop=("END",),
        extra={"output_config": {"effort": "low"}},
    )
    sent = player.sent
    assert sent["tools"] == [
        {
            "name": "weather",
            "description": "Current weather",
            "input_schema": WEATHER.parameters,
        },
        {
            "name": "f",
            "input_schema": {
                "type": "object",
                "properties": {},
                "required": [],
                "additionalProperties": False,
            },
            "strict": True,
        },
    ]
    assert sent["tool_choice"] == {"type": "any"}
    assert sent["stop_sequences"] == ["END"]
    assert sent["output_config"]["effort"] == "low"
    assert sent["output_config"]["format"]["type"] == "json_schema"
    assert sent["output_config"]["format"]["schema"]["required"] == ["n"]


async def test_pictures(player: Any) -> None:
    """By address or as bytes; empty texts are refused and left out."""
    picture = Image(data=b"abc", media_type="image/jpeg")
    content = (Text(text=""), Image(url="https://x.test/a.png"), picture)
    player.streams(started(), *text("ok"), *ended())
    await player.stream(messages=(UserMessage(content=content),))
    assert player.sent["messages"][0]["content"] == [
        {"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}},
        {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/jpeg", "data": "YWJj"},
        },
    ]


@pytest.mark.parametrize(
    ("model", "version", "sampling"),
    [
        ("claude-3-5-haiku-20241022", "2023-06-01", True),
        ("claude-sonnet-4-20250514", "2023-06-01", True),
        ("claude-opus-4-6", "2023-06-01", True),
        ("claude-opus-4-7", "2026-10-21", False),
        ("claude-opus-5", "2026-10-21", False),
        ("a-model-of-somebody-else", "2023-06-01", True),
    ],
)
async def test_newer_models_refuse_sampling(
    player: Any, model: str, version: str, caplog: pytest.LogCaptureFixture, *, sampling: bool
) -> None:
    """What a model refuses even at its default is not sent, and the log says so once."""
    with caplog.at_level(logging.WARNING, logger="understudy.models"):
        for _ in range(2):
            player.streams(started(), *text("ok"), *ended())
            await player.stream(
                model=model, temperature=0.0, seed=1, extra={"top_p": 1, "top_k": 1}
            )
    assert player.transport.requests[-1].headers["anthropic-version"] == version
    refused = set() if sampling else {"temperature", "top_p", "top_k"}
    assert {"temperature", "top_p", "top_k"} - player.sent.keys() == refused
    if sampling:
        assert player.sent["temperature"] == 0.0
    told = sorted(record.getMessage().split()[1] for record in caplog.records)
    assert told == sorted({"seed", *refused})


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "content_filter"),
        ("something_new", "stop"),
    ],
)
async def test_stop_reasons(player: Any, reason: str, finish: str) -> None:
    """Each is one of ours."""
    player.streams(started(), *text("a"), *ended(reason))
    assert (await player.stream())[2].finish_reason == finish


async def test_long_answers_are_streamed_anyway(player: Any) -> None:
    """Nothing else keeps a connection alive for the minutes they take."""
    player.streams(started(), *text("long"), *ended())
    completion = await player.complete(max_tokens=64_000)
    assert completion.message.content == "long"
    assert player.sent["stream"] is True


async def test_a_bound_that_nobody_set(player: Any) -> None:
    """Anthropic must be told one: what the model takes."""
    for model, bound in (("claude-3-haiku-20240307", 4096), (NEW, 8192)):
        player.streams(started(), *text("a"), *ended())
        await player.stream(model=model)
        assert player.sent["max_tokens"] == bound


@pytest.mark.parametrize("stop", [0, 3, 4, 5])
async def test_a_stream_that_is_cut(player: Any, stop: int) -> None:
    """Before `message_stop` it is broken, whatever had come, with what it cost."""
    events = [started(), *text("half"), *ended()]
    player.streams(*events[:stop])
    error = await player.fails(stream=True)
    assert type(error) is StreamBrokenError
    assert error.partial == ("half" if stop > 2 else "")
    assert error.retryable is (stop <= 2)
    if stop:
        assert error.usage.input_tokens == 115


async def test_half_an_event(player: Any) -> None:
    """It is a broken stream, not a bad answer."""
    player.streams(started(), *text("half"), end=b'data: {"type":"message_de')
    assert type(await player.fails(stream=True)) is StreamBrokenError


@pytest.mark.parametrize(
    ("kind", "leaf", "retryable"),
    [
        ("overloaded_error", ServerError, True),
        ("api_error", ServerError, True),
        ("rate_limit_error", RateLimitError, True),
        ("invalid_request_error", BadRequestError, False),
    ],
)
async def test_errors_inside_a_stream(
    player: Any, kind: str, leaf: type[ModelError], *, retryable: bool
) -> None:
    """The status has said 200; after text was delivered nothing is worth repeating."""
    error = {"type": "error", "error": {"type": kind, "message": "Overloaded"}}
    player.streams(started(), error)
    found = await player.fails(stream=True)
    assert (type(found), found.retryable) == (leaf, retryable)
    player.streams(started(), *text("some"), error)
    found = await player.fails(stream=True)
    assert (type(found), found.retryable, found.partial) == (leaf, False, "some")


@pytest.mark.parametrize(
    ("status", "kind", "said", "leaf", "retryable"),
    [
        (400, "invalid_request_error", "messages: empty", BadRequestError, False),
        (
            400,
            "invalid_request_error",
            "prompt is too long: 210000 tokens > 200000 maximum",
            ContextWindowError,
            False,
        ),
        (
            400,
            "invalid_request_error",
            "input length and `max_tokens` exceed context limit: 9 + 9 > 10",
            ContextWindowError,
            False,
        ),
        (
            400,
            "invalid_request_error",
            "Your credit balance is too low to access the Anthropic API.",
            RateLimitError,
            False,
        ),
        (401, "authentication_error", "invalid x-api-key", AuthenticationError, False),
        (402, "billing_error", "pay", RateLimitError, False),
        (403, "permission_error", "no", AuthenticationError, False),
        (404, "not_found_error", "model: claude-0", BadRequestError, False),
        (413, "request_too_large", "big", BadRequestError, False),
        (429, "rate_limit_error", "slow down", RateLimitError, True),
        (
            429,
            "rate_limit_error",
            "This would exceed your workspace's monthly spend limit",
            RateLimitError,
            False,
        ),
        (500, "api_error", "oops", ServerError, True),
        (504, "timeout_error", "late", ServerError, True),
        (529, "overloaded_error", "Overloaded", ServerError, True),
    ],
)
async def test_refusals(
    player: Any, status: int, kind: str, said: str, leaf: type[ModelError], *, retryable: bool
) -> None:
    """Each status and type is one leaf, with the id of the call."""
    body = {"type": "error", "error": {"type": kind, "message": said}, "request_id": "req_b"}
    player.answers(body, status=status, request_id="req_h")
    error = await player.fails()
    assert (type(error), error.retryable, error.status) == (leaf, retryable, status)
    assert error.request_id == "req_h"


async def test_what_is_left_of_the_limits(player: Any) -> None:
    """From its headers, whose resets are times; an empty bucket says when to come back."""
    date = "Tue, 24 Nov 2026 10:00:00 GMT"
    limits = {
        "date": date,
        "anthropic_ratelimit_requests_limit": "50",
        "anthropic_ratelimit_requests_remaining": "49",
        "anthropic_ratelimit_requests_reset": "2026-11-24T10:00:30Z",
        "anthropic_ratelimit_output_tokens_remaining": "0",
        "anthropic_ratelimit_output_tokens_reset": "2026-11-24T10:00:12Z",
    }
    player.streams(started(), *text("a"), *ended(), **limits)
    _, _, completion = await player.stream()
    assert completion.headroom == (
        Headroom(dimension="requests", remaining=49, reset=30, limit=50),
        Headroom(dimension="output_tokens", remaining=0, reset=12),
    )
    player.answers({"error": {"type": "rate_limit_error"}}, status=429, **limits)
    assert (await player.fails()).retry_after == 12


async def test_what_is_no_message(player: Any) -> None:
    """HTML."""
    player.answers(b"<html>", kind="text/html")
    assert type(await player.fails(stream=True)) is ResponseError
