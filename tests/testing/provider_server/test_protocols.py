"""Every protocol that a `ProviderServer` speaks, whole and streamed, with calls and results."""

import base64
import json
import struct
from typing import Any

import pytest
from tests.testing.provider_server.protocols import CHATS, SAID

from understudy import Message, ToolMessage
from understudy.testing import call
from understudy.testing.provider_server import StreamFault

"""The shortest request of each protocol."""


USAGE = {"include_usage": True}


def test_anthropic_whole(talk: Any) -> None:
    """Blocks, the reason for the end, usage."""
    answer = talk().json("/v1/messages", system="be terse")
    assert answer["content"] == [{"type": "text", "text": "echo: one two"}]
    assert (answer["type"], answer["role"], answer["stop_reason"]) == (
        "message", "assistant", "end_turn",
    )  # fmt: skip
    assert answer["usage"] == {"input_tokens": 4, "output_tokens": 3}
    assert talk().json("/v1/messages", max_tokens=1)["stop_reason"] == "max_tokens"


def test_anthropic_streamed(talk: Any) -> None:
    """The events in the order of the protocol; a ping among them."""
    events = talk().events("/v1/messages")
    assert [event["type"] for event in events] == [
        "message_start", "content_block_start", "ping", *["content_block_delta"] * 3,
        "content_block_stop", "message_delta", "message_stop",
    ]  # fmt: skip
    assert "".join(e["delta"]["text"] for e in events[3:6]) == "echo: one two"
    assert events[7]["usage"]["output_tokens"] == 3


def test_anthropic_calls_and_results(talk: Any) -> None:
    """Calls come in fragments; their results are read out of the next user message."""
    got: list[tuple[Message, ...]] = []

    def answer(messages: tuple[Message, ...]) -> Any:
        got.append(messages)
        return [call("f", a=1), call("g")] if len(messages) == 1 else "done"

    client = talk(answer)
    events = client.events("/v1/messages")
    starts = [e["content_block"] for e in events if e["type"] == "content_block_start"]
    assert [(b["type"], b["name"], b["input"]) for b in starts] == [
        ("tool_use", "f", {}), ("tool_use", "g", {}),
    ]  # fmt: skip
    parts = [e["delta"]["partial_json"] for e in events if e["type"] == "content_block_delta"]
    assert "".join(parts) == '{"a":1}{}'
    assert [b["id"] for b in starts] == ["call_1_1", "call_1_2"]
    uses = [{"type": "tool_use", "id": b["id"], "name": b["name"], "input": {}} for b in starts]
    results = [
        {"type": "tool_result", "tool_use_id": "call_1_1", "content": "r", "is_error": True},
        {"type": "tool_result", "tool_use_id": "call_1_2", "content": [{"text": "s"}]},
        {"type": "text", "text": "and?"},
    ]
    said = [*SAID, {"role": "assistant", "content": uses}, {"role": "user", "content": results}]
    assert client.json("/v1/messages", messages=said)["content"][0]["text"] == "done"
    assert got[1][2:4] == (
        ToolMessage(call_id="call_1_1", name="f", content="r", is_error=True),
        ToolMessage(call_id="call_1_2", name="g", content="s"),
    )


def test_responses_whole_and_streamed(talk: Any) -> None:
    """The same response at the end of a stream as in one piece; numbers that only grow."""
    client = talk(["one two", "one two"])
    whole = client.json("/v1/responses", instructions="terse", max_output_tokens=1)
    assert (whole["status"], whole["incomplete_details"]) == (
        "incomplete", {"reason": "max_output_tokens"},
    )  # fmt: skip
    events = client.events("/v1/responses")
    numbers = [event["sequence_number"] for event in events]
    assert numbers == sorted(set(numbers))
    last = events[-1]
    assert last["type"] == "response.completed"
    assert last["response"]["output"][0]["content"][0]["text"] == "one two"
    assert "".join(e.get("delta", "") for e in events) == "one two"


def test_responses_calls_and_results(talk: Any) -> None:
    """Calls are items, and so are their outputs."""
    got: list[tuple[Message, ...]] = []

    def answer(messages: tuple[Message, ...]) -> Any:
        got.append(messages)
        return call("f", a=1) if len(messages) == 1 else "done"

    client = talk(answer)
    item = client.json("/v1/responses")["output"][0]
    assert (item["name"], item["arguments"]) == ("f", '{"a":1}')
    output = {"type": "function_call_output", "call_id": item["call_id"], "output": "r"}
    said = [{"role": "user", "content": [{"type": "input_text", "text": "u"}]}, item, output]
    assert client.json("/v1/responses", input=said)["output"][0]["content"][0]["text"] == "done"
    assert got[1][-1] == ToolMessage(call_id=item["call_id"], name="f", content="r")


