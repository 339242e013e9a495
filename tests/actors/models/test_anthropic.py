"""Anthropic's answers: whole, streamed, with thoughts and calls."""

from typing import Any

import pytest
from tests.actors.models.anthropic_events import USAGE, block, ended, started, text

from understudy.actors.models.anthropic import AnthropicMessages
from understudy.messages.chat import (
    AssistantMessage,
    Thought,
    ToolCall,
    ToolMessage,
    Usage,
    UserMessage,
)

pytestmark = pytest.mark.anyio

PROVIDER = AnthropicMessages


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
