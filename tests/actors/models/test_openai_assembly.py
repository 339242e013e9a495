from typing import Any

import msgspec
import pytest

from understudy.actors.models.openai_assembly import OpenAIAssembly
from understudy.actors.models.provider import TextPiece
from understudy.messages.chat import Thought, ToolCall, Usage, UserMessage
from understudy.messages.models import Complete, Completion

REQUEST = Complete(model="asked", messages=(UserMessage(content="12345678"),))


def put(*answers: dict[str, Any]) -> tuple[list[tuple[str, str]], Completion]:
    """What each answer adds, and the completion of all."""
    assembly = OpenAIAssembly(REQUEST, "openai")
    added = []
    for answer in answers:
        pieces = assembly.take(msgspec.json.encode(answer))
        said = [piece.text for piece in pieces if isinstance(piece, TextPiece)]
        thought = [piece.text for piece in pieces if not isinstance(piece, TextPiece)]
        added.append(("".join(said), "".join(thought)))
    return added, assembly.completion(None)


def delta(finish: str | None = None, **fields: Any) -> dict[str, Any]:
    """A chunk with this delta."""
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}


def calls(*fragments: dict[str, Any]) -> tuple[ToolCall, ...]:
    """The tool calls that these fragments make, one a chunk."""
    chunks = [delta(tool_calls=[fragment]) for fragment in fragments]
    return put({"id": "x", **chunks[0]}, *chunks[1:])[1].message.tool_calls


def part(arguments: Any = None, **fields: Any) -> dict[str, Any]:
    """A fragment of a call."""
    function = {"arguments": arguments}
    if "name" in fields:
        function["name"] = fields.pop("name")
    return {"function": function, **fields}


def test_a_whole_answer() -> None:
    """All facts of a plain one."""
    _, completion = put(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": "m-2026",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": "Paris.", "refusal": None},
                    "logprobs": None,
                    "finish_reason": "length",
                }
            ],
            "usage": {
                "prompt_tokens": 9,
                "completion_tokens": 3,
                "total_tokens": 12,
                "prompt_tokens_details": {"cached_tokens": 4},
                "completion_tokens_details": {"reasoning_tokens": 2},
            },
        }
    )
    assert completion.message.content == "Paris."
    assert completion.finish_reason == "length"
    assert completion.model == "m-2026"
    assert completion.request_id == "chatcmpl-1"
    assert completion.usage == Usage(
        input_tokens=9, output_tokens=3, cached_tokens=4, reasoning_tokens=2
    )


def test_a_stream_adds_up() -> None:
    """Deltas go out one by one, and the whole is their sum; usage comes last, without choices."""
    added, completion = put(
        delta(role="assistant", content=""),
        delta(content="Hel"),
        delta(content="lo"),
        delta("stop"),
        {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}},
    )
    assert [text for text, _ in added] == ["", "Hel", "lo", "", ""]
    assert completion.message.content == "Hello"
    assert completion.usage == Usage(input_tokens=1, output_tokens=2)


@pytest.mark.parametrize(
    "odd",
    [
        {"choices": None},
        {"choices": []},
        {"choices": [{}]},
        {"choices": [{"delta": None}], "model": ""},
        {"choices": [{"delta": {"content": None}, "finish_reason": ""}], "created": None},
        {"usage": None, "id": None, "model": None, "unknown": {"x": [1]}},
    ],
)
def test_chunks_that_say_nothing(odd: dict[str, Any]) -> None:
    """Null, empty or missing: they change nothing, wherever they come."""
    whole = put(delta(content="a"), delta("stop"))[1]
    assert put(odd, delta(content="a"), odd, delta("stop"), odd)[1] == whole


@pytest.mark.parametrize(
    ("fields", "thought"),
    [
        ({"reasoning_content": "hm"}, "hm"),
        ({"reasoning": "hm"}, "hm"),
        ({"reasoning_content": "hm", "reasoning": "hm"}, "hm"),
        ({"reasoning_content": "", "reasoning": "hm"}, "hm"),
        ({}, ""),
    ],
)
def test_thoughts_under_every_name(fields: dict[str, str], thought: str) -> None:
    """Given once, and no part of the text."""
    added, completion = put(delta(**fields))
    assert added == [("", thought)]
    assert completion.message.content == ""
    kept = (Thought(text=thought, provider="openai"),) if thought else ()
    assert completion.message.thoughts == kept