def test_ollama_streams_unless_told_otherwise(talk: Any) -> None:
    """Lines of JSON, the last one with the counts."""
    client = talk()
    client.connection.request("POST", "/api/chat", json.dumps({"model": "m", "messages": SAID}))
    response = client.connection.getresponse()
    assert response.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in response.read().splitlines()]
    assert [line["message"]["content"] for line in lines] == ["echo:", " one", " two", ""]
    assert [line["done"] for line in lines] == [False] * 3 + [True]
    assert (lines[-1]["prompt_eval_count"], lines[-1]["eval_count"]) == (2, 3)
    whole = client.json("/api/chat", options={"num_predict": 1})
    assert (whole["message"]["content"], whole["done_reason"]) == ("echo:", "length")
    assert client.json("/api/chat", options={"num_predict": -1})["done_reason"] == "stop"


def test_ollama_calls_and_results(talk: Any) -> None:
    """Arguments are objects, ids are missing, and results find their calls by name and order."""
    got: list[tuple[Message, ...]] = []

    def answer(messages: tuple[Message, ...]) -> Any:
        got.append(messages)
        return [call("f", a=1), call("f", a=2)] if len(messages) == 1 else "done"

    client = talk(answer)
    message = client.json("/api/chat")["message"]
    assert message["tool_calls"][1] == {"function": {"name": "f", "arguments": {"a": 2}}}
    results = [{"role": "tool", "tool_name": "f", "content": text} for text in ("r", "s")]
    assert client.json("/api/chat", messages=[*SAID, message, *results])["done"]
    assert got[1][2:] == (
        ToolMessage(call_id="call_1", name="f", content="r"),
        ToolMessage(call_id="call_2", name="f", content="s"),
    )


def test_embeddings(talk: Any) -> None:
    """The same text has the same vector in both protocols, as numbers or packed."""
    client = talk()
    plain = client.json("/v1/embeddings", input=["a b", "c"], dimensions=4)
    packed = client.json("/v1/embeddings", input="a b", dimensions=4, encoding_format="base64")
    other = client.json("/api/embed", input=["a b"], dimensions=4)
    first = plain["data"][0]["embedding"]
    assert sum(value * value for value in first) == pytest.approx(1.0)
    assert first != plain["data"][1]["embedding"]
    unpacked = struct.unpack("<4f", base64.b64decode(packed["data"][0]["embedding"]))
    assert unpacked == pytest.approx(first)
    assert other["embeddings"] == [first]
    assert (plain["usage"]["total_tokens"], other["prompt_eval_count"]) == (3, 2)


@pytest.mark.parametrize("path", CHATS)
def test_what_makes_no_sense_is_refused_in_the_protocols_form(talk: Any, path: str) -> None:
    """A bad request, a wrong key, an unknown model."""
    status, body = talk(api_key="k").send(path)
    assert status == 401
    assert json.loads(body)["error"]
    status, body = talk(models=["other"]).send(path)
    assert status == 404
    assert b"'m' does not exist" in body
    status, body = talk().send(path, messages=[{"role": "king", "content": "x"}], input=[{}])
    assert status == 400
    assert b"no such" in body


@pytest.mark.parametrize("path", CHATS)
def test_an_error_inside_a_stream(talk: Any, path: str) -> None:
    """With status 200, after a piece; of a whole answer it is the body."""
    client = talk(faults=[StreamFault(message="sorry"), StreamFault(message="sorry")])
    status, body = client.send(path, stream=True)
    assert (status, b"echo:" in body, b"sorry" in body) == (200, True, True)
    status, body = client.send(path)
    assert (status, b"echo:" in body) == (200, False)
    assert "sorry" in json.dumps(json.loads(body)["error"])


@pytest.mark.parametrize("path", CHATS)
@pytest.mark.parametrize("stream", [True, False])
def test_one_text_for_every_request(talk: Any, path: str, *, stream: bool) -> None:
    """It comes again and again, encoded once; what was asked otherwise is answered otherwise."""
    client = talk("all the same")
    first = client.send(path, stream=stream)
    assert client.send(path, stream=stream) == first
    assert b"same" in first[1]
    assert b"other" in client.send(path, stream=stream, model="other")[1]
    assert client.send(path, stream=not stream) != first
    bound = {"max_tokens": 1, "max_output_tokens": 1, "options": {"num_predict": 1}}
    assert b"same" not in client.send(path, stream=stream, **bound)[1]
    longer = {"messages": [{"role": "user", "content": "x " * 77}], "input": "x " * 77}
    assert b"77" in client.send(path, stream=stream, stream_options=USAGE, **longer)[1]


def test_a_long_stream_is_whole(talk: Any) -> None:
    """Many chunks are written at a time, and none is lost."""
    words = " ".join(str(number) for number in range(20_000))
    events = talk(lambda _: words).events("/v1/messages")
    deltas = [e["delta"]["text"] for e in events if e["type"] == "content_block_delta"]
    assert len(deltas) == 20_000
    assert "".join(deltas) == words
    assert events[-1]["type"] == "message_stop"


def test_protocols_that_are_not_spoken(talk: Any) -> None:
    """Their paths do not exist."""
    client = talk(protocols=["anthropic"])
    assert client.send("/v1/messages")[0] == 200
    assert client.send("/v1/chat/completions")[0] == 404
