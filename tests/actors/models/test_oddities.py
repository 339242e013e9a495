"""What real servers were seen to send, besides what the tests of each format have already."""

from collections.abc import Callable
from typing import Any

import pytest

from understudy.actors.models.anthropic import AnthropicMessages
from understudy.actors.models.gemini import GeminiContent
from understudy.actors.models.ollama import OllamaChat
from understudy.actors.models.openai import OpenAIChat
from understudy.actors.models.responses import OpenAIResponses
from understudy.messages.chat import ToolCall, Usage
from understudy.messages.errors import ContextWindowError, ServerError, StreamBrokenError

pytestmark = pytest.mark.anyio

Play = Callable[[Any], Any]
DONE = b"[DONE]"


def delta(finish: str | None = None, **fields: Any) -> dict[str, Any]:
    """A chunk of chat completions."""
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}


async def test_deepseek_keeps_a_connection_alive_with_empty_lines(play: Play) -> None:
    """Before the body of a whole answer, and as comments in a stream."""
    player = play(OpenAIChat)
    player.answers(b"\n\n\n" + b'{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}]}')
    assert (await player.complete()).message.content == "a"
    player.streams(b"\n\n: keep-alive\n", delta(content="a"), delta("stop"), DONE)
    assert (await player.stream())[0] == "a"


async def test_events_without_data(play: Play) -> None:
    """Gateways send `data:` with nothing to keep a stream alive."""
    player = play(OpenAIChat)
    player.streams(b"", delta(content="a"), b"", delta("stop"), DONE)
    assert (await player.stream())[0] == "a"


async def test_a_cut_stream_never_gets_its_usage_chunk(play: Play) -> None:
    """What had come is estimated, and says so."""
    player = play(OpenAIChat)
    player.streams(delta(content="twelve bytes"))
    error = await player.fails(stream=True)
    assert type(error) is StreamBrokenError
    assert error.partial == "twelve bytes"
    assert error.usage == Usage(
        input_tokens=error.usage.input_tokens, output_tokens=3, measured=False
    )


async def test_what_comes_after_the_end_marker_is_nothing(play: Play) -> None:
    """A second marker, or a cost that a proxy adds: the answer is complete."""
    player = play(OpenAIChat)
    player.streams(delta(content="a"), delta("stop"), DONE, DONE, {"cost": 1})
    assert (await player.stream())[0] == "a"


async def test_ollama_says_that_it_has_loaded_a_model(play: Play) -> None:
    """An empty answer with a reason of its own is an end like any other."""
    player = play(OllamaChat)
    player.answers({"model": "m", "message": {"role": "assistant", "content": ""}, "done": True,
                    "done_reason": "load"})  # fmt: skip
    completion = await player.complete()
    assert (completion.message.content, completion.finish_reason) == ("", "stop")


async def test_ollama_calls_two_tools_in_one_line_without_ids(play: Play) -> None:
    """Each gets an id of its own."""
    player = play(OllamaChat)
    calls = [{"function": {"name": "f", "arguments": {"a": number}}} for number in (1, 2)]
    player.streams({"message": {"content": "", "tool_calls": calls}, "done": False},
                   {"message": {"content": ""}, "done": True, "done_reason": "stop"})  # fmt: skip
    *_, completion = await player.stream()
    first, second = completion.message.tool_calls
    assert (first.arguments, second.arguments) == ({"a": 1}, {"a": 2})
    assert first.id != second.id
    assert completion.finish_reason == "tool_calls"


async def test_anthropic_begins_a_block_with_text_and_ends_usage_late(play: Play) -> None:
    """Text in `content_block_start` counts; the last cumulative usage wins."""
    player = play(AnthropicMessages)
    player.streams(
        {"type": "message_start", "message": {"usage": {"input_tokens": 5, "output_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "a"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "b"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 2}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"},
         "usage": {"output_tokens": 3, "cache_read_input_tokens": 4}},
        {"type": "message_stop"},
    )  # fmt: skip
    text, _, completion = await player.stream()
    assert text == completion.message.content == "ab"
    assert completion.usage == Usage(input_tokens=9, output_tokens=3, cached_tokens=4)


async def test_a_proxy_answers_for_anthropic_with_a_page(play: Play) -> None:
    """529 and HTML: the status decides, and the page is in the error."""
    player = play(AnthropicMessages)
    player.answers(b"<html><h1>Overloaded</h1></html>", status=529, kind="text/html")
    error = await player.fails()
    assert (type(error), error.retryable, error.status) == (ServerError, True, 529)
    assert "Overloaded" in error.message


async def test_gemini_ends_with_a_chunk_that_has_only_counts(play: Play) -> None:
    """Without candidates it is no refusal where a finish reason has come."""
    player = play(GeminiContent)
    part = {"content": {"role": "model", "parts": [{"text": "a"}]}, "finishReason": "STOP"}
    counts = {"promptTokenCount": 3, "candidatesTokenCount": 1, "thoughtsTokenCount": 2}
    player.streams({"candidates": [part]}, {"usageMetadata": counts})
    text, _, completion = await player.stream()
    assert (text, completion.usage.input_tokens, completion.usage.output_tokens) == ("a", 3, 3)


async def test_gemini_calls_come_without_ids(play: Play) -> None:
    """Two of the same name can still be told apart."""
    player = play(GeminiContent)
    calls = [{"functionCall": {"name": "f", "args": {"a": number}}} for number in (1, 2)]
    player.answers({"candidates": [{"content": {"parts": calls}, "finishReason": "STOP"}]})
    first, second = (await player.complete()).message.tool_calls
    assert first.id != second.id
    assert isinstance(first, ToolCall)


async def test_responses_events_that_nobody_needs(play: Play) -> None:
    """Queued, in progress, parts, annotations, obfuscation: read over."""
    player = play(OpenAIResponses)
    response = {"id": "r", "status": "in_progress", "output": []}
    message = {"type": "message", "id": "i", "content": [{"type": "output_text", "text": "a"}]}
    player.streams(
        {"type": "response.created", "response": response, "sequence_number": 0},
        {"type": "response.queued", "response": {**response, "status": "queued"}},
        {"type": "response.in_progress", "response": response},
        {"type": "response.content_part.added", "item_id": "i", "part": {"type": "output_text"}},
        {"type": "response.output_text.delta", "item_id": "i", "delta": "a", "obfuscation": "x8"},
        {"type": "response.output_text.annotation.added", "item_id": "i", "annotation": {}},
        {"type": "response.output_item.done", "item": message},
        {"type": "response.completed",
         "response": {"id": "r", "status": "completed", "output": [message]}},
    )  # fmt: skip
    text, _, completion = await player.stream()
    assert text == completion.message.content == "a"


@pytest.mark.parametrize(
    "said",
    [
        "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens.",
        "prompt is too long: 210000 tokens > 200000 maximum",
        "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000",
    ],
)
async def test_a_context_that_is_too_long_inside_a_stream(play: Play, said: str) -> None:
    """Some servers say so only after a status of 200."""
    player = play(OpenAIChat)
    player.streams({"error": {"message": said, "type": "invalid_request_error", "code": 400}})
    error = await player.fails(stream=True)
    assert (type(error), error.retryable) == (ContextWindowError, False)
