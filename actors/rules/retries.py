"""When a failed call may be tried again, and how long to wait: pure rules.

Delays are drawn uniformly between nothing and an exponentially growing bound ("full jitter", which
spreads the callers of one cause best: AWS architecture blog, 2015). What a server asks for wins. A
budget bounds the sum over all callers to a share of the recent calls, so that retries cannot
multiply an outage.
"""

from __future__ import annotations

import msgspec

from understudy.messages.errors import (
    ConnectError,
    ContextWindowError,
    OverloadedError,
    RateLimitError,
    ServerError,
    StreamBrokenError,
)

_ELSEWHERE = (
    ConnectError,
    ContextWindowError,
    OverloadedError,
    RateLimitError,
    ServerError,
    StreamBrokenError,
)


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of trying again; times in seconds.

    Attributes:
        attempts: calls in all, the first one included.
        patience: a server that asks to wait longer than this is not waited for.
    """

    attempts: int = 3
    backoff_min: float = 0.5
    backoff_max: float = 30.0
    patience: float = 120.0


def retry_delay(
    policy: RetryPolicy, attempts: int, random: float, retry_after: float | None
) -> float | None:
    """Seconds to wait after `attempts` calls, or None when there shall be no further one.

    Args:
        policy: the bounds.
        attempts: calls that were made.
        random: a number in [0, 1).
        retry_after: what the server asked for, if it did.
    """
    if attempts >= policy.attempts:
        return None
    if retry_after is not None:
        if retry_after > policy.patience:
            return None
        return retry_after * (1 + 0.1 * random)
    bound = min(policy.backoff_max, policy.backoff_min * 2.0 ** (attempts - 1))
    return bound * random


def falls_back(error: BaseException, *, delivered: bool = False) -> bool:
    """Whether another model may succeed where this one has failed for good.

    It may when the provider is down, overloaded or out of reach, when its breaker is open, when a
    permit cannot come before the deadline or the account is out of money, and when the prompt is
    too long for this model. It may not when the call itself is at fault (a wrong key, a bad
    request, a refusal to answer), nor when its time is over.

    Args:
        error: what the call has failed with.
        delivered: somebody has read some of the answer already: a second one would not fit.
    """
    return isinstance(error, _ELSEWHERE) and not delivered


class RetryBudget:
    """Retries that may still be made: a share of the calls, and a few to begin with."""

    __slots__ = ("_most", "_share", "_tokens")

    def __init__(self, share: float = 0.1, most: float = 10.0) -> None:
        self._share = share
        self._most = most
        self._tokens = most

    def called(self) -> None:
        """A first attempt was made."""
        if self._tokens < self._most:
            self._tokens = min(self._most, self._tokens + self._share)

    def spend(self) -> bool:
        """Take one retry, if there is one left."""
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
