import logging
from typing import Any

import msgspec
import pytest

from understudy.actors.models.responses import OpenAIResponses
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
    ContextWindowError,
    ModelError,
    RateLimitError,
    ResponseError,
    ServerError,
    StreamBrokenError,
)
from understudy.messages.models import OutputSchema, ToolDeclaration

pytestmark = pytest.mark.anyio

PROVIDER = OpenAIResponses
USAGE = {
    "input_tokens": 10,
    "input_tokens_details": {"cached_tokens": 4},
    "output_tokens": 7,
    "output_tokens_details": {"reasoning_tokens": 5},
    "total_tokens": 17,
}
REASONING = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [{"type": "summary_text", "text": "naïve"}],
    "encrypted_content": "gAAA",
    "status": None,
}
CALL = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "call_1",
    "name": "weather",
    "arguments": '{"city":"Köln"}',
    "status": "completed",
}


def said(text: str) -> dict[str, Any]:
    """A message of the answer."""
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"type": "message", "id": "msg_1", "role": "assistant", "content": content}


def response(*output: dict[str, Any], status: str = "completed", **fields: Any) -> dict[str, Any]:
    """A whole response."""
    made = {"id": "resp_1", "object": "response", "model": "gpt-x", "status": status}
    return {**made, "output": output, "usage": USAGE, "error": None, **fields}


def event(kind: str, **fields: Any) -> dict[str, Any]:
    """An event of a stream."""
    return {"type": f"response.{kind}", "sequence_number": 1, **fields}


def delta(text: str, kind: str = "output_text", item: str = "msg_1") -> dict[str, Any]:
    """A fragment."""
    return event(f"{kind}.delta", item_id=item, output_index=0, content_index=0, delta=text)


def done(item: dict[str, Any]) -> dict[str, Any]:
    """An item that is complete."""
    return event("output_item.done", item=item, output_index=0)


async def test_a_whole_response(player: Any) -> None:
    """All its facts; nothing is stored."""
    player.answers(response(REASONING, said("Paris.")), x_request_id="req_1")
    completion = await player.complete(max_tokens=9)
    assert completion.message.content == "Paris."
    assert completion.usage == Usage(
        input_tokens=10, output_tokens=7, cached_tokens=4, reasoning_tokens=5
    )
    assert (completion.model, completion.finish_reason) == ("gpt-x", "stop")
    assert (completion.provider, completion.request_id) == ("openai-responses", "req_1")
    assert str(player.transport.requests[0].url) == "https://api.openai.com/v1/responses"
    assert player.sent == {
        "model": "m",
        "input": [{"role": "user", "content": "hi"}],
        "store": False,
        "max_output_tokens": 9,
    }


@pytest.mark.parametrize("cut", [0, 1, 9])
async def test_a_stream(player: Any, cut: int) -> None:
    """Text and reasoning by their deltas, calls when they are whole; no `[DONE]`."""
    player.streams(
        event("created", response=response(status="in_progress", usage=None)),
        event("in_progress"),
        event("output_item.added", item={"type": "reasoning", "id": "rs_1", "summary": []}),
        delta("naïve", "reasoning_summary_text", "rs_1"),
        done(REASONING),
        delta("Let "),
        delta("me"),
        event("output_text.done", text="Let me"),
        done(said("Let me")),
        delta('{"ci', "function_call_arguments", "fc_1"),
        event("function_call_arguments.done", arguments=CALL["arguments"]),
        done(CALL),
        event("completed", response=response(REASONING, said("Let me"), CALL)),
        cut=cut,
    )
    text, thought, completion = await player.stream()
    assert (text, thought) == ("Let me", "naïve")
    call = ToolCall(id="call_1", name="weather", arguments={"city": "Köln"})
    assert completion.message.tool_calls == (call,)
    assert completion.finish_reason == "tool_calls"
    (kept,) = completion.message.thoughts
    assert (kept.text, kept.provider) == ("naïve", "openai-responses")
    assert msgspec.json.decode(kept.token) == REASONING
    assert completion.usage.reasoning_tokens == 5


