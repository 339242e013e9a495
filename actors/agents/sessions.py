"""Agent actors that belong to a session: one for each, made by its first message.

A session's turns wait for each other in the mailbox of its actor; different sessions know nothing
of each other. An actor that has had nothing to do for 60 seconds is let go; whoever comes then gets
a new one. So a session costs nothing while nobody talks, and its history is the memory's business.

The key is memory, tenant and session, and not the agent's name too: agents that share a memory
share the conversation, and so its turns.
"""

from __future__ import annotations

from _thread import allocate_lock
from collections.abc import Callable
from typing import Any

import msgspec

from understudy.actors.agents.agent import AgentActor
from understudy.actors.agents.ports import Company
from understudy.actors.kernel.actor import Actor
from understudy.actors.kernel.options import ChildSpec, MailboxOptions
from understudy.actors.kernel.ref import Ref
from understudy.actors.kernel.system import ActorSystem
from understudy.messages.control import ActorState
from understudy.messages.envelope import Envelope, Lane
from understudy.messages.errors import OverloadedError

IDLE = 60.0
"""Seconds without a run after which the actor of a session is let go."""
WAITING = 1024
"""Turns of one session that may wait."""

Key = tuple[Any, ...]  # Any: memory, tenant, session


class Look(msgspec.Struct, frozen=True):
    """It is time to look who is idle (from the keeper to itself, and to wake it)."""


class Seat:
    """The actor of a session; `runs` are those that have it or wait for it."""

    __slots__ = ("key", "ref", "runs", "since")

    def __init__(self, key: Key, ref: Ref[Any]) -> None:  # Any: Ref of AgentActor
        self.key = key
        self.ref = ref
        self.runs = 0
        self.since = 0.0


class KeeperActor(Actor):
    """Parent of the sessions' actors; lets go of those that are idle."""

    blocking = False

    def __init__(self, look: Callable[[], float | None]) -> None:
        self._look = look

    def on_receive(self, message: Look) -> None:
        """Look now, and again when the next one may be idle."""
        again = self._look()
        if again is not None:
            self.timer(message, after=again)


class Sessions:
    """Finds, and makes when first needed, the actor of a session. Any thread."""

    def __init__(self, system: ActorSystem, company: Company) -> None:
        self._system = system
        self._spec = ChildSpec(
            cls=AgentActor,
            args=(company, _stay),
            restart="temporary",
            mailbox=MailboxOptions(capacity=WAITING + 1),
        )
        self._seats: dict[Key, Seat] = {}
        self._lock = allocate_lock()
        self._keeper: Ref[Any] | None = None  # Any: Ref of KeeperActor
        self._looking = False

    def take(self, key: Key) -> Seat:
        """The actor of a session, for one run; `leave` it when that has ended.

        Raises:
            OverloadedError: too many turns of this session wait already.
        """
        with self._lock:
            seat = self._seats.get(key)
            if seat is not None and seat.runs > WAITING:
                raise OverloadedError(
                    f"{WAITING} turns of session {key[-1]!r} wait already: wait for some of them"
                )
            if seat is None or seat.ref.state != ActorState.RUNNING:
                seat = self._seats[key] = Seat(key, self._spawn())
            seat.runs += 1
            return seat

    def leave(self, seat: Seat) -> None:
        """A run has ended."""
        with self._lock:
            seat.runs -= 1
            seat.since = self._system.now()
            wake = not self._looking and not seat.runs
            self._looking = self._looking or wake
        if wake and self._keeper is not None and self._keeper.is_alive():
            cell = self._keeper.cell
            cell.post(Envelope(Look(), cell=cell, lane=Lane.ANSWER))  # no part of that run

    def _spawn(self) -> Ref[Any]:  # Any: Ref of AgentActor
        system = self._system
        if self._keeper is None or not self._keeper.is_alive():
            keeper = ChildSpec(cls=KeeperActor, args=(self._look,), name="sessions")
            self._keeper = system.spawn(keeper, parent=system.infrastructure).get()
        return system.spawn(self._spec, parent=self._keeper.cell).get()

    def _look(self) -> float | None:
        """Let go of who is idle; seconds until there may be somebody again, None for nobody."""
        now, idle, next_at = self._system.now(), [], None
        with self._lock:
            for seat in list(self._seats.values()):
                if seat.runs:
                    continue
                over = seat.since + IDLE
                if over <= now:
                    del self._seats[seat.key]
                    idle.append(seat)
                elif next_at is None or over < next_at:
                    next_at = over
            self._looking = next_at is not None
        for seat in idle:
            seat.ref.stop()
        return None if next_at is None else next_at - now


def _stay(ref: Ref[Any]) -> None:  # Any: Ref of AgentActor
    """After a run it waits for the next one of its session."""
    del ref
