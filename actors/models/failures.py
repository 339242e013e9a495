"""What a provider's refusal means: one pure function for all of them.

`classify` turns status, headers and the error body's fields into one leaf of the error tree, with
the facts that retry, limiter and breaker decide by. The tables are those of the providers'
documentation and SDKs; codes are read before types, types before the status.

Retried are 408, 409, 429, 500, 502, 503, 504 and 529, unless the code says that money or quota ran
out or the provider sends `x-should-retry`, which overrides everything else. A wait of more than two
minutes is told (`retry_after`) but not worth retrying.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache

import msgspec

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

MAX_RETRY_AFTER = 120.0
"""Seconds; who is told to wait longer gives up."""

_RETRIED = frozenset({408, 409, 429, 500, 502, 503, 504, 529})
_OUT_OF_MONEY = frozenset(
    {
        "insufficient_quota",
        "billing_hard_limit_reached",
        "credit_balance_exhausted",
        "organization_spend_limit_exceeded",
        "project_spend_limit_exceeded",
        "organization_usage_limit_exceeded",
    }
)
_FILTERED = frozenset({"content_filter", "content_policy_violation"})
_TOO_LONG = (
    "context_length_exceeded",
    "maximum context length",
    "exceeds the context window",
    "exceed context limit",  # Anthropic: input and max_tokens together
    "exceeds the context length",  # Ollama
    "available context size",  # llama.cpp
    "exceeds the maximum number of tokens",  # Gemini
    "prompt is too long",
)
_SPENT = ("credit balance is too low", "specified api usage limits", "spend limit")
"""How Anthropic says it, under a type that says nothing of money."""
_BAD_KEYS = frozenset({"invalid_api_key", "API_KEY_INVALID"})
"""Google answers 400 to a wrong key."""
_STATUS_OF = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "model_not_found": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "tokens": 429,
    "requests": 429,
    "api_error": 500,
    "server_error": 500,
    "internal_server_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
    "overloaded": 529,
    "invalid_prompt": 400,
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
"""For errors inside a stream, whose HTTP status says 200."""

_BROKE = "the account's quota or budget is used up"
_TROUBLE = "it is the provider's trouble: try later, or another model"
_KINDS: dict[int, tuple[type[ModelError], str]] = {
    2: (ResponseError, ""),
    3: (ResponseError, "redirects are not followed; set base_url to the final address"),
    4: (BadRequestError, ""),
    5: (ServerError, _TROUBLE),
    401: (AuthenticationError, "check the API key and what it may use"),
    402: (RateLimitError, _BROKE),
    403: (AuthenticationError, "check the API key and what it may use"),
    404: (BadRequestError, "check the model's name and base_url"),
    408: (ServerError, _TROUBLE),
    409: (ServerError, _TROUBLE),
    413: (BadRequestError, "send less: fewer messages, smaller pictures"),
    429: (RateLimitError, "call less often: limits= paces all callers of an account"),
}
"""By status, or by its first digit; with the remedy, where there is one."""

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|h|m|s)")
_ENDS = {"h", "m", "s"}
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """What an error body says, in any provider's spelling; what is missing is empty.

    Attributes:
        retry_after: seconds to wait, where the body says it and not a header.
        spent: it is a quota that time will not refill soon.
    """

    message: str = ""
    code: str = ""
    type: str = ""
    retry_after: float | None = None
    spent: bool = False


def classify(
    refusal: Refusal,
    *,
    provider: str,
    model: str,
    status: int | None,
    headers: Mapping[str, str],
    request_id: str | None = None,
) -> ModelError:
    """The error that a refusal is.

    Args:
        refusal: the error body's fields, without the key.
        provider: who refused.
        model: which model was asked.
        status: the HTTP status, or None for an error inside a stream.
        headers: of the answer, names in lower case.
        request_id: the provider's own id of the call.
    """
    code = refusal.code or refusal.type
    shown = f"HTTP {status}" if status else ""
    if status is None:
        by_number = int(refusal.code) if re.fullmatch(r"[1-9][0-9]{2}", refusal.code) else None
        status = by_number or _STATUS_OF.get(refusal.code) or _STATUS_OF.get(refusal.type)
    kind, remedy = _kind(status, refusal)
    delay = retry_delay(headers)
    if delay is None:
        delay = refusal.retry_after
    retryable = status in _RETRIED and not _out_of_money(refusal)
    if kind in (ContextWindowError, ContentFilterError):
        retryable = False
    told = headers.get("x-should-retry", "")
    if told in ("true", "false"):
        retryable = told == "true"
    if delay is not None and delay > MAX_RETRY_AFTER:
        retryable = False
    facts = ", ".join(filter(None, (shown, code, request_id and f"request {request_id}")))
    told = (refusal.message or "no explanation given") + (f" ({facts})" if facts else "")
    error = kind(
        f"{provider}:{model}: {told}" + (f"; {remedy}" if remedy else ""),
        provider=provider,
        model=model,
        status=status,
        request_id=request_id,
        code=code or None,
        retryable=retryable,
        retry_after=delay,
    )
    if isinstance(error, RateLimitError) and remedy == _BROKE:
        error.spent = True
    return error


def retry_delay(headers: Mapping[str, str]) -> float | None:
    """Seconds that the provider asks to wait, if it does.

    In order: `retry-after-ms`, `retry-after` (seconds, or a date, read against the answer's own
    `date` so that no clock is compared with another), the reset of a rate-limit bucket that is
    empty.
    """
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    after = headers.get("retry-after", "")
    seconds = _number(after)
    if seconds is not None:
        return seconds
    if after:
        return _until(after, headers.get("date", ""))
    resets = [
        reset_delay(headers.get(name.replace("-remaining", "-reset", 1), ""), headers)
        for name, value in headers.items()
        if "ratelimit" in name and "-remaining" in name and value.strip() == "0"
    ]
    return max((reset for reset in resets if reset is not None), default=None)


def reset_delay(text: str, headers: Mapping[str, str]) -> float | None:
    """Seconds until a bucket is full again: a Go duration, or an RFC 3339 time (Anthropic's)."""
    duration = parse_duration(text)  # first: no time is one, and failing to read one is slow
    if duration is not None:
        return duration
    try:
        reset = datetime.fromisoformat(text)
        return max(0.0, (reset - _date(headers["date"])).total_seconds())
    except (ValueError, TypeError, KeyError):
        return None


@lru_cache(maxsize=16)
def _date(text: str) -> datetime:
    """When an answer was given: of all answers within a second, and for each of their buckets."""
    return parsedate_to_datetime(text)


def parse_duration(text: str) -> float | None:
    """Seconds of a Go duration such as `6m0s`, `1h2m3.5s` or `12ms`; None when it is none."""
    if text[-1:] not in _ENDS:
        return None
    position, total = 0, 0.0
    for part in _DURATION.finditer(text):
        if part.start() != position:
            return None
        position = part.end()
        total += float(part[1]) * _UNITS[part[2]]
    return total if position == len(text) else None


def _kind(status: int | None, refusal: Refusal) -> tuple[type[ModelError], str]:
    said = f"{refusal.code} {refusal.message}".lower()
    if any(mark in said for mark in _TOO_LONG):
        return ContextWindowError, "shorten the history (context_window=) or use a bigger model"
    if refusal.code in _FILTERED or refusal.type in _FILTERED:
        return ContentFilterError, "word the prompt otherwise, or use another model"
    if _out_of_money(refusal):
        return RateLimitError, _BROKE
    if refusal.code in _BAD_KEYS:
        return _KINDS[401]
    found = _KINDS.get(status or 500) or _KINDS.get((status or 500) // 100)
    return found or (ResponseError, "")


def _out_of_money(refusal: Refusal) -> bool:
    said = refusal.message.lower()
    return (
        refusal.spent
        or refusal.code in _OUT_OF_MONEY
        or refusal.type in _OUT_OF_MONEY
        or any(mark in said for mark in _SPENT)
    )


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def _until(date: str, now: str) -> float | None:
    try:
        wait = (parsedate_to_datetime(date) - parsedate_to_datetime(now)).total_seconds()
    except (ValueError, TypeError):
        return None
    return max(0.0, wait)