async def test_reasoning_goes_back_verbatim(player: Any) -> None:
    """Before what it led to; without its encrypted content it is a dead reference."""
    player.answers(response(REASONING, CALL))
    completion = await player.complete()
    lost = Thought(text="x", provider="openai-responses")
    foreign = Thought(text="x", provider="anthropic", token="s")
    turn = msgspec.structs.replace(
        completion.message,
        content="Hm.",
        thoughts=(*completion.message.thoughts, lost, foreign),
    )
    player.answers(response(said("ok")))
    result = ToolMessage(call_id="call_1", name="weather", content="sun")
    await player.complete(
        messages=(SystemMessage(content="s"), UserMessage(content="hi"), turn, result)
    )
    assert player.sent["instructions"] == "s"
    arguments = {"call_id": "call_1", "name": "weather", "arguments": '{"city":"Köln"}'}
    assert player.sent["input"] == [
        {"role": "user", "content": "hi"},
        REASONING,
        {"role": "assistant", "content": "Hm."},
        {"type": "function_call", **arguments},
        {"type": "function_call_output", "call_id": "call_1", "output": "sun"},
    ]


async def test_a_server_that_only_sends_whole_items(player: Any) -> None:
    """Text that no delta brought comes with its item, or with the response."""
    player.streams(done(REASONING), done(said("all")), event("completed", response=response()))
    assert (await player.stream())[:2] == ("all", "naïve")
    player.streams(event("completed", response=response(said("all"))))
    assert (await player.stream())[0] == "all"


async def test_tools_and_the_shape_of_the_answer(player: Any) -> None:
    """Flat tools, told when they are not strict, for the default is that they are."""
    parameters = {"type": "object", "properties": {"x": {"type": "string"}}}
    loose = ToolDeclaration(name="f", description="d", parameters=parameters)
    strict = ToolDeclaration(name="g", parameters=parameters, strict=True)
    player.answers(response(said("{}")))
    await player.complete(
        tools=(loose, strict),
        tool_choice="required",
        output=OutputSchema(name="N", schema=parameters),
        extra={"text": {"verbosity": "low"}, "reasoning": {"summary": "auto"}},
    )
    first, second = player.sent["tools"]
    assert first == {
        "type": "function",
        "name": "f",
        "parameters": parameters,
        "strict": False,
        "description": "d",
    }
    assert second["strict"] is True
    assert second["parameters"]["required"] == ["x"]
    assert player.sent["tool_choice"] == "required"
    assert player.sent["text"]["verbosity"] == "low"
    assert player.sent["text"]["format"]["strict"] is True
    assert player.sent["text"]["format"]["schema"]["required"] == ["x"]


async def test_nulls_that_strictness_asked_for_are_taken_out(player: Any) -> None:
    """An optional argument that the model left out is absent, so its default holds."""
    parameters = {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city"],
    }
    strict = ToolDeclaration(name="weather", parameters=parameters, strict=True)
    player.answers(response({**CALL, "arguments": '{"city":"Köln","days":null}'}))
    completion = await player.complete(tools=(strict,))
    assert completion.message.tool_calls[0].arguments == {"city": "Köln"}


async def test_pictures(player: Any) -> None:
    """By address, or as bytes in one."""
    content = (Text(text="see"), Image(url="https://x.test/a.png"), Image(data=b"abc"))
    player.answers(response(said("ok")))
    await player.complete(messages=(UserMessage(content=content),))
    assert player.sent["input"][0]["content"] == [
        {"type": "input_text", "text": "see"},
        {"type": "input_image", "image_url": "https://x.test/a.png"},
        {"type": "input_image", "image_url": "data:image/png;base64,YWJj"},
    ]


