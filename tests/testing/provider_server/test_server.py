"""A `ProviderServer` that answers: what it says, counts, records and refuses, and its life."""

import asyncio
import json
import threading
from urllib.parse import urlsplit

import pytest
from tests.testing.provider_server.chats import Client, asked

from understudy.messages.chat import (
    AssistantMessage,
    Message,
    SystemMessage,
    ToolCall,
    ToolMessage,
    UserMessage,
)
from understudy.testing.provider_server import Blackhole, Fault, ProviderServer


def test_it_echoes(server: ProviderServer) -> None:
    """The last user message, every time the same, with usage in words."""
    client = Client(server)
    answer = client.chat(asked("first", "now this"))
    assert answer["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "echo: now this"},
            "finish_reason": "stop",
        }
    ]
    assert answer["usage"] == {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6}
    assert client.text("first", "now this") == "echo: now this"


def test_it_streams(server: ProviderServer) -> None:
    """A chunk a word, the finish reason, usage when asked for, the end marker."""
    client = Client(server)
    *chunks, usage, done = client.events(asked("one two", stream_options={"include_usage": True}))
    deltas = [chunk["choices"][0] for chunk in chunks]
    assert deltas[0]["delta"] == {"role": "assistant", "content": ""}
    assert [item["delta"].get("content") for item in deltas[1:]] == ["echo:", " one", " two", None]
    assert [item["finish_reason"] for item in deltas] == [None] * 4 + ["stop"]
    assert (usage["choices"], usage["usage"]["completion_tokens"]) == ([], 3)
    assert done == "[DONE]"
    assert client.events(asked("x"))[-2]["choices"][0]["finish_reason"] == "stop"


def test_it_counts_connections_and_keeps_them(server: ProviderServer) -> None:
    """Two clients, three requests, two connections; then none is open."""
    first, second = Client(server), Client(server)
    for client in (first, second, first):
        client.text("x")
    assert [request.connection for request in server.requests] == [1, 2, 1]
    assert (server.connections.total, server.connections.open) == (2, 2)
    first.connection.close()
    second.connection.close()
    server.until(lambda seen: seen.connections.open == 0)


def test_it_records_requests(server: ProviderServer) -> None:
    """Path, headers in lower case, body and what became of them."""
    Client(server).post(asked("x"), Authorization="Bearer k").read()
    server.until(lambda seen: seen.requests[0].outcome == "answered")
    request = server.requests[0]
    assert (request.method, request.path) == ("POST", "/v1/chat/completions")
    assert request.headers["authorization"] == "Bearer k"
    assert request.json == asked("x")
    assert request.ended is not None
    assert request.arrived <= request.ended


def test_a_list_of_answers() -> None:
    """One a request, and one too many says so."""
    call = ToolCall(id="c1", name="f", arguments={"a": 1})
    with ProviderServer(["one", [call], "two"]) as server:
        client = Client(server)
        assert client.text("x") == "one"
        choice = client.chat(asked("x"))["choices"][0]
        assert choice["finish_reason"] == "tool_calls"
        assert choice["message"]["tool_calls"] == [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
        ]
        assert client.text("x") == "two"
        response = client.post(asked("x"))
        assert response.status == 500
        assert "the script has 3 answers" in response.read().decode()


def test_calls_are_streamed_in_fragments() -> None:
    """Id and name first, then the arguments in pieces, by index."""
    call = ToolCall(id="c1", name="f", arguments={"a": 1})
    with ProviderServer([[call, call]]) as server:
        events = Client(server).events(asked("x"))
        fragments = [
            part
            for event in events[:-1]
            for part in event["choices"][0]["delta"].get("tool_calls", ())
        ]
        assert [part["index"] for part in fragments] == [0, 0, 0, 1, 1, 1]
        assert [part.get("id") for part in fragments] == ["c1", None, None] * 2
        assert "".join(part["function"]["arguments"] for part in fragments) == '{"a":1}' * 2


@pytest.mark.parametrize("wait", [True, False])
def test_a_function_of_the_conversation(*, wait: bool) -> None:
    """It gets the neutral messages, tool calls and results included; sync or async."""
    got: list[tuple[Message, ...]] = []

    def answer(messages: tuple[Message, ...]) -> str:
        got.append(messages)
        return f"{len(messages)} messages"

    async def answer_later(messages: tuple[Message, ...]) -> str:
        await asyncio.sleep(0)
        return answer(messages)

    function = {"name": "f", "arguments": '{"a":1}'}
    messages = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": [{"type": "text", "text": "u"}]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "r"},
    ]
    with ProviderServer(answer_later if wait else answer) as server:
        assert (
            Client(server).chat({"model": "m", "messages": messages})["choices"][0]["message"][
                "content"
            ]
            == "4 messages"
        )
    assert got == [
        (
            SystemMessage(content="s"),
            UserMessage(content="u"),
            AssistantMessage(tool_calls=(ToolCall(id="c1", name="f", arguments={"a": 1}),)),
            ToolMessage(call_id="c1", name="f", content="r"),
        )
    ]


