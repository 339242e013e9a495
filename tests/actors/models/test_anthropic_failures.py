"""Anthropic's answers that are none: cut, refused, malformed; what is left of the limits."""

from typing import Any

import pytest
from tests.actors.models.anthropic_events import ended, started, text

from understudy.actors.models.anthropic import AnthropicMessages
from understudy.messages.errors import (
    AuthenticationError,
    BadRequestError,
    ContextWindowError,
    ModelError,
    RateLimitError,
    ResponseError,
    ServerError,
    StreamBrokenError,
)
from understudy.messages.limits import Headroom

pytestmark = pytest.mark.anyio

PROVIDER = AnthropicMessages


@pytest.mark.parametrize("stop", [0, 3, 4, 5])
async def test_a_stream_that_is_cut(player: Any, stop: int) -> None:
    """Before `message_stop` it is broken, whatever had come, with what it cost."""
    events = [started(), *text("half"), *ended()]
    player.streams(*events[:stop])
    error = await player.fails(stream=True)
    assert type(error) is StreamBrokenError
    assert error.partial == ("half" if stop > 2 else "")
    assert error.retryable is (stop <= 2)
    if stop:
        assert error.usage.input_tokens == 115


async def test_half_an_event(player: Any) -> None:
    """It is a broken stream, not a bad answer."""
    player.streams(started(), *text("half"), end=b'data: {"type":"message_de')
    assert type(await player.fails(stream=True)) is StreamBrokenError


@pytest.mark.parametrize(
    ("kind", "leaf", "retryable"),
    [
        ("overloaded_error", ServerError, True),
        ("api_error", ServerError, True),
        ("rate_limit_error", RateLimitError, True),
        ("invalid_request_error", BadRequestError, False),
    ],
)
async def test_errors_inside_a_stream(
    player: Any, kind: str, leaf: type[ModelError], *, retryable: bool
) -> None:
    """The status has said 200; after text was delivered nothing is worth repeating."""
    error = {"type": "error", "error": {"type": kind, "message": "Overloaded"}}
    player.streams(started(), error)
    found = await player.fails(stream=True)
    assert (type(found), found.retryable) == (leaf, retryable)
    player.streams(started(), *text("some"), error)
    found = await player.fails(stream=True)
    assert (type(found), found.retryable, found.partial) == (leaf, False, "some")


@pytest.mark.parametrize(
    ("status", "kind", "said", "leaf", "retryable"),
    [
        (400, "invalid_request_error", "messages: empty", BadRequestError, False),
        (
            400,
            "invalid_request_error",
            "prompt is too long: 210000 tokens > 200000 maximum",
            ContextWindowError,
            False,
        ),
        (
            400,
            "invalid_request_error",
            "input length and `max_tokens` exceed context limit: 9 + 9 > 10",
            ContextWindowError,
            False,
        ),
        (
            400,
            "invalid_request_error",
            "Your credit balance is too low to access the Anthropic API.",
            RateLimitError,
            False,
        ),
        (401, "authentication_error", "invalid x-api-key", AuthenticationError, False),
        (402, "billing_error", "pay", RateLimitError, False),
        (403, "permission_error", "no", AuthenticationError, False),
        (404, "not_found_error", "model: claude-0", BadRequestError, False),
        (413, "request_too_large", "big", BadRequestError, False),
        (429, "rate_limit_error", "slow down", RateLimitError, True),
        (
            429,
            "rate_limit_error",
            "This would exceed your workspace's monthly spend limit",
            RateLimitError,
            False,
        ),
        (500, "api_error", "oops", ServerError, True),
        (504, "timeout_error", "late", ServerError, True),
        (529, "overloaded_error", "Overloaded", ServerError, True),
    ],
)
async def test_refusals(
    player: Any, status: int, kind: str, said: str, leaf: type[ModelError], *, retryable: bool
) -> None:
    """Each status and type is one leaf, with the id of the call."""
    body = {"type": "error", "error": {"type": kind, "message": said}, "request_id": "req_b"}
    player.answers(body, status=status, request_id="req_h")
    error = await player.fails()
    assert (type(error), error.retryable, error.status) == (leaf, retryable, status)
    assert error.request_id == "req_h"


async def test_what_is_left_of_the_limits(player: Any) -> None:
    """From its headers, whose resets are times; an empty bucket says when to come back."""
    date = "Tue, 24 Nov 2026 10:00:00 GMT"
    limits = {
        "date": date,
        "anthropic_ratelimit_requests_limit": "50",
        "anthropic_ratelimit_requests_remaining": "49",
        "anthropic_ratelimit_requests_reset": "2026-11-24T10:00:30Z",
        "anthropic_ratelimit_output_tokens_remaining": "0",
        "anthropic_ratelimit_output_tokens_reset": "2026-11-24T10:00:12Z",
    }
    player.streams(started(), *text("a"), *ended(), **limits)
    _, _, completion = await player.stream()
    assert completion.headroom == (
        Headroom(dimension="requests", remaining=49, reset=30, limit=50),
        Headroom(dimension="output_tokens", remaining=0, reset=12),
    )
    player.answers({"error": {"type": "rate_limit_error"}}, status=429, **limits)
    assert (await player.fails()).retry_after == 12


async def test_what_is_no_message(player: Any) -> None:
    """HTML."""
    player.answers(b"<html>", kind="text/html")
    assert type(await player.fails(stream=True)) is ResponseError
