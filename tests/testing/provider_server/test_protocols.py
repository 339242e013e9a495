import base64
import http.client
import json
import struct
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from understudy import (
    AuthenticationError,
    ConfigError,
    ContextWindowError,
    Message,
    RateLimitError,
    ResponseError,
    ServerError,
    ToolMessage,
)
from understudy.testing import call
from understudy.testing.provider_server import (
    NAMED,
    FaultMix,
    ProviderServer,
    Refuse,
    Reset,
    Status,
    StreamFault,
)
from understudy.testing.provider_server.faults import name_of
from understudy.testing.provider_server.mix import parse_rates
from understudy.testing.provider_server.script import fault_of

SAID = [{"role": "user", "content": "one two"}]
CHATS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": SAID},
    "/v1/responses": {"input": "one two"},
    "/v1/messages": {"messages": SAID, "max_tokens": 100_000},
    "/api/chat": {"messages": SAID},
}
"""The shortest request of each protocol."""
USAGE = {"include_usage": True}


class Client:
    """One connection of the standard library's client."""

    def __init__(self, server: ProviderServer) -> None:
        self.connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=10)

    def send(self, path: str, **fields: Any) -> tuple[int, bytes]:
        """Status and body."""
        body = {"model": "m", "stream": False, **CHATS.get(path, {}), **fields}
        self.connection.request("POST", path, json.dumps(body))
        response = self.connection.getresponse()
        return response.status, response.read()

    def json(self, path: str, **fields: Any) -> Any:
        """The decoded body."""
        return json.loads(self.send(path, **fields)[1])

    def events(self, path: str, **fields: Any) -> list[Any]:
        """The events of a stream; each says its own name twice."""
        found = []
        for part in self.send(path, stream=True, **fields)[1].decode().split("\n\n")[:-1]:
            name, _, data = part.rpartition("\n")
            found.append(json.loads(data.removeprefix("data: ")))
            assert name == f"event: {found[-1]['type']}"
        return found


@pytest.fixture
def talk() -> Iterator[Any]:
    """Starts a server and gives a client of it."""
    started: list[tuple[ProviderServer, Client]] = []

    def start(*args: Any, **options: Any) -> Client:
        server = ProviderServer(*args, **options).__enter__()
        started.append((server, Client(server)))
        return started[-1][1]

    yield start
    for server, client in started:
        client.connection.close()
        server.__exit__()


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


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"protocols": ["gopher"]}, "choose from openai"),
        ({"latency": -1}, "latency"),
        ({"tokens_per_second": 0}, "tokens_per_second"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], said: str) -> None:
    """They are named when the server is made."""
    with pytest.raises(ConfigError, match=said):
        ProviderServer(**options)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (RateLimitError("slow", retry_after=2.0), 429, ""),
        (AuthenticationError, 401, ""),
        (ServerError("busy", status=503), 503, ""),
        (ContextWindowError("long"), 400, "context_length_exceeded"),
        (ValueError("mine"), 500, ""),
    ],
)
def test_exceptions_in_a_script(error: Any, status: int, code: str) -> None:
    """They become what a provider sends for them to be raised."""
    fault = fault_of(error)
    assert isinstance(fault, Status)
    assert (fault.status, fault.code) == (status, code)
    assert fault.retry_after == (2.0 if status == 429 else None)
    assert isinstance(error, type) or fault.message == str(error)


def test_an_exception_uses_up_its_place_in_the_script(talk: Any) -> None:
    """The next request gets the next answer."""
    client = talk([RateLimitError("slow"), "after", ResponseError("odd")])
    assert client.send("/v1/messages")[0] == 429
    assert b"after" in client.send("/v1/messages")[1]
    with pytest.raises(json.JSONDecodeError):
        client.json("/v1/messages")


def test_a_model_that_is_called_after_its_fault(talk: Any) -> None:
    """It needs no script."""
    client = talk()
    assert client.send("/v1/messages", model="fault-status-529")[0] == 529
    assert client.send("/v1/embeddings", model="fault-status-503", input="x")[0] == 503
    assert client.send("/v1/messages", model="fault-of-mine")[0] == 200
    status, body = client.send("/api/chat", model="fault-bad-utf8")
    assert status == 200
    with pytest.raises(UnicodeDecodeError):
        body.decode()


def test_a_huge_answer_is_as_large_as_it_says(talk: Any) -> None:
    """Whole it has a length; the server makes it as it is read."""
    client = talk()
    client.connection.request(
        "POST", "/v1/messages",
        json.dumps({"model": "fault-huge", "messages": SAID, "max_tokens": 1}),
    )  # fmt: skip
    response = client.connection.getresponse()
    assert int(response.headers["content-length"]) == 100 * 1024 * 1024
    assert response.read(1024) == b"x" * 1024
    response.close()


