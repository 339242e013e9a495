"""The rates of one account, as buckets that are asked and taken from together.

A call costs one request and some tokens; it may be made when every bucket conforms. What is not
limited has no bucket, until the provider's own headers speak of one: then it is learnt. Learning
only ever tightens.
"""

from __future__ import annotations

from understudy.actors.rules.gcra import Gcra
from understudy.messages.limits import Acquire, Headroom, Limit

MINUTE = 60.0
_FIELDS = {
    "second": ("requests_per_second", 1.0),
    "requests": ("requests_per_minute", MINUTE),
    "tokens": ("tokens_per_minute", MINUTE),
    "input_tokens": ("input_tokens_per_minute", MINUTE),
    "output_tokens": ("output_tokens_per_minute", MINUTE),
}


class Buckets:
    """See the module's docstring. Not thread-safe."""

    __slots__ = ("_buckets", "_burst")

    def __init__(self, limit: Limit) -> None:
        self._burst = limit.burst
        self._buckets: dict[str, Gcra] = {}
        for name, (field, period) in _FIELDS.items():
            rate = getattr(limit, field)
            if rate is not None:
                self._buckets[name] = self._bucket(rate, period)

    def wait(self, now: float, ask: Acquire) -> float:
        """Seconds until a call may be made."""
        return max(
            (bucket.wait(now, _cost(name, ask)) for name, bucket in self._buckets.items()),
            default=0.0,
        )

    def queue_wait(self, now: float, calls: int, inputs: int, outputs: int) -> float:
        """Seconds until the last of many calls may be made, one after the other."""
        totals = {
            "second": calls,
            "requests": calls,
            "tokens": inputs + outputs,
            "input_tokens": inputs,
            "output_tokens": outputs,
        }
        return max(
            (bucket.queue_wait(now, totals[name]) for name, bucket in self._buckets.items()),
            default=0.0,
        )

    def take(self, now: float, ask: Acquire) -> None:
        """A call is made."""
        for name, bucket in self._buckets.items():
            bucket.take(now, _cost(name, ask))

    def settle(self, ask: Acquire, inputs: int | None, outputs: int | None) -> None:
        """What the call really used."""
        used = Acquire(
            input_tokens=ask.input_tokens if inputs is None else inputs,
            output_tokens=ask.output_tokens if outputs is None else outputs,
        )
        for name, bucket in self._buckets.items():
            bucket.give_back(_cost(name, ask) - _cost(name, used))

    def learn(self, now: float, headroom: Headroom) -> None:
        """What the provider says is left."""
        bucket = self._buckets.get(headroom.dimension)
        if bucket is None:
            if headroom.limit is None or headroom.dimension not in _FIELDS:
                return
            bucket = self._bucket(headroom.limit, _FIELDS[headroom.dimension][1])
            self._buckets[headroom.dimension] = bucket
        bucket.tighten(now, headroom.remaining, headroom.reset)

    def _bucket(self, rate: float, period: float) -> Gcra:
        return Gcra(rate, period, burst=max(1.0, rate / period * self._burst))


def _cost(name: str, ask: Acquire) -> float:
    if name in ("second", "requests"):
        return 1.0
    if name == "tokens":
        return ask.input_tokens + ask.output_tokens
    return ask.input_tokens if name == "input_tokens" else ask.output_tokens
