"""When a failed call may be tried again, and how long to wait: pure rules.

Delays are drawn uniformly between nothing and an exponentially growing bound ("full jitter", which
spreads the callers of one cause best: AWS architecture blog, 2015). What a server asks for wins. A
budget bounds the sum over all callers to a share of the recent calls, so that retries cannot
multiply an outage.
"""

from __future__ import annotations

import msgspec


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


class RetryBudget:
    """Retries that may still be made: a share of the calls, and a few to begin with."""

    __slots__ = ("_most", "_share", "_tokens")

    def __init__(self, share: float = 0.1, most: float = 10.0) -> None:
        self._share = share
        self._most = most
        self._tokens = most

    def called(self) -> None:
        """A first attempt was made."""
        self._tokens = min(self._most, self._tokens + self._share)

    def spend(self) -> bool:
        """Take one retry, if there is one left."""
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