def test_the_output_is_bounded() -> None:
    """By either field, with the finish reason that says so."""
    with ProviderServer() as server:
        client = Client(server)
        for field in ("max_tokens", "max_completion_tokens"):
            choice = client.chat(asked("a b c d", **{field: 2}))["choices"][0]
            assert choice["message"]["content"] == "echo: a"
            assert choice["finish_reason"] == "length"
        assert client.text("a", max_tokens=2) == "echo: a"
        assert client.text("a", max_tokens=0) is None


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b'{"messages": []}', 400),
        (b'{"model": "m", "messages": [{"role": "king", "content": "x"}]}', 400),
        (b'{"model": "m", "messages": [{"role": "tool", "content": "x"}]}', 400),
        (b'{"model": "\xff", "messages": []}', 400),
    ],
)
def test_requests_that_make_no_sense(server: ProviderServer, body: bytes, status: int) -> None:
    """They are refused in the provider's form."""
    response = Client(server).post(body)
    assert response.status == status
    assert "message" in json.loads(response.read())["error"]


def test_paths() -> None:
    """Models are listed, others do not exist."""
    with ProviderServer(models=["a", "b"]) as server:
        client = Client(server)
        assert [model["id"] for model in client.get("/v1/models")["data"]] == ["a", "b"]
        assert client.get("/v2/models")["error"]["message"] == "no such path"
        assert client.post(asked("x")).status == 404


def test_keys() -> None:
    """Only the right one is let in."""
    with ProviderServer(api_key="k") as server:
        for key, status in (("wrong", 401), ("k", 200)):
            response = Client(server).post(asked("x"), Authorization=f"Bearer {key}")
            assert response.status == status


@pytest.mark.parametrize("fault", [None, Blackhole()])
def test_leaving_the_block_ends_everything(fault: Fault | None) -> None:
    """Open connections and unanswered requests do not hold it; no thread is left."""
    before = set(threading.enumerate())
    with ProviderServer(faults=[fault]) as server:
        client = Client(server)
        client.connection.request("POST", "/v1/chat/completions", json.dumps(asked("x")))
        server.until(lambda seen: bool(seen.requests))
    assert set(threading.enumerate()) <= before
    assert server.connections.open == 0
    with pytest.raises(OSError, match="refused"):
        Client(server).post(asked("x"))


def test_it_has_an_address_only_while_it_runs() -> None:
    """Asking earlier names the remedy."""
    with pytest.raises(RuntimeError, match="enter the server"):
        _ = ProviderServer().base_url


def test_until_gives_up(server: ProviderServer) -> None:
    """With what it saw."""
    with pytest.raises(TimeoutError, match="open=0"):
        server.until(lambda _: False, timeout=0.001)


@pytest.mark.anyio
async def test_hosted_on_the_running_loop() -> None:
    """`async with` needs no thread, and latency is real: the answer comes after it."""
    before = threading.active_count()
    async with ProviderServer(latency=0.01, tokens_per_second=1000) as server:
        assert threading.active_count() == before
        port = urlsplit(server.url).port
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        body = json.dumps(asked("one two three", stream=True)).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await reader.readuntil(b"[DONE]\n\n\r\n0\r\n\r\n")
        await server.auntil(lambda seen: seen.requests[0].outcome == "answered")
        request = server.requests[0]
        assert request.ended is not None
        assert request.ended - request.arrived >= 0.01 + 3 / 1000
        with pytest.raises(TimeoutError):
            await server.auntil(lambda _: False, timeout=0.001)
        writer.close()
    assert server.connections.open == 0


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n", b"411"),
        (b"POST / HTTP/1.1\r\ncontent-length: x\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nx: " + b"y" * 70_000, b"431"),
    ],
)
async def test_what_is_no_request(sent: bytes, status: bytes) -> None:
    """It is refused and the connection closed."""
    async with ProviderServer() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(server.url).port)
        writer.write(sent)
        assert (await reader.read()).startswith(b"HTTP/1.1 " + status)
        writer.close()
