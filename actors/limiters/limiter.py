"""The Limiter actor: one account, and everybody who wants to call it.

A caller asks for a `Permit` and gives it back with `Settle`. There is a permit when every rate
conforms (GCRA), a slot is free, the gate is open and the breaker lets calls through; who has to
wait takes turns by session. Tokens are reserved by estimate and settled with what was really used,
so a burst cannot overshoot.

Guarantees
- A 429 closes the gate for everybody on this account until the time that the provider asked for,
  plus jitter; then calls start slowly instead of all at the same instant (see `gate`).
- Nobody waits in vain: who cannot have a permit before the deadline is refused at once, also when
  that turns out while waiting, because the gate has closed.
- A ticket that is settled gives back its permit or its place, whichever it has by then. So a caller
  that always settles leaks nothing, whenever it was cancelled.
- The breaker counts failures of the provider only: a 4xx is none, and a 429 is the limiter's
  matter. What it lets through half open are probes: only their ends decide. While it is open one
  call every five seconds looks whether all is well again, so that an hour's outage does not last
  a minute longer for us.
- It never sleeps and never blocks: waiting is a deferred answer, waking is one timer.

One actor for an account and not one for each rate: a call takes from all of them or from none. A
store outside of the process (for a fleet) would take the place of `Buckets`; the messages stay.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from understudy.actors.kernel.actor import Actor
from understudy.actors.kernel.context import in_hand
from understudy.actors.kernel.deferred import Deferred
from understudy.actors.kernel.timers import Timer
from understudy.actors.limiters.buckets import Buckets
from understudy.actors.limiters.gate import Gate
from understudy.actors.limiters.sayings import Sayings
from understudy.actors.limiters.turns import Turns
from understudy.actors.rules.breaker import Breaker, BreakerPolicy
from understudy.messages.errors import UnderstudyError
from understudy.messages.limits import (
    Acquire,
    Adjust,
    AskStats,
    Ended,
    Limit,
    LimiterStats,
    Permit,
    Settle,
)

INFINITE = float("inf")
SCOUT = 5.0
"""Seconds between calls that look whether a provider is well again while the breaker is open."""


class Pump(msgspec.Struct, frozen=True):
    """Look whether somebody may go now (from the actor to itself)."""


class Waiting(NamedTuple):
    """A caller in the queue; its deadline may be None."""

    deferred: Deferred
    ask: Acquire
    since: float
    deadline: float | None


class Held(msgspec.Struct, frozen=True, gc=False):
    """A permit that is out.

    Attributes:
        epoch: the gate's.
        probe: the opening of the breaker that it is a probe of, or 0.
        counted: its tokens were taken from buckets, and are settled with them.
        scout: it was let through although the breaker was open.
    """

    ask: Acquire
    epoch: int
    probe: int
    counted: bool
    scout: bool = False


class LimiterActor(Actor):
    """See the module's docstring.

    Args:
        name: of the account, for events and errors.
        limit: what it may do.
        breaker: when to stop calling.
    """

    blocking = False
    expects = (UnderstudyError,)
    max_outstanding = 1_000_000
    """`Limit.queue` is the bound."""

    def __init__(self, name: str, limit: Limit, breaker: BreakerPolicy | None = None) -> None:
        self._says = Sayings(name, self._cell.system)
        self._now = self._cell.system.now
        self._limit = limit
        self._slots = INFINITE if limit.max_concurrent is None else limit.max_concurrent
        self._buckets = Buckets(limit)
        self._breaker = Breaker(breaker or BreakerPolicy(scout=SCOUT))
        self._opened = 0
        self._gate = Gate()
        self._turns: Turns[Waiting] = Turns()
        self._waiting: dict[str, Waiting] = {}
        self._queued = [0, 0]  # input and output tokens of those who wait
        self._held: dict[str, Held] = {}
        self._granted = self._refused = self._limited = 0
        self._pump: Timer | None = None
        self._pump_at = 0.0
        self.free = False
        """Whether nothing at all holds calls back: who asks would get a permit at once. Only to be
        looked at, on the loop, and only while the mailbox is empty (see `permits.told`)."""
        self._look(self._now())

    @property
    def breaker_state(self) -> str:
        """Closed, open or half open. Any thread: it only looks."""
        return self._breaker.state(self._now())

    @property
    def counts_tokens(self) -> bool:
        """Whether it matters how many tokens a call takes. Any thread: it only looks."""
        return self._buckets.count_tokens

    def on_receive(
        self, message: Acquire | Settle | Pump | AskStats | Adjust
    ) -> Permit | LimiterStats | None:
        """Grant, queue or refuse; take a permit back; let the next one go."""
        now = self._now()
        if type(message) is Acquire:  # not `isinstance`, which is slow to say no
            return self._acquire(message, now)
        if type(message) is Settle:
            self._settle(message, now)
        elif isinstance(message, AskStats):
            return self._stats(now)
        elif isinstance(message, Adjust):
            self._adjust(message.limit)
        else:
            self._pump = None
        if self._waiting:
            self._let_go(now)
        self._look(now)
        return None

    def _look(self, now: float) -> None:
        self.free = (  # then nobody waits either
            self._slots == INFINITE
            and self._buckets.empty
            and not self._breaker.tripped
            and self._gate.wide(now)
        )

    def _adjust(self, limit: Limit) -> None:
        """Other bounds from now on; permits that are out stay out, and what is owed stays owed."""
        self._limit = limit
        self._slots = INFINITE if limit.max_concurrent is None else limit.max_concurrent
        self._buckets.adjust(limit)

    # -- asking -----------------------------------------------------------------------------------

    def _acquire(self, ask: Acquire, now: float) -> Permit | None:
        ticket, held = ask.ticket, self._held
        if ticket in held or ticket in self._waiting:
            raise self._says.ticket_error(ticket)
        if (  # the way of nearly every call
            not self._waiting
            and not self._breaker.tripped
            and len(held) < self._slots
            and not self._gate.wait(now)
            and self._buckets.try_take(now, ask)
        ):
            self._granted += 1
            held[ticket] = Held(ask, self._gate.enter(), 0, counted=self._buckets.count_tokens)
            return Permit(ticket=ticket, waited=0.0)
        return self._acquire_slowly(ask, now)

    def _acquire_slowly(self, ask: Acquire, now: float) -> Permit | None:
        if self._breaker.tripped and self._breaker.state(now) == "open":
            if self._wait(ask, now) > 0.0 or not self._breaker.scout(now):
                raise self._open_error(now)
            return self._grant(ask, now, 0.0, scout=True)
        if not self._waiting and self._wait(ask, now) <= 0.0:
            permit = self._grant(ask, now, 0.0)
            if permit is not None:
                return permit
        hand = in_hand.get()
        deadline = None if hand is None else hand.deadline
        expected = self._expected(ask, now)
        if deadline is not None and now + expected > deadline:
            raise self._late_error(expected, deadline - now)
        if len(self._waiting) >= self._limit.queue:
            self._refused += 1
            raise self._says.full_error(len(self._waiting))
        waiting = Waiting(self.defer(), ask, now, deadline)
        self._waiting[ask.ticket] = waiting
        self._turns.push(waiting, session=(ask.tenant, ask.session), priority=ask.priority)
        self._count(ask, 1)
        self._let_go(now)
        return None

    def _wait(self, ask: Acquire, now: float) -> float:
        """Seconds until this call may be made; infinite while only a call that ends can tell."""
        closed = self._gate.wait(now)
        if closed > 0.0:
            return closed
        if len(self._held) >= self._slots:
            return INFINITE
        return self._buckets.wait(now, ask)

    def _expected(self, ask: Acquire, now: float) -> float:
        """Seconds until this one's turn, as far as the rates tell: at least so many."""
        turns = self._turns
        ahead = turns.ahead((ask.tenant, ask.session), ask.priority)
        share = ahead / len(turns) if ahead else 0.0
        inputs, outputs = self._queued
        used = (share * inputs + ask.input_tokens, share * outputs + ask.output_tokens)
        rates = self._buckets.queue_wait(now, ask.model, ahead + 1, used)
        return max(self._gate.closed_until - now, rates)

    def _grant(
        self, ask: Acquire, now: float, waited: float, *, scout: bool = False
    ) -> Permit | None:
        """A permit, unless the breaker is half open and its probes are out."""
        breaker = self._breaker
        probe = breaker.tripped
        if probe and not scout and not breaker.allow(now):
            return None
        self._buckets.take(now, ask)
        self._granted += 1
        opening = self._opened if probe else 0
        counted = self._buckets.count_tokens
        self._held[ask.ticket] = Held(ask, self._gate.enter(), opening, counted, scout)
        if waited > 0.0:
            self._says.waited(ask, waited)
        return Permit(ticket=ask.ticket, waited=waited, probe=probe)

    # -- waiting ----------------------------------------------------------------------------------

    def _let_go(self, now: float) -> None:
        """Everybody who may go now, in turn; then set the timer for the next."""
        turns = self._turns
        while (waiting := turns.peek()) is not None:
            ask = waiting.ask
            if self._waiting.get(ask.ticket) is not waiting:
                turns.pop()  # it has given up its place
                continue
            if waiting.deferred.done:  # its deadline has passed
                turns.pop()
                self._give_up(waiting)
                continue
            if self._breaker.tripped and self._breaker.state(now) == "open":
                self._turn_away(lambda _: self._open_error(now))
                return
            wait = self._wait(ask, now)
            if wait > 0.0:
                self._ring(now, wait)
                return
            permit = self._grant(ask, now, now - waiting.since)
            if permit is None:
                self._ring(now, self._breaker.scout_in(now))
                return  # a probe is out; its end lets the next one go, or that it takes so long
            turns.pop()
            self._give_up(waiting)
            waiting.deferred.set(permit)

    def _give_up(self, waiting: Waiting) -> None:
        """It waits no more; `turns` forgets it when its turn comes."""
        del self._waiting[waiting.ask.ticket]
        self._count(waiting.ask, -1)

    def _sweep(self) -> None:
        """Do not keep more of those who gave up than of those who wait."""
        if len(self._turns) > 2 * len(self._waiting) + 64:
            self._turns.prune(lambda each: self._waiting.get(each.ask.ticket) is not each)

    def _turn_away(self, why: Callable[[Waiting], UnderstudyError | None]) -> None:
        """Refuse those who wait, where there is a reason."""
        for waiting in list(self._waiting.values()):
            error = why(waiting)
            if error is not None:
                self._give_up(waiting)
                waiting.deferred.set_exception(error)
        self._sweep()

    def _ring(self, now: float, wait: float) -> None:
        if wait == INFINITE:
            return  # a call that ends lets the next one go
        at = now + wait
        if self._pump is not None:
            if self._pump_at <= at:
                return
            self._pump.cancel()
        self._pump_at = at
        self._pump = self.timer(Pump(), after=wait)

    def _count(self, ask: Acquire, sign: int) -> None:
        self._queued[0] += sign * ask.input_tokens
        self._queued[1] += sign * ask.output_tokens

    # -- coming back ------------------------------------------------------------------------------

    def _settle(self, settle: Settle, now: float) -> None:
        held = self._held.pop(settle.ticket, None)
        if held is None:
            waiting = self._waiting.get(settle.ticket)
            if waiting is not None:
                self._give_up(waiting)
                self._sweep()
            return
        ask = held.ask
        if held.counted:
            self._buckets.settle(ask, settle.input_tokens, settle.output_tokens)
        if settle.headroom:
            for headroom in settle.headroom:
                self._buckets.learn(now, ask.model, headroom)
        self._gate.leave(held.epoch, ok=settle.ended == "answered")
        if settle.ended == "limited":
            self._close_gate(settle.retry_after, held.epoch, now)
        self._judge(held, settle.ended, now)

    def _close_gate(self, retry_after: float | None, epoch: int, now: float) -> None:
        self._limited += 1
        draw = self._cell.system.random.random()
        seconds = self._gate.close(now, epoch, retry_after, draw)
        if not seconds:
            return
        self._says.gate_closed(seconds)
        opens = self._gate.closed_until

        def too_late(waiting: Waiting) -> UnderstudyError | None:
            deadline = waiting.deadline
            if deadline is None or deadline >= opens:
                return None
            return self._late_error(opens - now, deadline - now)

        self._turn_away(too_late)

    def _judge(self, held: Held, ended: Ended, now: float) -> None:
        """What a call's end says about the provider."""
        breaker = self._breaker
        if not breaker.tripped:
            if ended in ("answered", "failed"):
                breaker.record(now, ok=ended == "answered")
                if self._breaker.tripped:
                    self._tell_opened("closed", now)
            return
        before = breaker.state(now)
        if held.probe != self._opened:
            return  # from before it opened
        if held.scout:
            if ended in ("answered", "refused"):
                breaker.found_well(now)
        elif ended in ("limited", "unknown"):
            breaker.forgo()
        else:
            breaker.record(now, ok=ended != "failed")  # a refusal is an answer too
            if breaker.state(now) == "closed":
                self._says.breaker_closed()
        self._tell_opened(before, now)

    def _tell_opened(self, before: str, now: float) -> None:
        breaker = self._breaker
        if before != "open" and breaker.state(now) == "open":
            self._opened += 1
            self._says.breaker_opened(breaker.retry_after(now))

    def _stats(self, now: float) -> LimiterStats:
        return LimiterStats(
            in_flight=len(self._held),
            waiting=len(self._waiting),
            granted=self._granted,
            refused=self._refused,
            limited=self._limited,
            closed_for=max(0.0, self._gate.closed_until - now),
            breaker=self._breaker.state(now),
        )

    def _open_error(self, now: float) -> UnderstudyError:
        self._refused += 1
        return self._says.open_error(self._breaker.retry_after(now))

    def _late_error(self, expected: float, left: float) -> UnderstudyError:
        self._refused += 1
        return self._says.late_error(expected, left)