def test_a_bad_chunk(talk: Any) -> None:
    """It has no length, in both kinds of answer."""
    client = talk()
    for stream in (True, False):
        with pytest.raises(http.client.IncompleteRead):
            client.send("/v1/messages", model="fault-bad-chunk", stream=stream)
        client.connection.close()


def test_nobody_listens_for_a_while() -> None:
    """Connections are refused, and later taken again at the same port; open ones stay."""
    with ProviderServer(faults=[None, Refuse(seconds=0.2)]) as server:
        stays, breaks = Client(server), Client(server)
        stays.send("/v1/messages")
        with pytest.raises(ConnectionResetError):
            breaks.send("/v1/messages")
        with pytest.raises(ConnectionRefusedError):
            Client(server).send("/v1/messages")
        assert stays.send("/v1/messages")[0] == 200
        while True:
            try:
                after = Client(server)
                assert after.send("/v1/messages")[0] == 200
                break
            except ConnectionRefusedError:
                continue
        assert server.stats.faults == {"refuse": 1}
        for client in (stays, breaks, after):
            client.connection.close()


def test_a_mix_is_the_same_for_the_same_seed() -> None:
    """And as often as its rates say."""

    def drawn(seed: int) -> list[str]:
        mix = FaultMix({"reset": 0.1, "status-503": 0.2}, seed=seed)
        return [name_of(fault) if fault else "" for fault in (mix.draw() for _ in range(5000))]

    assert drawn(1) == drawn(1) != drawn(2)
    assert drawn(1).count("reset") / 5000 == pytest.approx(0.1, abs=0.02)
    assert drawn(1).count("status-503") / 5000 == pytest.approx(0.2, abs=0.02)
    assert set(drawn(1)) == {"", "reset", "status-503"}


def test_a_mix_of_all() -> None:
    """`all` is each that is not named; own faults come in pairs."""
    mix = FaultMix({"all": 0.05, "refuse": 0.0})
    drawn = {name_of(fault) for fault in (mix.draw() for _ in range(3000)) if fault}
    assert drawn == set(NAMED) - {"refuse"}
    own = FaultMix([(Reset(after=3), 1.0)])
    assert own.draw() == Reset(after=3)


@pytest.mark.parametrize(
    ("rates", "said"),
    [
        ({"rest": 0.1}, "did you mean 'reset'"),
        ({"reset": 1.5}, "from 0 to 1"),
        ({"reset": 0.6, "drip": 0.6}, "over 1"),
    ],
)
def test_mixes_that_make_no_sense(rates: dict[str, float], said: str) -> None:
    """They name what is wrong."""
    with pytest.raises(ConfigError, match=said):
        FaultMix(rates)


def test_rates_as_the_command_line_spells_them() -> None:
    """Names and shares, or an error that shows how."""
    assert parse_rates("reset=0.01, drip=0.5") == {"reset": 0.01, "drip": 0.5}
    assert parse_rates("") == {}
    with pytest.raises(ConfigError, match=r"write drip=0\.01"):
        parse_rates("drip")


def test_a_mix_befalls_requests(talk: Any) -> None:
    """With rate 1, all of them; and the server says how many."""
    client = talk(faults=FaultMix({"status-500": 1.0}))
    assert [client.send("/v1/messages")[0] for _ in range(3)] == [500] * 3


@pytest.mark.parametrize("latency", [0.01, lambda draw: draw.uniform(0.01, 0.02)])
def test_latency_may_be_drawn(latency: Any) -> None:
    """Every answer waits at least the least of it."""
    with ProviderServer(latency=latency) as server:
        client = Client(server)
        client.send("/v1/messages")
        client.send("/v1/messages", model="fault-status-500")
        server.until(lambda seen: seen.stats.answered == 2)
        for request in server.requests:
            assert request.ended is not None
            assert request.ended - request.arrived >= 0.01
        client.connection.close()


def test_the_counts() -> None:
    """Requests by outcome, connections with their peak; also over HTTP, without recording."""
    with ProviderServer(record=False) as server:
        clients = [Client(server) for _ in range(3)]
        for client in clients:
            client.send("/v1/messages")
        clients[0].connection.request("GET", "/understudy/stats")
        told = json.loads(clients[0].connection.getresponse().read())
        assert told["connections"] == {"open": 3, "total": 3, "peak": 3}
        assert (told["requests"], told["answered"]) == (4, 3)
        body = {"model": "fault-blackhole", "max_tokens": 1, "messages": SAID}
        clients[1].connection.request("POST", "/v1/messages", json.dumps(body))
        server.until(lambda seen: seen.stats.requests == 5)
        for client in clients:
            client.connection.close()
        server.until(lambda seen: seen.stats.disconnected == 1)
        server.until(lambda seen: seen.connections.closed == 3)
        stats = server.stats
        assert (stats.disconnected, len(stats.disconnects), stats.connections.peak) == (1, 1, 3)
        assert server.requests == []
