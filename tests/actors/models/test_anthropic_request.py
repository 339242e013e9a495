"""What is sent to Anthropic: turns, tools, pictures, sampling, bounds."""

import logging
from typing import Any

import pytest
from tests.actors.models.anthropic_events import ended, started, text

from understudy.actors.models.anthropic import AnthropicMessages
from understudy.messages.chat import (
    AssistantMessage,
    Image,
    SystemMessage,
    Text,
    ToolCall,
    ToolMessage,
    UserMessage,
)
from understudy.messages.models import OutputSchema, ToolDeclaration

pytestmark = pytest.mark.anyio

PROVIDER = AnthropicMessages
OLD, NEW = "claude-sonnet-4-5", "claude-opus-5"
WEATHER = ToolDeclaration(
    name="weather",
    description="Current weather",
    parameters={"type": "object", "properties": {"city": {"type": "string"}}},
)


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


async def test_a_bound_that_nobody_set(player: Any) -> None:
    """Anthropic must be told one: what the model takes."""
    for model, bound in (("claude-3-haiku-20240307", 4096), (NEW, 8192)):
        player.streams(started(), *text("a"), *ended())
        await player.stream(model=model)
        assert player.sent["max_tokens"] == bound
