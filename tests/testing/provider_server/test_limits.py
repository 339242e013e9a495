import http.client
import json
from typing import Any
from urllib.parse import urlsplit

import pytest

from understudy import ConfigError
from understudy.actors.models.failures import classify, parse_duration, retry_delay
from understudy.actors.models.wire import read_refusal
from understudy.testing.provider_server import Limits, ProviderServer
from understudy.testing.provider_server.limits import Buckets, go_duration

ASKED: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "one two three"}]}


def ask(
    server: ProviderServer, path: str = "/v1/chat/completions", **fields: Any
) -> http.client.HTTPResponse:
    """One request on a connection of its own; its body is read into `.body`."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=10)
    connection.request("POST", path, json.dumps(ASKED | fields))
    response = connection.getresponse()
    response.body = response.read()  # type: ignore[attr-defined]
    connection.close()
    return response


def body_of(response: http.client.HTTPResponse) -> bytes:
    """What `ask` has read."""
    body: bytes = response.body  # type: ignore[attr-defined]
    return body


def test_a_bucket_is_refilled_continuously() -> None:
    """60 a minute with a second's burst: one now, the next after exactly a second."""
    buckets = Buckets(Limits(requests_per_minute=60, burst=1), now=100.0)
    assert buckets.admit(1, 0, 100.0) is None
    refused = buckets.admit(1, 0, 100.25)
    assert refused is not None
    assert refused.name == "requests"
    assert refused.wait == pytest.approx(0.75)
    assert buckets.admit(1, 0, 101.0) is None
    assert buckets.admit(1, 0, 101.5) is not None


def test_a_full_minute_may_go_at_once_but_not_twice() -> None:
    """The default burst is a minute's worth, and no window starts anew at the minute."""
    buckets = Buckets(Limits(requests_per_minute=10), now=0.0)
    assert [buckets.admit(1, 0, 59.9) for _ in range(10)] == [None] * 10
    refused = buckets.admit(1, 0, 60.1)
    assert refused is not None
    assert refused.wait == pytest.approx(5.8)


def test_who_is_refused_takes_nothing() -> None:
    """The bucket that had room is as it was."""
    buckets = Buckets(Limits(requests_per_minute=10, tokens_per_minute=100), now=0.0)
    assert buckets.admit(60, 0, 0.0) is None
    refused = buckets.admit(60, 0, 0.0)
    assert refused is not None
    assert refused.name == "tokens"
    assert [reading.remaining for reading in buckets.readings()] == [9, 40]


def test_tokens_are_charged_before_or_after() -> None:
    """What was not known before leaves a debt that time pays."""
    buckets = Buckets(Limits(tokens_per_minute=60, burst=10), now=0.0)
    assert buckets.admit(5, 0, 0.0) is None
    buckets.answered(10, charged=False)
    refused = buckets.admit(1, 0, 0.0)
    assert refused is not None
    assert refused.wait == pytest.approx(6.0)
    charged = Buckets(Limits(tokens_per_minute=60, burst=10), now=0.0)
    assert charged.admit(5, 5, 0.0) is None
    charged.answered(3, charged=True)
    assert charged.readings()[0].remaining == 0


def test_a_request_larger_than_the_bucket_waits_for_all_of_it() -> None:
    """It is not refused for ever."""
    buckets = Buckets(Limits(tokens_per_minute=60, burst=10), now=0.0)
    assert buckets.admit(50, 0, 0.0) is None
    refused = buckets.admit(50, 0, 1.0)
    assert refused is not None
    assert refused.wait == pytest.approx(49.0)


