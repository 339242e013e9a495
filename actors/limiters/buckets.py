"""The rates of one account, as buckets that are asked and taken from together.

A call costs one request and some tokens; it may be made when every bucket conforms. What is not
limited has no bucket, until the provider's own headers speak of one: then it is learnt, for the
model that was called, because providers count by model. What is learnt stands beside what was
configured and only ever tightens.
"""

from __future__ import annotations

from understudy.actors.rules.gcra import Gcra
from understudy.messages.limits import Acquire, Headroom, Limit

MINUTE = 60.0
CALL, TOKENS, INPUT, OUTPUT = range(4)
"""What a bucket counts: the place of its cost in `_costs`."""
_FIELDS = {
    "second": ("requests_per_second", 1.0, CALL),
    "requests": ("requests_per_minute", MINUTE, CALL),
    "tokens": ("tokens_per_minute", MINUTE, TOKENS),
    "input_tokens": ("input_tokens_per_minute", MINUTE, INPUT),
    "output_tokens": ("output_tokens_per_minute", MINUTE, OUTPUT),
}
_TOKENS = (TOKENS, INPUT, OUTPUT)
_Counted = tuple[tuple[int, Gcra], ...]
_Costs = tuple[float, float, float, float]


class Buckets:
    """See the module's docstring. Not thread-safe.

    Attributes:
        count_tokens: one of them counts tokens, so that a call has to say how many it takes.
    """

    __slots__ = ("_all", "_burst", "_configured", "_given", "_learnt", "count_tokens")

    def __init__(self, limit: Limit) -> None:
        self._configured: dict[str, Gcra] = {}
        self._learnt: dict[str, dict[str, Gcra]] = {}
        self._all: dict[str, _Counted] = {}
        self.adjust(limit)

    def adjust(self, limit: Limit) -> None:
        """Other rates from now on; what is owed under the old ones stays owed."""
        self._burst = limit.burst
        before, self._configured = self._configured, {}
        for field, period, _ in _FIELDS.values():
            rate = getattr(limit, field)
            if rate is not None:
                bucket = self._configured[field] = self._bucket(rate, period)
                if field in before:
                    bucket.follow(before[field])
        self._given: _Counted = tuple(
            (what, self._configured[field])
            for field, _, what in _FIELDS.values()
            if field in self._configured
        )
        self.count_tokens = any(what in _TOKENS for what, _ in self._given)
        for model in self._learnt:
            self._combine(model)

    @property
    def empty(self) -> bool:
        """Nothing is limited, for no model."""
        return not (self._given or self._all)

    def wait(self, now: float, ask: Acquire) -> float:
        """Seconds until a call may be made."""
        longest = 0.0
        costs = _costs(1.0, ask.input_tokens, ask.output_tokens)
        for what, bucket in self._all.get(ask.model, self._given):
            wait = bucket.wait(now, costs[what])
            longest = max(longest, wait)
        return longest

    def try_take(self, now: float, ask: Acquire) -> bool:
        """Make a call if it may be made now: `wait` and `take` in one."""
        buckets = self._all.get(ask.model, self._given)
        if not buckets:
            return True
        costs = _costs(1.0, ask.input_tokens, ask.output_tokens)
        for what, bucket in buckets:
            if bucket.wait(now, costs[what]):
                return False
        for what, bucket in buckets:
            bucket.take(now, costs[what])
        return True

    def queue_wait(self, now: float, model: str, calls: float, used: tuple[float, float]) -> float:
        """Seconds until the last of many calls may be made, one after the other.

        Args:
            now: the time.
            model: of the last one.
            calls: how many there are.
            used: their tokens, in and out.
        """
        costs = _costs(calls, *used)
        buckets = self._all.get(model, self._given)
        return max((bucket.queue_wait(now, costs[what]) for what, bucket in buckets), default=0.0)

    def take(self, now: float, ask: Acquire) -> None:
        """A call is made."""
        costs = _costs(1.0, ask.input_tokens, ask.output_tokens)
        for what, bucket in self._all.get(ask.model, self._given):
            bucket.take(now, costs[what])

    def settle(self, ask: Acquire, inputs: int | None, outputs: int | None) -> None:
        """What the call really used."""
        spared_in = 0 if inputs is None else ask.input_tokens - inputs
        spared_out = 0 if outputs is None else ask.output_tokens - outputs
        if not spared_in and not spared_out:
            return
        costs = _costs(0.0, spared_in, spared_out)
        for what, bucket in self._all.get(ask.model, self._given):
            if what != CALL:
                bucket.give_back(costs[what])

    def learn(self, now: float, model: str, headroom: Headroom) -> None:
        """What the provider says is left for this model."""
        name, limit = headroom.dimension, headroom.limit
        learnt = self._learnt.setdefault(model, {})
        bucket = learnt.get(name)
        if bucket is None:
            if not limit or name not in _FIELDS:
                return
            bucket = learnt[name] = self._bucket(limit, _FIELDS[name][1])
            self._combine(model)
        if limit:
            bucket.slow_to(_interval(limit, headroom))
        bucket.tighten(now, headroom.remaining, headroom.reset)

    def _combine(self, model: str) -> None:
        learnt = tuple((_FIELDS[each][2], found) for each, found in self._learnt[model].items())
        self._all[model] = self._given + learnt
        self.count_tokens = self.count_tokens or any(what in _TOKENS for what, _ in learnt)

    def _bucket(self, rate: float, period: float) -> Gcra:
        return Gcra(rate, period, burst=max(1.0, rate / period * self._burst))


def _interval(limit: float, headroom: Headroom) -> float:
    """Seconds a unit: a bucket that takes more than a minute to fill is not one of a minute."""
    used = limit - headroom.remaining
    if headroom.reset > MINUTE and used > 0:
        return max(MINUTE / limit, headroom.reset / used)
    return MINUTE / limit


def _costs(calls: float, inputs: float, outputs: float) -> _Costs:
    return calls, inputs + outputs, inputs, outputs
