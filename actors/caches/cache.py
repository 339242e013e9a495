"""The Cache actor: entries, and one call for all who ask the same at the same time.

A caller looks up a key, with a question that says how to have it made. It gets a copy of what is
kept (`Hit`), or what was made for it (`Made`); meanwhile everybody else who asks the same waits for
that one call (single flight).

Guarantees
- A call belongs to the cache: cancelling one caller, the first one too, ends it for nobody else;
  when the last one has left, it is cancelled. Each waits with a deadline of its own.
- Errors are shared by those who wait, and never kept. A call that dies with its actor is made again
  for one of those who are left.
- What is kept is a copy, and so is what is given: nobody can change it for others.
- Entries of one tenant are never given to another: the key says whose they are.
- It never blocks and never awaits in a handler: the file and the embedder are asked in the
  background, and what goes wrong with them is a counted miss.

A call that asks, while it is made, what it is itself asked, is not made to wait for itself: it is a
`Miss`, and the caller has to do without a cache.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec

from understudy.actors.caches.backing import Backing
from understudy.actors.caches.entries import Entry, is_wanted
from understudy.actors.caches.flights import Flight, Leaver, Waiter, shared
from understudy.actors.caches.meaning import Embed
from understudy.actors.caches.question import Question
from understudy.actors.caches.sayings import Landed, Left, Said, Search, Searched
from understudy.actors.caches.shelf import Shelf
from understudy.actors.kernel.actor import Actor
from understudy.actors.kernel.context import in_hand
from understudy.actors.kernel.ref import Ref
from understudy.messages.caches import (
    AskCacheStats,
    Cached,
    CacheSpec,
    CacheStats,
    Hit,
    Invalidate,
    Layer,
    Lookup,
    Made,
    Miss,
    Store,
)
from understudy.messages.control import Outcome
from understudy.messages.envelope import Envelope, Lane, Origin
from understudy.messages.errors import (
    ActorDeadError,
    ActorRestartedError,
    RunCancelledError,
    UnderstudyError,
)

_NOWHERE = Origin()
_DIED = (ActorDeadError, ActorRestartedError, RunCancelledError)


Asked = Lookup | Store | Invalidate | AskCacheStats | Search | Searched | Landed | Left | Said


class CacheActor(Actor):
    """See the module's docstring.

    Args:
        spec: how long and how much.
        file: the actor of the file behind it.
        embed: makes vectors of texts.
    """

    blocking = False
    expects = (UnderstudyError,)
    max_outstanding = 1_000_000
    """Whoever waits is bounded by who may ask (`max_runs`)."""

    def __init__(
        self,
        spec: CacheSpec,
        file: Ref[Any] | None,
        embed: Embed,
    ) -> None:
        system = self._cell.system
        self._now = system.now
        self._embeds = spec.semantic == "embedding"
        self._backing = Backing(system, file)
        self._shelf = Shelf(spec, system, self._backing, embed)
        self._flights: dict[bytes, Flight] = {}

    def on_receive(self, message: Asked) -> Any:  # Any: see the messages
        """Answer a lookup, or go on with one."""
        match message:
            case Lookup():
                return self._lookup(message)
            case Store():
                return self._shelf.keep(message.key, message.value, message.question) is not None
            case Invalidate():
                return self._invalidate(message)
            case AskCacheStats():
                return self._ask_stats()
            case _:
                return self._go_on(message)

    def _go_on(self, message: Search | Searched | Landed | Left | Said) -> None:
        """What it says to itself."""
        match message:
            case Landed(flight, call):
                if flight.call is call:
                    self._landed(flight, call.outcome())
            case Left(flight):
                self._left(flight)
            case Search(flight):
                self.background(self._search(flight), then=partial(Searched, flight))
            case Searched(flight, outcome):
                self._searched(flight, outcome)
            case Said(deferred, Outcome(error=None, value=value)):
                deferred.set(value)
            case Said(deferred, outcome):
                deferred.set_exception(outcome.error)

    def on_stop(self) -> None:
        """Nobody waits any more."""
        for flight in self._flights.values():
            flight.cancel()

    # -- looking -----------------------------------------------------------------------------------

    def _lookup(self, asked: Lookup) -> Hit | Miss | None:
        key, question = asked.key, asked.question
        entry = self._shelf.entries.find(key)
        if entry is not None:
            hit = self._shelf.hit(key, entry, question, "memory")
            if hit is not None:
                return hit
        hand = in_hand.get()
        origin = None if hand is None else hand.origin
        if question is None or (origin is not None and key in origin.flights):
            return Miss()
        gate = self._shelf.gate(question)
        hit = self._shelf.same(gate, question) if gate else None
        if hit is not None:
            return hit
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = Flight(key, gate, self._now())
            self._join(flight, question, origin)
            if self._backing.there or (gate and self._embeds):
                # By itself: what is found is for all, not only for the one who came first.
                self._post(Search(flight))
            else:
                self._begin(flight)
        else:
            self._join(flight, question, origin)
            if flight.call is not None:
                question.follow(flight.tee)
        return None

    def _join(self, flight: Flight, question: Question, origin: Origin | None) -> None:
        waiter = Waiter(question, origin, self.defer())
        flight.waiters.append(waiter)
        hand = in_hand.get()

        def leave() -> None:
            waiter.left = True
            self._post(Left(flight))

        if hand is not None and hand.scope is not None:
            hand.scope.adopt(Leaver(leave))

    # -- the file, and other wordings --------------------------------------------------------------

    async def _search(self, flight: Flight) -> tuple[bytes, Entry, Layer, str] | None:
        """What the file has, or what asks the same in other words."""
        gate, meaning = flight.gate, self._shelf.meaning
        rows = await self._backing.load(flight.key, gate)
        first = next(iter(flight.waiting), None)
        if first is None:
            return None
        # Another cache may have written it for longer than this one keeps what it has.
        since = self._now() - first.question.ttl
        rows = [(key, entry) for key, entry in rows if entry.at > since]
        if rows and rows[0][0] == flight.key:
            return (*rows[0], "file", "")
        if meaning is None or not gate or first.question.wording is None:
            return None
        text = first.question.wording.text
        known = {
            key: entry
            for key in meaning.through(gate)
            if (entry := self._shelf.entries.find(key)) is not None
        }
        others = list({**dict(rows), **known}.items())
        texts = [entry.text for _, entry in others]
        found = meaning.same(text, texts)
        layer: Layer = "strict"
        if found is None and texts and self._embeds:
            layer, backing = "embedding", self._backing
            found = await meaning.near(text, texts, backing.vectors, backing.save_vectors)
        if found is None:
            return None
        return (*others[found.number], layer, found.why)

    def _searched(self, flight: Flight, outcome: Outcome) -> None:
        if outcome.error is not None:
            self._backing.failed(_as_ours(outcome.error), "its embedder")
        waiting = flight.waiting
        if not waiting:
            self._end(flight)
            return
        if outcome.error is not None or outcome.value is None:
            self._begin(flight)
            return
        key, entry, layer, why = outcome.value
        question = waiting[0].question
        if not flight.stale and self._shelf.entries.find(key) is None:
            self._shelf.put(key, entry, question)
        for waiter in waiting:
            hit = self._shelf.hit(key, entry, waiter.question, layer, why)
            if hit is None:
                self._begin(flight)
                return
            self._shelf.count["semantic_hits"] += bool(why)
            waiter.deferred.set(hit)
        self._end(flight)

    # -- calls -------------------------------------------------------------------------------------

    def _begin(self, flight: Flight) -> None:
        """Make the call, for the first who is there and may have it made."""
        for waiter in flight.waiting:
            if waiter.question.reads:
                continue
            around = waiter.origin or _NOWHERE
            origin = msgspec.structs.replace(around, flights=(*around.flights, flight.key))
            token = in_hand.set(Envelope(None, origin=origin))
            try:
                call = waiter.question.begin(flight.tee)
            except Exception as error:  # noqa: BLE001 - it is the answer of this one
                waiter.deferred.set_exception(error)
                continue
            finally:
                in_hand.reset(token)
            self._shelf.count["misses"] += 1
            flight.payer, flight.call = waiter, call
            for other in flight.waiting:
                if other is not waiter:
                    other.question.follow(flight.tee)
            call.add_done_callback(lambda done: self._post(Landed(flight, done)))
            return
        self._end(flight)

    def _landed(self, flight: Flight, outcome: Outcome) -> None:
        error = outcome.error
        if error is None:
            self._made(flight, outcome.value)
            return
        payer = flight.payer
        if isinstance(error, _DIED) and any(each is not payer for each in flight.waiting):
            for waiter in flight.waiting:
                if waiter is payer or waiter.question.reads:
                    waiter.deferred.set_exception(error if waiter is payer else shared(error))
            flight.tee.begin_again()
            self._begin(flight)
            return
        for waiter in flight.waiting:
            waiter.deferred.set_exception(error if waiter is payer else shared(error))
        self._end(flight)

    def _made(self, flight: Flight, value: Any) -> None:  # Any: what was made
        waiting, payer = flight.waiting, flight.payer
        question = None if payer is None else payer.question
        kept = None
        if question is not None and not flight.stale:
            kept = self._shelf.keep(flight.key, value, question, flight)
        payer = payer if payer in waiting else next(iter(waiting), None)
        for waiter in waiting:
            if waiter is payer:
                waiter.deferred.set(Made(value=value))
                continue
            self._shelf.count["shared"] += 1
            if kept is not None and kept.usage is not None:
                self._shelf.saved += kept.usage
            copied = value
            if question is not None:
                copied = _copied(waiter.question, value, flight)
            waiter.deferred.set(Hit(value=copied, cached=Cached(age=0.0, layer="flight")))
        self._end(flight)

    def _left(self, flight: Flight) -> None:
        flight.tee.wake()
        if not flight.tee.done and not flight.waiting:
            flight.cancel()
            self._end(flight)

    def _end(self, flight: Flight) -> None:
        flight.tee.finish()
        if self._flights.get(flight.key) is flight:
            del self._flights[flight.key]

    # -- forgetting, telling -----------------------------------------------------------------------

    def _invalidate(self, wanted: Invalidate) -> int | None:
        forgotten = self._shelf.entries.forget(wanted)
        self._shelf.count["invalidated"] += forgotten
        for flight in list(self._flights.values()):
            question = flight.waiters[0].question
            if is_wanted(wanted, question.tenant, question.tags):
                flight.stale = True  # for those who wait; who asks from now on asks anew
                del self._flights[flight.key]
        if not self._backing.configured:
            return forgotten

        async def both() -> int:
            return max(forgotten, await self._backing.drop(wanted))

        self.background(both(), then=partial(Said, self.defer()))
        return None

    def _ask_stats(self) -> CacheStats | None:
        if not self._backing.there:
            return self._shelf.stats((0, 0), len(self._flights))

        async def with_file() -> CacheStats:
            return self._shelf.stats(await self._backing.sizes(), len(self._flights))

        self.background(with_file(), then=partial(Said, self.defer()))
        return None

    def _post(self, message: Any) -> None:  # Any: a message to itself
        """By itself: whoever caused it may be cancelled, and this has to arrive."""
        cell = self._cell
        cell.post(Envelope(message, cell=cell, lane=Lane.ANSWER))


def _copied(question: Question, value: Any, flight: Flight) -> Any:  # Any: what was made
    """A copy for one who shares a call; the value itself where there can be none."""
    try:
        return question.thaw(question.freeze(value, flight.tee)[0])
    except Exception:  # noqa: BLE001 - whatever cannot be copied
        return value


def _as_ours(error: BaseException) -> UnderstudyError:
    if isinstance(error, UnderstudyError):
        return error
    return UnderstudyError(f"{type(error).__name__}: {error}")