async def test_what_is_refused_is_not_sent(player: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The API knows no stop and no seed, reasoning models no temperature; each is told once."""
    options = {"temperature": 0.0, "seed": 1, "stop": ("x",)}
    with caplog.at_level(logging.WARNING, logger="understudy.models"):
        player.answers(response(said("ok")))
        await player.complete(model="gpt-4.1", **options)
        assert player.sent["temperature"] == 0.0
        assert not {"stop", "seed", "include"} & player.sent.keys()
        player.answers(response(said("ok")))
        await player.complete(model="gpt-5", **options)
        assert "temperature" not in player.sent
        assert player.sent["include"] == ["reasoning.encrypted_content"]
    told = [record.getMessage().split()[1] for record in caplog.records]
    assert sorted(told) == ["seed", "stop", "stop", "temperature"]


@pytest.mark.parametrize(
    ("details", "finish"),
    [
        (None, "stop"),
        ({"reason": "max_output_tokens"}, "length"),
        ({"reason": "content_filter"}, "content_filter"),
        ({"reason": "something_new"}, "length"),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
async def test_incomplete_responses(
    player: Any, details: dict[str, str] | None, finish: str, *, stream: bool
) -> None:
    """They say why."""
    status = "incomplete" if details else "completed"
    whole = response(said("a"), status=status, incomplete_details=details)
    if stream:
        player.streams(delta("a"), event(status, response=whole))
        assert (await player.stream())[2].finish_reason == finish
    else:
        player.answers(whole)
        assert (await player.complete()).finish_reason == finish


@pytest.mark.parametrize("stream", [True, False])
async def test_a_refusal_is_content_filter(player: Any, *, stream: bool) -> None:
    """With its words as the text."""
    content = [{"type": "refusal", "refusal": "I won't"}]
    item = {"type": "message", "id": "msg_1", "content": content}
    if stream:
        player.streams(
            delta("I ", "refusal"),
            delta("won't", "refusal"),
            done(item),
            event("completed", response=response(item)),
        )
        completion = (await player.stream())[2]
    else:
        player.answers(response(item))
        completion = await player.complete()
    assert completion.message == AssistantMessage(content="I won't")
    assert completion.finish_reason == "content_filter"


@pytest.mark.parametrize("end", [b"", b'data: {"type":"response.comp'])
async def test_a_stream_that_is_cut(player: Any, end: bytes) -> None:
    """Before its last event it is broken."""
    player.streams(delta("half"), done(said("half")), end=end)
    error = await player.fails(stream=True)
    assert (type(error), error.partial) == (StreamBrokenError, "half")


@pytest.mark.parametrize(
    ("code", "leaf", "retryable"),
    [
        ("server_error", ServerError, True),
        ("rate_limit_exceeded", RateLimitError, True),
        ("insufficient_quota", RateLimitError, False),
        ("invalid_prompt", BadRequestError, False),
        ("context_length_exceeded", ContextWindowError, False),
    ],
)
@pytest.mark.parametrize("form", ["error", "nested", "failed", "whole"])
async def test_errors_inside_an_answer(
    player: Any, code: str, leaf: type[ModelError], form: str, *, retryable: bool
) -> None:
    """As an event of their own, in the last event, or in a response that is not streamed."""
    told = {"code": code, "message": "no"}
    failed = response(status="failed", error=told, usage=None)
    if form == "error":
        player.streams({"type": "error", "sequence_number": 1, "param": None, **told})
    elif form == "nested":
        player.streams({"type": "error", "error": told})
    elif form == "failed":
        player.streams(event("failed", response=failed))
    else:
        player.answers(failed)
    error = await player.fails(stream=form != "whole")
    assert (type(error), error.retryable, error.code) == (leaf, retryable, code)


async def test_what_is_no_response(player: Any) -> None:
    """Another document, or one that was cancelled."""
    player.answers({"object": "list"})
    assert type(await player.fails()) is ResponseError
    player.answers(response(status="cancelled"))
    assert type(await player.fails()) is ServerError
