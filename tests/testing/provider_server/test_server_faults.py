"""A `ProviderServer` that misbehaves as it was told."""

import http.client
import json

import pytest
from tests.testing.provider_server.chats import Client, asked

from understudy.messages.chat import Message
from understudy.testing.provider_server import (
    Blackhole,
    Drip,
    Malformed,
    ProviderServer,
    Reset,
    Status,
    StreamFault,
    Truncate,
)


def test_a_function_that_raises() -> None:
    """Its words come back with status 500, and the server lives on."""

    def answer(messages: tuple[Message, ...]) -> str:
        raise ValueError("my mistake")

    with ProviderServer(answer) as server:
        client = Client(server)
        for _ in range(2):
            response = client.post(asked("x"))
            assert response.status == 500
            assert "my mistake" in response.read().decode()


def test_status_faults() -> None:
    """With message, code and headers; the next request is answered on the same connection."""
    fault = Status(status=429, code="slow_down", retry_after=1.5, headers={"x-more": "1"})
    with ProviderServer(["text"], faults=[fault, Status(status=529)]) as server:
        client = Client(server)
        response = client.post(asked("x"))
        assert (response.status, response.headers["retry-after"]) == (429, "1.5")
        assert response.headers["x-more"] == "1"
        assert json.loads(response.read())["error"]["code"] == "slow_down"
        response = client.post(asked("x"))
        assert response.status == 529
        response.read()
        assert client.text("x") == "text"
        assert server.connections.total == 1


def test_resets() -> None:
    """Before the head, and inside both kinds of body; a fault uses up no answer."""
    with ProviderServer(["one two"], faults=[Reset(), Reset(after=0), Reset(after=1)]) as server:
        with pytest.raises(ConnectionResetError):
            Client(server).post(asked("x"))
        response = Client(server).post(asked("x"))
        assert response.status == 200
        with pytest.raises(ConnectionResetError):
            response.read()
        response = Client(server).post(asked("x", stream=True))
        got: list[bytes] = []
        with pytest.raises(ConnectionResetError):
            got.extend(iter(response.read1, None))
        assert b"two" not in b"".join(got)
        assert Client(server).text("x") == "one two"
        server.until(lambda seen: seen.requests[-1].outcome == "answered")
        assert [request.outcome for request in server.requests] == ["failed"] * 3 + ["answered"]


def test_truncated_bodies() -> None:
    """A stream ends in good form without its end marker; a whole body stops in the middle."""
    with ProviderServer(["one two", Truncate(), Truncate()]) as server:
        client = Client(server)
        client.text("x")
        events = client.events(asked("x"))
        assert len(events) == 2
        assert "[DONE]" not in events
        with pytest.raises(http.client.IncompleteRead):
            client.post(asked("x")).read()


def test_faults_inside_a_stream() -> None:
    """An error event with status 200, and no end marker."""
    with ProviderServer(faults=[StreamFault(message="no", code=502)]) as server:
        *_, last = Client(server).events(asked("x"))
        assert last["error"] == {
            "message": "no",
            "type": "server_error",
            "param": None,
            "code": 502,
        }


def test_malformed_bodies() -> None:
    """Whatever the test says."""
    with ProviderServer([Malformed(), Malformed(body=b"<p>", content_type="text/html")]) as server:
        client = Client(server)
        response = client.post(asked("x"))
        assert response.status == 200
        with pytest.raises(json.JSONDecodeError):
            json.loads(response.read())
        response = client.post(asked("x"))
        assert (response.headers["content-type"], response.read()) == ("text/html", b"<p>")


def test_a_blackhole_ends_with_its_client() -> None:
    """Nothing comes; the server notices the client's leaving."""
    with ProviderServer(faults=[Blackhole()]) as server:
        client = Client(server)
        client.connection.request("POST", "/v1/chat/completions", json.dumps(asked("x")))
        server.until(lambda seen: bool(seen.requests))
        assert server.requests[0].outcome == "open"
        client.connection.close()
        server.until(lambda seen: seen.requests[0].outcome == "disconnected")


@pytest.mark.parametrize("stream", [True, False])
def test_a_drip_says_the_same(*, stream: bool) -> None:
    """Slowly, whole or streamed."""
    with ProviderServer(faults=[Drip(interval=0)]) as server:
        client = Client(server)
        if stream:
            assert client.events(asked("x"))[-1] == "[DONE]"
        else:
            assert client.text("x") == "echo: x"
