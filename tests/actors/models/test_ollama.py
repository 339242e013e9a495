import logging
from typing import Any

import httpx
import pytest

from understudy.actors.models.ollama import OllamaChat
from understudy.actors.models.provider import ProviderSettings
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
    BadRequestError,
    ConfigError,
    ContextWindowError,
    ServerError,
    StreamBrokenError,
)
from understudy.messages.models import OutputSchema, ToolDeclaration

pytestmark = pytest.mark.anyio

PROVIDER = OllamaChat
DONE = {
    "model": "qwen3",
    "message": {"role": "assistant", "content": ""},
    "done": True,
    "done_reason": "stop",
    "total_duration": 5,
    "prompt_eval_count": 11,
    "eval_count": 3,
}


def line(content: str = "", **fields: Any) -> dict[str, Any]:
    """A line of a stream."""
    message = {"role": "assistant", "content": content, **fields}
    return {"model": "qwen3", "created_at": "2026", "message": message, "done": False}


async def test_a_whole_answer(player: Any) -> None:
    """One line; the server must be told that it is not to stream."""
    player.answers({**DONE, "message": {"role": "assistant", "content": "Paris."}})
    completion = await player.complete()
    assert completion.message == AssistantMessage(content="Paris.")
    assert completion.usage == Usage(input_tokens=11, output_tokens=3)
    assert (completion.model, completion.finish_reason) == ("qwen3", "stop")
    assert str(player.transport.requests[0].url) == "http://localhost:11434/api/chat"
    assert player.sent == {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": False,
    }


@pytest.mark.parametrize("cut", [0, 1, 9])
async def test_a_stream(player: Any, cut: int) -> None:
    """Lines of JSON: thoughts, text, calls that come whole and get an id."""
    calls = [
        {"function": {"name": "f", "arguments": {"x": [1]}}},
        {"function": {"name": "g", "arguments": {}}},
    ]
    player.streams(
        line(thinking="naïve"), line("Let "), line("me"), line(tool_calls=calls), DONE, cut=cut
    )
    before = AssistantMessage(tool_calls=(ToolCall(id="call-0", name="f"),))
    messages = (UserMessage(content="hi"), before)
    said, thought, completion = await player.stream(messages=messages)
    assert (said, thought) == ("Let me", "naïve")
    assert completion.message.tool_calls == (
        ToolCall(id="call-1", name="f", arguments={"x": [1]}),
        ToolCall(id="call-2", name="g"),
    )
    assert completion.message.thoughts == (Thought(text="naïve", provider="ollama"),)
    assert completion.finish_reason == "tool_calls"
    assert player.sent["stream"] is True


@pytest.mark.parametrize("end", [b"", b"\n", b" \r\n"])
async def test_the_last_line(player: Any, end: bytes) -> None:
    """It may lack its end, and empty lines are nothing."""
    player.streams(line("a"), end=b'\n\n{"done":true,"done_reason":"length"}' + end)
    _, _, completion = await player.stream()
    assert completion.finish_reason == "length"
    assert not completion.usage.measured


@pytest.mark.parametrize("end", [b"", b'{"done":'])
async def test_a_stream_that_is_cut(player: Any, end: bytes) -> None:
    """Before `done` it is broken, even inside a line."""
    player.streams(line("half"), end=end)
    error = await player.fails(stream=True)
    assert (type(error), error.partial) == (StreamBrokenError, "half")


async def test_errors(player: Any) -> None:
    """In a body, or in a line under a status of 200."""
    player.streams(line("some"), {"error": "an error was encountered while running the model"})
    error = await player.fails(stream=True)
    assert (type(error), error.partial, error.retryable) == (ServerError, "some", False)
    player.answers({"error": "model 'm' not found"}, status=404)
    assert type(await player.fails()) is BadRequestError
    player.answers({"error": "the input length exceeds the context length"}, status=400)
    assert type(await player.fails()) is ContextWindowError


async def test_every_option(player: Any) -> None:
    """Zeros are values; the options are merged with the caller's."""
    player.answers(DONE)
    await player.complete(
        temperature=0.0,
        max_tokens=5,
        seed=0,
        stop=("x",),
        output=OutputSchema(name="N", schema={"type": "object", "properties": {}}),
        extra={"options": {"top_k": 3}, "keep_alive": -1, "think": True},
    )
    sent = player.sent
    assert sent["options"] == {
        "temperature": 0.0,
        "num_predict": 5,
        "seed": 0,
        "stop": ["x"],
        "top_k": 3,
    }
    assert (sent["keep_alive"], sent["think"]) == (-1, True)
    assert sent["format"]["type"] == "object"


async def test_room_for_a_long_conversation(player: Any) -> None:
    """A prompt that may exceed the default is not cut without a word: room is asked for."""
    for words, context in ((1, None), (20_000, 32_768), (40_000, 65_536)):
        player.answers(DONE)
        await player.complete(messages=(UserMessage(content="word " * words),))
        assert player.sent.get("options", {}).get("num_ctx") == context
    player.answers(DONE)
    long = (UserMessage(content="word " * 20_000),)
    await player.complete(messages=long, extra={"options": {"num_ctx": 8192}})
    assert player.sent["options"]["num_ctx"] == 8192


async def test_tools(player: Any, caplog: pytest.LogCaptureFixture) -> None:
    """In OpenAI's shape; there is no choice but to leave them out."""
    tool = ToolDeclaration(name="f", parameters={"type": "object", "properties": {}}, strict=True)
    with caplog.at_level(logging.WARNING, logger="understudy.models"):
        for choice in ("required", "required", "auto", "none"):
            player.answers(DONE)
            await player.complete(tools=(tool,), tool_choice=choice)
            function = {"name": "f", "parameters": tool.parameters}
            offered = [{"type": "function", "function": function}]
            assert player.sent.get("tools") == (None if choice == "none" else offered)
            assert "tool_choice" not in player.sent
    assert [record.getMessage().split()[1] for record in caplog.records] == ["tool_choice"]


async def test_a_conversation(player: Any) -> None:
    """Calls with decoded arguments, results by name, thoughts with the calls they led to."""
    turn = AssistantMessage(
        tool_calls=(ToolCall(id="c", name="f", arguments={"x": 1}),),
        thoughts=(Thought(text="hm", provider="ollama"), Thought(text="no", provider="gemini")),
    )
    picture = UserMessage(content=(Text(text="see"), Image(data=b"abc")))
    result = ToolMessage(call_id="c", name="f", content="2")
    player.answers(DONE)
    await player.complete(messages=(SystemMessage(content="s"), picture, turn, result))
    assert player.sent["messages"] == [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "see", "images": ["YWJj"]},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": {"x": 1}}}],
            "thinking": "hm",
        },
        {"role": "tool", "content": "2", "tool_name": "f", "tool_call_id": "c"},
    ]


async def test_a_picture_by_address(player: Any) -> None:
    """Ollama fetches none: the error says what to pass."""
    picture = UserMessage(content=(Image(url="https://x.test/a.png"),))
    error = await player.fails(messages=(picture,))
    assert type(error) is BadRequestError
    assert "Image(data=" in error.message


def test_the_address_of_the_other_protocol() -> None:
    """It is a mistake that is found when the provider is made."""
    settings = ProviderSettings(base_url="http://localhost:11434/v1")
    with pytest.raises(ConfigError, match="openai-compatible"):
        OllamaChat(settings, httpx.MockTransport(lambda _: httpx.Response(500)))
