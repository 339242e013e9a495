"""Tool calls whose arguments are no JSON object: what a model wrote wrongly is told to it."""

import json
from typing import Any

import pytest

from understudy.actors.models.anthropic_assembly import AnthropicAssembly
from understudy.actors.models.assembly import Assembly, read_arguments
from understudy.actors.models.gemini_assembly import GeminiAssembly
from understudy.actors.models.ollama_assembly import OllamaAssembly
from understudy.actors.models.openai_assembly import OpenAIAssembly
from understudy.actors.models.responses_assembly import ResponsesAssembly
from understudy.messages.chat import ToolCall, UserMessage
from understudy.messages.models import Complete

ASKED = Complete(model="m", messages=(UserMessage(content="?"),))


def openai(arguments: Any, finish: str = "tool_calls") -> dict[str, Any]:
    """A whole answer that calls `double`."""
    function = {"name": "double", "arguments": arguments}
    message = {"tool_calls": [{"id": "c1", "function": function}]}
    return {"choices": [{"message": message, "finish_reason": finish}]}


def responses(arguments: Any) -> dict[str, Any]:
    """A whole answer that calls `double`."""
    item = {"type": "function_call", "call_id": "c1", "name": "double", "arguments": arguments}
    return {"status": "completed", "output": [item]}


def anthropic(arguments: Any) -> dict[str, Any]:
    """A whole answer that calls `double`."""
    block = {"type": "tool_use", "id": "c1", "name": "double", "input": arguments}
    return {"content": [block], "stop_reason": "tool_use"}


def gemini(arguments: Any) -> dict[str, Any]:
    """A whole answer that calls `double`."""
    part = {"functionCall": {"id": "c1", "name": "double", "args": arguments}}
    return {"candidates": [{"content": {"parts": [part]}, "finishReason": "STOP"}]}


def ollama(arguments: Any) -> dict[str, Any]:
    """A whole answer that calls `double`."""
    call = {"id": "c1", "function": {"name": "double", "arguments": arguments}}
    return {"message": {"tool_calls": [call]}, "done": True}


FORMATS: list[Any] = [
    (OpenAIAssembly, openai),
    (ResponsesAssembly, responses),
    (AnthropicAssembly, anthropic),
    (GeminiAssembly, gemini),
    (OllamaAssembly, ollama),
]


def call_of(kind: type[Assembly], answer: dict[str, Any]) -> ToolCall:
    """The call that a whole answer makes."""
    assembly = kind(ASKED, "p")
    assembly.take(json.dumps(answer).encode(), whole=True)
    (call,) = assembly.completion(None).message.tool_calls
    return call


@pytest.mark.parametrize(("kind", "answer"), FORMATS)
@pytest.mark.parametrize(
    ("arguments", "why"),
    [('{"n": ', 'no JSON object (Input data was truncated): {"n": '), ([1], "no JSON object: [1]")],
)
def test_every_format_has_a_call_with_a_problem(
    kind: type[Assembly], answer: Any, arguments: Any, why: str
) -> None:
    """The answer is understood, the call keeps its id, and says what is wrong with it."""
    call = call_of(kind, answer(arguments))
    assert (call.id, call.name, call.arguments) == ("c1", "double", {})
    assert call.problem is not None
    assert why in call.problem
    assert "call it again" in call.problem


@pytest.mark.parametrize(("kind", "answer"), FORMATS)
@pytest.mark.parametrize("arguments", ['{"n": 1}', {"n": 1}])
def test_every_format_takes_objects_and_their_text(
    kind: type[Assembly], answer: Any, arguments: Any
) -> None:
    """Whichever of the two a server sends."""
    call = call_of(kind, answer(arguments))
    assert (call.arguments, call.problem) == ({"n": 1}, None)


@pytest.mark.parametrize("given", ["", "  ", None, "null", {}, "{}"])
def test_none_at_all_are_no_problem(given: Any) -> None:
    """So tools without parameters are called."""
    assert read_arguments(given) == ({}, None)


def test_fragments_of_a_stream() -> None:
    """They are joined before they are judged."""
    assembly = AnthropicAssembly(ASKED, "p")
    start = {"type": "tool_use", "id": "c1", "name": "double", "input": {}}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {}},
        {"type": "content_block_start", "index": 0, "content_block": start},
        *(
            {"type": "content_block_delta", "index": 0, "delta": {"partial_json": part}}
            for part in ('{"n', '": 1')
        ),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "max_tokens"}},
        {"type": "message_stop"},
    ]
    for event in events:
        assembly.take(json.dumps(event).encode())
    (call,) = assembly.completion(None).message.tool_calls
    assert call.problem is not None
    assert call.problem.startswith("max_tokens cut the answer")
    assert '{"n": 1' in call.problem


def test_a_whole_call_of_a_cut_answer_is_none() -> None:
    """Only a call that was cut says so."""
    assert call_of(OpenAIAssembly, openai('{"n": 1}', finish="length")).problem is None


def test_long_ones_are_shown_in_part() -> None:
    """The beginning and the end; the model knows the middle."""
    _, problem = read_arguments('{"text": "' + "x" * 10_000)
    assert problem is not None
    assert len(problem) < 400


def test_deep_ones_are_not_decoded() -> None:
    """Depth is checked before anything recurses."""
    given, problem = read_arguments("[" * 100_000)
    assert given == {}
    assert problem is not None
    assert "nest deeper" in problem
