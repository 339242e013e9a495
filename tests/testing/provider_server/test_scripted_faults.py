"""Errors and faults in a script: each befalls the request whose turn it is."""

import http.client
import json
from typing import Any

import pytest
from tests.testing.provider_server.protocols import SAID, Client

from understudy import (
    AuthenticationError,
    ConfigError,
    ContextWindowError,
    RateLimitError,
    ResponseError,
    ServerError,
)
from understudy.testing.provider_server import ProviderServer, Refuse, Status
from understudy.testing.provider_server.script import fault_of


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
