"""A provider's rate limits: token buckets, what they tell in headers, and the cap on spending.

Each limit is a bucket that holds what `burst` seconds bring and is refilled continuously, as the
providers describe theirs. A request takes one request, and its prompt; a protocol that charges for
what may be answered (OpenAI's) takes `max_tokens` at once, the others the answer's own tokens when
it is known, which may leave a debt. A request that does not fit takes nothing and is told when it
would. With `spend_cap` tokens used up, every further request is refused for good.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import msgspec

from understudy.messages.errors import ConfigError


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one account may use; None: without bound.

    Attributes:
        requests_per_minute: requests.
        tokens_per_minute: prompts and answers together.
        input_tokens_per_minute: prompts alone.
        output_tokens_per_minute: answers alone.
        burst: seconds' worth that a bucket holds; 60 lets a full minute's allowance go at once.
        spend_cap: tokens after which the account is out of money.
    """

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    input_tokens_per_minute: float | None = None
    output_tokens_per_minute: float | None = None
    burst: float = 60.0
    spend_cap: int | None = None

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigError(f"{name}={value}: more than 0, or None for no limit")


class Reading(msgspec.Struct, frozen=True):
    """A bucket as its headers tell it.

    Attributes:
        name: `requests`, `tokens`, `input-tokens` or `output-tokens`.
        reset: seconds until it is full.
    """

    name: str
    limit: int
    remaining: int
    reset: float


class Refused(msgspec.Struct, frozen=True):
    """Which limit a request ran into; `wait` None: it is the cap, and time does not help."""

    name: str
    wait: float | None
    limit: int = 0
    used: int = 0
    asked: int = 0


class _Bucket:
    """Refilled continuously; `level` may be below zero, where a cost became known too late."""

    def __init__(self, name: str, per_minute: float, burst: float, now: float) -> None:
        self.name = name
        self.limit = int(per_minute)
        self.rate = per_minute / 60.0
        self.size = max(1.0, self.rate * burst)
        self.level = self.size
        self._at = now

    def refill(self, now: float) -> None:
        self.level = min(self.size, self.level + (now - self._at) * self.rate)
        self._at = now

    def wait(self, cost: float) -> float:
        """Seconds until that much fits; what is larger than the bucket needs all of it."""
        return max(0.0, (min(cost, self.size) - self.level) / self.rate)

    def reading(self) -> Reading:
        missing = (self.size - self.level) / self.rate
        return Reading(self.name, self.limit, max(0, math.floor(self.level)), missing)


class Buckets:
    """The limits of one server at work."""

    def __init__(self, limits: Limits, now: float) -> None:
        self._cap = limits.spend_cap
        self._spent = 0
        given = {
            "requests": limits.requests_per_minute,
            "tokens": limits.tokens_per_minute,
            "input-tokens": limits.input_tokens_per_minute,
            "output-tokens": limits.output_tokens_per_minute,
        }
        self._buckets = {
            name: _Bucket(name, value, limits.burst, now)
            for name, value in given.items()
            if value is not None
        }

    def admit(self, prompt: int, output: int, now: float) -> Refused | None:
        """Take a request with its prompt, and the answer's tokens as far as they are charged now.

        Returns:
            None, or why not; then nothing was taken.
        """
        if self._cap is not None and self._spent >= self._cap:
            return Refused("spend", None)
        costs = list(self._costs(1, prompt, output))
        for bucket, cost in costs:
            bucket.refill(now)
            wait = bucket.wait(cost)
            # A wait of less than a nanosecond is a rounding error, not a limit.
            if wait > 1e-9:
                used = math.ceil(bucket.size - bucket.level)
                return Refused(bucket.name, wait, bucket.limit, used, cost)
        for bucket, cost in costs:
            bucket.level -= cost
        self._spent += prompt
        return None

    def answered(self, output: int, *, charged: bool) -> None:
        """The answer's tokens are known; `charged`: the buckets had been charged for it."""
        self._spent += output
        if not charged:
            for bucket, cost in self._costs(0, 0, output):
                bucket.level -= cost

    def readings(self) -> list[Reading]:
        """Every bucket, as it is after the last request."""
        return [bucket.reading() for bucket in self._buckets.values()]

    def _costs(self, requests: int, prompt: int, output: int) -> Iterator[tuple[_Bucket, int]]:
        costs = {
            "requests": requests,
            "tokens": prompt + output,
            "input-tokens": prompt,
            "output-tokens": output,
        }
        for name, bucket in self._buckets.items():
            if costs[name]:
                yield bucket, costs[name]


def go_duration(seconds: float) -> str:
    """As OpenAI writes resets: `12ms`, `1.5s`, `6m0s`."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(round(seconds, 3), 60)
    hours, minutes = divmod(int(minutes), 60)
    told = f"{rest:.3f}".rstrip("0").rstrip(".") + "s"
    if hours:
        return f"{hours}h{minutes}m{told}"
    return f"{minutes}m{told}" if minutes else told