def test_openai_tells_its_limits() -> None:
    """In every answer; then 429 with how long to wait, in a form that our client reads."""
    limits = Limits(requests_per_minute=2, tokens_per_minute=1000)
    with ProviderServer("one two", limits=limits) as server:
        first = ask(server, max_tokens=20)
        assert first.status == 200
        assert first.headers["x-ratelimit-limit-requests"] == "2"
        assert first.headers["x-ratelimit-remaining-requests"] == "1"
        assert first.headers["x-ratelimit-remaining-tokens"] == "977"
        assert parse_duration(first.headers["x-ratelimit-reset-requests"]) == pytest.approx(30, 0.1)
        ask(server)
        refused = ask(server)
        assert refused.status == 429
        error = json.loads(body_of(refused))["error"]
        assert (error["type"], error["code"]) == ("requests", "rate_limit_exceeded")
        headers = {name.lower(): value for name, value in refused.headers.items()}
        assert retry_delay(headers) == pytest.approx(30, 0.1)
        assert int(refused.headers["retry-after"]) in (29, 30)
        assert server.stats.limited == 1


def test_max_tokens_is_charged_at_once_by_openai_alone() -> None:
    """Anthropic counts what was answered."""
    limits = Limits(tokens_per_minute=100)
    with ProviderServer("one two", limits=limits) as server:
        assert ask(server, max_tokens=90).headers["x-ratelimit-remaining-tokens"] == "7"
    with ProviderServer("one two", limits=limits) as server:
        response = ask(server, "/v1/messages", max_tokens=90)
        assert response.headers["anthropic-ratelimit-tokens-remaining"] == "95"


def test_anthropic_tells_its_limits() -> None:
    """Input and output apart, resets as times beside the date of the answer."""
    limits = Limits(
        requests_per_minute=60, input_tokens_per_minute=4, output_tokens_per_minute=1000
    )
    with ProviderServer("one two", limits=limits) as server:
        ask(server, "/v1/messages", max_tokens=9)
        refused = ask(server, "/v1/messages", max_tokens=9)
        assert refused.status == 429
        assert json.loads(body_of(refused))["error"]["type"] == "rate_limit_error"
        headers = {name.lower(): value for name, value in refused.headers.items()}
        assert headers["anthropic-ratelimit-input-tokens-limit"] == "4"
        assert headers["anthropic-ratelimit-output-tokens-remaining"] == "998"
        assert retry_delay(headers) == pytest.approx(30, 0.1)
        del headers["retry-after"], headers["retry-after-ms"]
        headers["anthropic-ratelimit-input-tokens-remaining"] = "0"
        delay = retry_delay(headers)
        assert delay is not None
        assert 40 <= delay <= 60


@pytest.mark.parametrize(
    ("path", "status"), [("/v1/chat/completions", 429), ("/v1/messages", 429), ("/api/chat", 402)]
)
def test_a_spend_cap_is_final(path: str, status: int) -> None:
    """It is told in the words that make our client give up, whatever time passes."""
    with ProviderServer("one two", limits=Limits(spend_cap=5)) as server:
        assert ask(server, path, max_tokens=9, stream=False).status == 200
        refused = ask(server, path, max_tokens=9, stream=False)
        assert refused.status == status
        error = classify(
            read_refusal(body_of(refused)), provider="p", model="m", status=status,
            headers={name.lower(): value for name, value in refused.headers.items()},
        )  # fmt: skip
        assert (type(error).__name__, error.retryable) == ("RateLimitError", False)
        assert "retry-after" not in refused.headers


def test_a_refused_request_uses_up_no_answer_and_no_fault() -> None:
    """The script goes on with who is let in."""
    with ProviderServer(["one", "two"], limits=Limits(requests_per_minute=1)) as server:
        assert b"one" in body_of(ask(server))
        assert ask(server).status == 429
        assert ask(server).status == 429
    assert [request.outcome for request in server.requests] == ["answered"] * 3


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.0115, "12ms"), (1.5, "1.5s"), (360, "6m0s"), (3723.5, "1h2m3.5s"), (0, "0ms")],
)
def test_durations_are_written_as_go_does(seconds: float, told: str) -> None:
    """And are read again by our client."""
    assert go_duration(seconds) == told
    assert parse_duration(told) == pytest.approx(seconds, abs=0.001)


@pytest.mark.parametrize("field", ["requests_per_minute", "burst", "spend_cap"])
def test_limits_that_make_no_sense(field: str) -> None:
    """They are named."""
    with pytest.raises(ConfigError, match=f"{field}=0"):
        Limits(**{field: 0})
