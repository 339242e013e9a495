import pytest

from understudy.actors.models.failures import Refusal, classify, parse_duration, retry_delay
from understudy.messages.errors import (
    AuthenticationError,
    BadRequestError,
    ContentFilterError,
    ContextWindowError,
    ModelError,
    RateLimitError,
    ResponseError,
    ServerError,
)


def error(
    status: int | None, *, code: str = "", kind: str = "", said: str = "no", **headers: str
) -> ModelError:
    """The error that such an answer is; header names with underscores for dashes."""
    return classify(
        Refusal(message=said, code=code, type=kind),
        provider="openai",
        model="m",
        status=status,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
        request_id="req_1",
    )


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (301, ResponseError, False),
        (400, BadRequestError, False),
        (401, AuthenticationError, False),
        (402, RateLimitError, False),
        (403, AuthenticationError, False),
        (404, BadRequestError, False),
        (408, ServerError, True),
        (409, ServerError, True),
        (413, BadRequestError, False),
        (418, BadRequestError, False),
        (422, BadRequestError, False),
        (429, RateLimitError, True),
        (500, ServerError, True),
        (501, ServerError, False),
        (502, ServerError, True),
        (503, ServerError, True),
        (504, ServerError, True),
        (529, ServerError, True),
        (999, ResponseError, False),
    ],
)
def test_by_status(status: int, kind: type[ModelError], *, retryable: bool) -> None:
    """Each status is one leaf, retried or not, with its facts."""
    found = error(status)
    assert (type(found), found.retryable) == (kind, retryable)
    assert (found.provider, found.model, found.status) == ("openai", "m", status)
    assert found.request_id == "req_1"
    assert f"HTTP {status}" in found.message


@pytest.mark.parametrize(
    ("code", "kind", "status", "leaf", "retryable"),
    [
        ("insufficient_quota", "", 429, RateLimitError, False),
        ("", "billing_hard_limit_reached", 429, RateLimitError, False),
        ("organization_spend_limit_exceeded", "", 402, RateLimitError, False),
        ("context_length_exceeded", "invalid_request_error", 400, ContextWindowError, False),
        ("content_filter", "", 400, ContentFilterError, False),
        ("rate_limit_exceeded", "tokens", 429, RateLimitError, True),
        ("", "server_error", None, ServerError, True),
        ("", "overloaded_error", None, ServerError, True),
        ("502", "", None, ServerError, True),
        ("429", "", None, RateLimitError, True),
        ("", "invalid_request_error", None, BadRequestError, False),
        ("invalid_api_key", "invalid_request_error", None, AuthenticationError, False),
        ("", "", None, ServerError, False),
        ("²", "", None, ServerError, False),
        ("API_KEY_INVALID", "INVALID_ARGUMENT", 400, AuthenticationError, False),
        ("RATE_LIMIT_EXCEEDED", "RESOURCE_EXHAUSTED", None, RateLimitError, True),
        ("UNAVAILABLE", "UNAVAILABLE", None, ServerError, True),
    ],
)
def test_by_code(
    code: str, kind: str, status: int | None, leaf: type[ModelError], *, retryable: bool
) -> None:
    """A code outweighs the status, and inside a stream it is all there is."""
    found = error(status, code=code, kind=kind)
    assert (type(found), found.retryable) == (leaf, retryable)


@pytest.mark.parametrize(
    "said",
    [
        "This model's maximum context length is 8192 tokens",
        "prompt is too long: 9 > 8",
        "input length and `max_tokens` exceed context limit: 9 + 9 > 10",
        "The input token count (9) exceeds the maximum number of tokens allowed (8).",
        "the input length exceeds the context length",
        "the request exceeds the available context size",
        "Your input exceeds the context window of this model.",
    ],
)
def test_a_prompt_that_is_too_long_is_known_by_its_words(said: str) -> None:
    """Compatible servers give no code."""
    assert type(error(400, said=said)) is ContextWindowError


@pytest.mark.parametrize(
    "said",
    [
        "Your credit balance is too low to access the Anthropic API.",
        "You have reached your specified API usage limits.",
        "This would exceed your workspace's monthly spend limit",
    ],
)
@pytest.mark.parametrize("status", [400, 429])
def test_money_that_is_spent_is_known_by_its_words(said: str, status: int) -> None:
    """Anthropic has no code for it; waiting does not help."""
    found = error(status, said=said, retry_after="1")
    assert (type(found), found.retryable) == (RateLimitError, False)
    assert "budget" in found.message


def test_what_only_the_body_says() -> None:
    """Google's delay and its quotas of a day; a header outweighs the body."""
    refusal = Refusal(code="RESOURCE_EXHAUSTED", retry_after=22.0)
    facts = {"provider": "gemini", "model": "m", "status": 429}
    found = classify(refusal, headers={}, **facts)  # type: ignore[arg-type]
    assert (type(found), found.retryable, found.retry_after) == (RateLimitError, True, 22.0)
    found = classify(refusal, headers={"retry-after": "1"}, **facts)  # type: ignore[arg-type]
    assert found.retry_after == 1.0
    spent = Refusal(code="RESOURCE_EXHAUSTED", spent=True)
    assert not classify(spent, headers={}, **facts).retryable  # type: ignore[arg-type]


def test_the_provider_has_the_last_word_on_retrying() -> None:
    """`x-should-retry` overrides the tables, both ways."""
    assert error(400, x_should_retry="true").retryable
    assert not error(503, x_should_retry="false").retryable


def test_a_long_wait_is_told_but_not_waited() -> None:
    """Above two minutes the caller is better off with the error."""
    found = error(429, retry_after="600")
    assert (found.retryable, found.retry_after) == (False, 600.0)


@pytest.mark.parametrize(
    ("headers", "delay"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        (
            {
                "retry-after": "Wed, 21 Oct 2026 07:28:07 GMT",
                "date": "Wed, 21 Oct 2026 07:28:00 GMT",
            },
            7.0,
        ),
        (
            {
                "retry-after": "Wed, 21 Oct 2026 07:27:00 GMT",
                "date": "Wed, 21 Oct 2026 07:28:00 GMT",
            },
            0.0,
        ),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:07 GMT"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "-1"}, None),
        (
            {
                "x-ratelimit-remaining-requests": "5",
                "x-ratelimit-reset-requests": "1h",
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": "6m0s",
            },
            360.0,
        ),
        ({"x-ratelimit-remaining-tokens": "0"}, None),
    ],
)
def test_how_long_to_wait(headers: dict[str, str], delay: float | None) -> None:
    """In all spellings, in their order."""
    assert retry_delay(headers) == delay


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1.0),
        ("12ms", 0.012),
        ("6m0s", 360.0),
        ("1h2m3.5s", 3723.5),
        ("", None),
        ("s", None),
        ("1s!", None),
        ("2026-10-21T07:28:00Z", None),
    ],
)
def test_go_durations(text: str, seconds: float | None) -> None:
    """As OpenAI writes its resets."""
    assert parse_duration(text) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("found", "spent"),
    [
        (error(429, code="insufficient_quota", retry_after="20"), True),
        (error(402), True),
        (error(400, said="Your credit balance is too low"), True),
        (error(429, code="rate_limit_exceeded"), False),
        (error(429, retry_after="600"), False),
    ],
)
def test_money_and_time_are_told_apart(found: ModelError, *, spent: bool) -> None:
    """A quota that is used up is not waited for, whatever Retry-After says."""
    assert isinstance(found, RateLimitError)
    assert found.spent is spent
