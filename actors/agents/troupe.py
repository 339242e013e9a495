"""The troupe: agent actors that are free, and the bound on how many run.

A run takes a free actor, or a new one; afterwards the actor comes back. So an agent run costs no
spawn, and the number of actors is the largest number of runs that there ever was at a time. An
actor that has failed does not come back: what it has in hand is unknown.
"""

from __future__ import annotations

from _thread import allocate_lock
from typing import Any

from understudy.actors.agents.agent import AgentActor
from understudy.actors.agents.ports import Company
from understudy.actors.agents.sessions import Key, Seat, Sessions
from understudy.actors.kernel.context import in_hand
from understudy.actors.kernel.options import ChildSpec, MailboxOptions
from understudy.actors.kernel.ref import Ref
from understudy.actors.kernel.reply import WITHDRAWN, Reply
from understudy.actors.kernel.system import ActorSystem, Guardian
from understudy.messages.agents import RunAgent
from understudy.messages.control import ActorState
from understudy.messages.envelope import Origin
from understudy.messages.errors import DeadlineExceededError, OverloadedError


class Troupe:
    """Runs agents, up to `max_runs` at a time. Any thread.

    A run that an agent has begun is not counted: it would wait for the place of the one around it.
    """

    def __init__(self, system: ActorSystem, company: Company, max_runs: int) -> None:
        self._system = system
        self._max_runs = max_runs
        branch = ChildSpec(cls=Guardian, name="agents")
        self._branch: Ref[Guardian] = system.spawn(branch, parent=system.infrastructure).get()
        self._spec = ChildSpec(
            cls=AgentActor,
            args=(company, self._release),
            restart="temporary",
            mailbox=MailboxOptions(capacity=2),
        )
        self._free: list[Ref[AgentActor]] = []
        self._sessions = Sessions(system, company)
        self._lock = allocate_lock()
        self._running = 0

    def resize(self, max_runs: int) -> None:
        """Another bound from now on; runs above it go on."""
        self._max_runs = max_runs

    def run(
        self,
        message: RunAgent,
        timeout: float,
        origin: Origin,
        session: Key | None = None,
    ) -> Reply[Any]:  # Any: a Result
        """Start the run that `origin` names; one of a session waits for those before it.

        Raises:
            OverloadedError: `max_runs` runs are under way.
        """
        counted = 0 if origin.agents else 1
        with self._lock:
            if counted and self._running >= self._max_runs:
                raise OverloadedError(
                    f"{self._max_runs} agent runs are under way (max_runs); wait for some of "
                    "them, or raise it"
                )
            self._running += counted
        seat = None
        try:
            seat = None if session is None else self._sessions.take(session)
            ref = self._take() if seat is None else seat.ref
            reply = ref.request(message, timeout=timeout, origin=origin)
        except BaseException:
            with self._lock:
                self._running -= counted
            if seat is not None:
                self._sessions.leave(seat)
            raise
        own = self._own(timeout)
        reply.add_done_callback(_Place(self, ref, message, counted=counted, own=own, seat=seat))
        return reply

    def _own(self, timeout: float) -> float | None:
        """The seconds that are over when it expires; None when an inherited deadline is sooner."""
        hand = in_hand.get()
        if hand is None or hand.deadline is None:
            return timeout
        return timeout if self._system.now() + timeout < hand.deadline else None

    def _take(self) -> Ref[AgentActor]:
        while True:
            try:
                ref = self._free.pop()
            except IndexError:
                return self._system.spawn(self._spec, parent=self._branch._cell).get()  # noqa: SLF001
            if ref.state == ActorState.RUNNING:
                return ref

    def ended(self, place: _Place, reply: Reply[Any]) -> None:  # Any: a Result
        """A run is over; called once, on the thread that has answered it."""
        seat = place.seat
        if seat is not None:
            self._sessions.leave(seat)
        with self._lock:
            self._running -= place.counted
        if reply.cancelled:
            self._cut_off(place, reply.outcome().error)
        if seat is None and reply.work == WITHDRAWN:  # cancelled before it began
            self._release(place.ref)  # the actor never saw it

    def _cut_off(self, place: _Place, error: BaseException | None) -> None:
        """Ended from outside: say what there was, before whoever waits looks at the error."""
        message = place.message
        if isinstance(error, DeadlineExceededError):
            error.args = (_too_long(message.spec.name or "agent", place.own),)
        actor: AgentActor | None = place.ref.cell.actor
        run = None if actor is None else actor.run
        if run is not None and run.message is message:
            run.blame(error)
            if message.outer is not None:
                message.outer.add_late(run.usage, run.cost, run.attempts)

    def _release(self, ref: Ref[AgentActor]) -> None:
        """The actor is free again; it says so itself, as soon as its handler is through."""
        self._free.append(ref)


class _Place:
    """What the troupe keeps of a run; called when it is over. One object: there are many at a time.

    Args:
        counted: 1, or 0 for a run inside of another one.
        own: see `Troupe._own`.
        seat: of its session; None: its actor is one of those that any run may take.
    """

    __slots__ = ("counted", "message", "own", "ref", "seat", "troupe")

    def __init__(
        self,
        troupe: Troupe,
        ref: Ref[AgentActor],
        message: RunAgent,
        *,
        counted: int,
        own: float | None,
        seat: Seat | None,
    ) -> None:
        self.troupe = troupe
        self.ref = ref
        self.message = message
        self.counted = counted
        self.own = own
        self.seat = seat

    def __call__(self, reply: Reply[Any]) -> None:  # Any: a Result
        self.troupe.ended(self, reply)


def _too_long(agent: str, timeout: float | None) -> str:
    """Whose time was over, and what can be done about it."""
    if timeout is None:
        return f"agent {agent!r} was not through by the deadline of the work that it belongs to"
    return (
        f"agent {agent!r} took longer than its timeout of {timeout:g} s; give it more with timeout="
    )
