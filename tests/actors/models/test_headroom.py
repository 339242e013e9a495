import pytest

from understudy.actors.models.failures import reset_delay
from understudy.actors.models.headroom import headroom_of
from understudy.messages.limits import Headroom

DATE = {"date": "Tue, 24 Nov 2026 10:00:00 GMT"}


def test_openais() -> None:
    """Requests and tokens; families that nobody knows, and buckets without a reset, are nothing."""
    headers = {
        "x-ratelimit-limit-requests": "500",
        "x-ratelimit-remaining-requests": "499",
        "x-ratelimit-reset-requests": "120ms",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "6m0s",
        "x-ratelimit-remaining-tokens_usage_based": "1",
        "x-ratelimit-reset-tokens_usage_based": "1s",
        "x-ratelimit-remaining-input-tokens": "7",
        "content-type": "application/json",
    }
    assert headroom_of(headers) == (
        Headroom(dimension="requests", remaining=499, reset=0.12, limit=500),
        Headroom(dimension="tokens", remaining=0, reset=360),
    )


@pytest.mark.parametrize("remaining", ["", "-1", "many", "²"])
def test_numbers_that_are_none(remaining: str) -> None:
    """They say nothing."""
    headers = {
        "x-ratelimit-remaining-tokens": remaining,
        "x-ratelimit-reset-tokens": "1s",
    }
    assert headroom_of(headers) == ()


@pytest.mark.parametrize(
    ("text", "headers", "seconds"),
    [
        ("1h2m3.5s", {}, 3723.5),
        ("2026-11-24T10:01:00Z", DATE, 60.0),
        ("2026-11-24T09:00:00Z", DATE, 0.0),
        ("2026-11-24T10:01:00Z", {}, None),
        ("2026-11-24T10:01:00", DATE, None),
        ("soon", DATE, None),
        ("", {}, None),
    ],
)
def test_resets_in_every_form(text: str, headers: dict[str, str], seconds: float | None) -> None:
    """A Go duration, or a time, which is read against the answer's own date."""
    assert reset_delay(text, headers) == seconds
