"""The Limiter actor: one account, and everybody who wants to call it.

A caller asks for a `Permit` and gives it back with `Settle`. There is a permit when every rate
conforms (GCRA), a slot is free, the gate is open and the breaker lets calls through; who has to
wait takes turns by session. Tokens are reserved by estimate and settled with what was really used,
so a burst cannot overshoot.

Guarantees
- A 429 closes the gate for everybody on this account until the time that the provider asked for,
  plus jitter; then calls start slowly, one, two, four at a time, instead of all at the same
  instant.
- Nobody waits in vain: who cannot have a permit before the deadline is refused at once.
- The breaker counts failures of the provider only: a 4xx is none, and a 429 is the limiter's
  matter.
- It never sleeps and never blocks: waiting is a deferred answer, waking is one timer.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from understudy.actors.kernel.actor import Actor
from understudy.actors.kernel.context import in_hand
from understudy.actors.kernel.deferred import Deferred
from understudy.actors.kernel.timers import Timer
from understudy.actors.limiters.buckets import Buckets
from understudy.actors.limiters.turns import Turns
from understudy.actors.rules.breaker import Breaker, BreakerPolicy
from understudy.messages.errors import (
    BreakerOpenError,
    OverloadedError,
    RateLimitError,
    UnderstudyError,
)
from understudy.messages.events import BreakerClosed, BreakerOpened, GateClosed, PermitWaited
from understudy.messages.limits import (
    Acquire,
    AskStats,
    Limit,
    LimiterStats,
    Permit,
    Settle,
)

SLOW_START = 64
"""Calls under way at a time from which on a slow start is over."""


class Pump(msgspec.Struct, frozen=True):
    """Look whether somebody may go now (from the actor to itself)."""


class Waiting(NamedTuple):
    """A caller in the queue."""

    deferred: Deferred
    ask: Acquire
    since: float


class LimiterActor(Actor):
    """See the module's docstring.

    Args:
        name: of the account, for events and errors.
        limit: what it may do.
        breaker: when to stop calling.
    """

    blocking = False
    expects = (UnderstudyError,)

    def __init__(self, name: str, limit: Limit, breaker: BreakerPolicy | None = None) -> None:
        self._name = name
        self._limit = limit
        self._buckets = Buckets(limit)
        self._breaker = Breaker(breaker or BreakerPolicy())
        self._turns: Turns[Waiting] = Turns()
        self._queued = [0, 0, 0]  # calls, input tokens, output tokens that wait
        self._out: dict[int, Acquire] = {}
        self._closed_until = 0.0
        self._window: int | None = None
        self._strikes = 0
        self._ids = self._granted = self._refused = self._limited = 0
        self._pump: Timer | None = None
        self._pump_at = 0.0

    def on_receive(
        self, message: Acquire | Settle | Pump | AskStats
    ) -> Permit | LimiterStats | None:
        """Grant, queue or refuse; take a permit back; let the next one go."""
        now = self._cell.system.now()
        if isinstance(message, Acquire):
            return self._acquire(message, now)
        if isinstance(message, Settle):
            self._settle(message, now)
        elif isinstance(message, AskStats):
            return self._stats(now)
        else:
            self._pump = None
        self._let_go(now)
        return None

    # -- asking -----------------------------------------------------------------------------------

    def _acquire(self, ask: Acquire, now: float) -> Permit | None:
        if self._breaker.state(now) == "open":
            self._refused += 1
            raise self._open_error(now)
        if not len(self._turns) and self._wait(ask, now) <= 0.0:
            permit = self._grant(ask, now, 0.0)
            if permit is not None:
                return permit
        hand = in_hand.get()
        deadline = None if hand is None else hand.deadline
        calls, inputs, outputs = self._queued
        expected = max(
            self._closed_until - now,
            self._buckets.queue_wait(
                now, calls + 1, inputs + ask.input_tokens, outputs + ask.output_tokens
            ),
        )
        if deadline is not None and now + expected > deadline:
            self._refused += 1
            msg = (
                f"{self._name}: a permit is {expected:.1f} s away, the deadline "
                f"{max(0.0, deadline - now):.1f} s; call less often, or give it more time"
            )
            raise RateLimitError(msg, retry_after=expected, retryable=False)
        if len(self._turns) >= self._limit.queue:
            pruned = self._turns.prune(lambda waiting: waiting.deferred.done)
            if not pruned:
                self._refused += 1
                msg = f"{self._name}: {len(self._turns)} callers wait for a permit already"
                raise OverloadedError(msg, retryable=False)
        waiting = Waiting(self.defer(), ask, now)
        self._turns.push(waiting, session=ask.session, priority=ask.priority)
        self._count(ask, 1)
        self._let_go(now)
        return None

    def _wait(self, ask: Acquire, now: float) -> float:
        """Seconds until this call may be made; infinite while only a call that ends can tell."""
        if self._closed_until > now:
            return self._closed_until - now
        in_flight = len(self._out)
        if self._limit.max_concurrent is not None and in_flight >= self._limit.max_concurrent:
            return float("inf")
        if self._window is not None and in_flight >= self._window:
            return float("inf")
        return self._buckets.wait(now, ask)

    def _grant(self, ask: Acquire, now: float, waited: float) -> Permit | None:
        """A permit, unless the breaker is half open and its probes are out."""
        probe = self._breaker.state(now) == "half_open"
        if not self._breaker.allow(now):
            return None
        self._buckets.take(now, ask)
        self._ids += 1
        self._granted += 1
        self._out[self._ids] = ask
        if waited > 0.0:
            self._say_waited(ask, waited)
        return Permit(id=self._ids, waited=waited, probe=probe)

    # -- waiting ----------------------------------------------------------------------------------

    def _let_go(self, now: float) -> None:
        """Everybody who may go now, in turn; then set the timer for the next."""
        turns = self._turns
        while len(turns):
            waiting = turns.peek()
            if waiting is None:
                return
            if waiting.deferred.done:  # its deadline has passed, or nobody waits any more
                self._count(turns.pop().ask, -1)
                continue
            if self._breaker.state(now) == "open":
                self._refuse_all(now)
                return
            wait = self._wait(waiting.ask, now)
            if wait > 0.0:
                self._ring(now, wait)
                return
            permit = self._grant(waiting.ask, now, now - waiting.since)
            if permit is None:
                return  # a probe is out; its end lets the next one go
            self._count(turns.pop().ask, -1)
            waiting.deferred.set(permit)

    def _refuse_all(self, now: float) -> None:
        while len(self._turns):
            waiting = self._turns.pop()
            self._count(waiting.ask, -1)
            if not waiting.deferred.done:
                self._refused += 1
                waiting.deferred.set_exception(self._open_error(now))

    def _ring(self, now: float, wait: float) -> None:
        if wait == float("inf"):
            return  # a call that ends lets the next one go
        at = now + wait
        if self._pump is not None:
            if self._pump_at <= at:
                return
            self._pump.cancel()
        self._pump_at = at
        self._pump = self.timer(Pump(), after=wait)

    def _count(self, ask: Acquire, sign: int) -> None:
        self._queued[0] += sign
        self._queued[1] += sign * ask.input_tokens
        self._queued[2] += sign * ask.output_tokens

    # -- coming back ------------------------------------------------------------------------------

    def _settle(self, settle: Settle, now: float) -> None:
        ask = self._out.pop(settle.permit.id, None)
        if ask is None:
            return  # given back before
        self._buckets.settle(ask, settle.input_tokens, settle.output_tokens)
        for headroom in settle.headroom:
            self._buckets.learn(now, headroom)
        if settle.limited:
            self._close_gate(settle.retry_after, now)
        elif settle.ok and self._window is not None:
            self._strikes = 0
            self._window *= 2
            if self._window >= SLOW_START:
                self._window = None
        if not settle.limited:
            self._record(settle.ok, now)

    def _close_gate(self, retry_after: float | None, now: float) -> None:
        self._limited += 1
        self._strikes += 1
        seconds = min(60.0, 2.0 ** (self._strikes - 1)) if retry_after is None else retry_after
        seconds *= 1 + 0.1 * self._cell.system.random.random()
        if now + seconds > self._closed_until:
            self._closed_until = now + seconds
            events = self._cell.system.events
            if events.wants(GateClosed):
                at = self._cell.system.clock.wall()
                events.publish(GateClosed(at=at, limiter=self._name, seconds=seconds))
        self._window = 1

    def _record(self, ok: bool, now: float) -> None:  # noqa: FBT001 - internal
        before = self._breaker.state(now)
        self._breaker.record(now, ok=ok)
        after = self._breaker.state(now)
        if before == after:
            return
        system = self._cell.system
        if after == "open" and system.events.wants(BreakerOpened):
            seconds = self._breaker.retry_after(now)
            at = system.clock.wall()
            system.events.publish(BreakerOpened(at=at, limiter=self._name, seconds=seconds))
        elif after == "closed" and system.events.wants(BreakerClosed):
            system.events.publish(BreakerClosed(at=system.clock.wall(), limiter=self._name))

    # -- saying -----------------------------------------------------------------------------------

    def _open_error(self, now: float) -> BreakerOpenError:
        after = self._breaker.retry_after(now)
        msg = f"{self._name}: most calls fail; the next one is tried in {after:.1f} s"
        return BreakerOpenError(msg, retry_after=after, retryable=False)

    def _say_waited(self, ask: Acquire, waited: float) -> None:
        system = self._cell.system
        if system.events.wants(PermitWaited):
            at = system.clock.wall()
            system.events.publish(
                PermitWaited(at=at, limiter=self._name, session=ask.session, seconds=waited)
            )

    def _stats(self, now: float) -> LimiterStats:
        return LimiterStats(
            in_flight=len(self._out),
            waiting=len(self._turns),
            granted=self._granted,
            refused=self._refused,
            limited=self._limited,
            closed_for=max(0.0, self._closed_until - now),
            breaker=self._breaker.state(now),
        )