@pytest.mark.parametrize(
    ("finish", "reason"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("tool_calls", "tool_calls"),
        ("function_call", "tool_calls"),
        ("content_filter", "content_filter"),
        ("", "stop"),
        (None, "stop"),
        ("eos", "stop"),
    ],
)
def test_finish_reasons(finish: str | None, reason: str) -> None:
    """The unknown and the missing count as a stop."""
    assert put(delta(finish, content="a"))[1].finish_reason == reason


def test_calls_finish_as_calls() -> None:
    """Some servers say stop after them."""
    _, completion = put(delta("stop", tool_calls=[part("{}", id="a", name="f", index=0)]))
    assert completion.finish_reason == "tool_calls"


def test_a_refusal_is_content_filter() -> None:
    """With its words as the text."""
    _, completion = put(delta(refusal="I "), delta(refusal="won't"), delta("stop"))
    assert (completion.message.content, completion.finish_reason) == ("I won't", "content_filter")


def test_content_in_parts() -> None:
    """A list of text parts, as Mistral sends, is text."""
    assert put(delta(content=[{"type": "text", "text": "a"}, {"text": "b"}]))[0] == [("ab", "")]


def test_calls_by_index() -> None:
    """OpenAI's way: interleaved fragments, id and name in the first."""
    assert calls(
        part("", index=0, id="a", name="f"),
        part("", index=1, id="b", name="g"),
        part('{"x"', index=0),
        part('{"y":', index=1),
        part(": 1}", index=0),
        part("2}", index=1),
    ) == (
        ToolCall(id="a", name="f", arguments={"x": 1}),
        ToolCall(id="b", name="g", arguments={"y": 2}),
    )


def test_calls_that_repeat_id_and_name() -> None:
    """In every fragment: they are still one call."""
    assert calls(
        part('{"x":', index=0, id="a", name="f"), part("1}", index=0, id="a", name="f")
    ) == (ToolCall(id="a", name="f", arguments={"x": 1}),)


def test_calls_that_all_have_index_zero() -> None:
    """Another id is another call, and what follows without id belongs to it."""
    assert calls(
        part('{"x":1}', index=0, id="a", name="f"),
        part('{"y":', index=0, id="b", name="g"),
        part("2}", index=0),
    ) == (
        ToolCall(id="a", name="f", arguments={"x": 1}),
        ToolCall(id="b", name="g", arguments={"y": 2}),
    )


def test_calls_without_index() -> None:
    """By id, and without one by the name that begins a call."""
    assert calls(
        part('{"x":', id="a", name="f"),
        part("1}", id="a"),
        part("{}", id="b", name="g"),
        part('{"z":', name="h"),
        part("3}"),
    ) == (
        ToolCall(id="a", name="f", arguments={"x": 1}),
        ToolCall(id="b", name="g"),
        ToolCall(id="x-2", name="h", arguments={"z": 3}),
    )


@pytest.mark.parametrize(
    ("arguments", "decoded"),
    [("", {}), (None, {}), (" ", {}), ("null", {}), ({"x": [1]}, {"x": [1]}), ("{}", {})],
)
def test_arguments_in_every_form(arguments: Any, decoded: dict[str, Any]) -> None:
    """Empty for tools without any, or decoded already."""
    assert calls(part(arguments, id="a", name="f", index=0))[0].arguments == decoded


@pytest.mark.parametrize("arguments", ['{"x":', "[1]", '"x"', "[" * 200 + "]" * 200])
def test_arguments_that_are_none(arguments: str) -> None:
    """Cut, no object, or too deep: a call that says so."""
    call = calls(part(arguments, id="a", name="f", index=0))[0]
    assert call.problem is not None
    assert call.arguments == {}


def test_usage_on_every_chunk_is_cumulative() -> None:
    """The last one counts."""
    _, completion = put(
        {**delta(content="a"), "usage": {"prompt_tokens": 5, "completion_tokens": 1}},
        {**delta(content="b"), "usage": {"prompt_tokens": 5, "completion_tokens": 2}},
        {"choices": [], "usage": None},
    )
    assert completion.usage == Usage(input_tokens=5, output_tokens=2)


def test_usage_in_the_vendors_field() -> None:
    """Groq's."""
    usage = {"usage": {"prompt_tokens": 5, "completion_tokens": 1}}
    assert put({**delta("stop"), "x_groq": usage})[1].usage.input_tokens == 5


def test_usage_that_nobody_gave_is_estimated_and_says_so() -> None:
    """Two tokens for eight characters, both ways."""
    _, completion = put(delta("stop", content="12345678"))
    assert completion.usage == Usage(input_tokens=2, output_tokens=2, measured=False)
