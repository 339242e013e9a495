"""`Ref`: the address of an actor.

A Ref survives restarts, is hashable, has a path, and can be handed to any thread, task or actor.
Sending never blocks and never raises because the receiver is slow: `tell` answers False, a request
resolves with `MailboxFullError`. It is a `pykka.ActorRef`, so plain pykka actors can tell and ask
it.
"""

from __future__ import annotations

from _thread import get_ident
from typing import TYPE_CHECKING, Any, TypeVar

import pykka

from understudy.actors.kernel.body import DRAIN, KILL, NOW
from understudy.actors.kernel.context import in_hand
from understudy.actors.kernel.reply import Reply
from understudy.messages.control import ActorState, Ledger, MailboxStats
from understudy.messages.envelope import Envelope, Origin
from understudy.messages.errors import WouldDeadlockError

if TYPE_CHECKING:
    from understudy.actors.kernel.actor import Actor
    from understudy.actors.kernel.cell import Cell

A = TypeVar("A", bound="Actor")

INFINITE = float("inf")
"""As a timeout: no deadline, not even an inherited one."""
DEFAULT_TIMEOUT = 30.0


class Ref(pykka.ActorRef[A]):  # type: ignore[type-var]  # see PykkaActor
    """The address of one actor. All methods are safe from any thread."""

    __slots__ = ("_cell",)

    def __init__(self, cell: Cell) -> None:
        # pykka's own __init__ makes a weak reference and copies four attributes.
        self._cell = cell

    # -- sending -----------------------------------------------------------------------------------

    def tell(self, message: Any) -> bool:  # type: ignore[override]  # Any: messages are of any type
        """Send without an answer. False when it was not accepted (then it is a dead letter)."""
        cell = self._cell
        if cell.accepts is not None and not isinstance(message, cell.accepts):
            raise cell.refused_type(message)
        hand = in_hand.get()
        if hand is None:
            return cell.post(Envelope(message, None, None, None, None, cell))
        return cell.post(Envelope(message, hand.deadline, hand.origin, hand.scope, None, cell))

    def request(
        self, message: Any, *, timeout: float | None = None, origin: Origin | None = None
    ) -> Reply[Any]:
        """Send and get a Reply: `await` it on any loop, or `.get(timeout=)` on any thread.

        Args:
            message: what to ask.
            timeout: seconds until the work expires; None is the deadline of the message in hand, or
                30 s outside of handlers. A longer one than the inherited deadline is cut to it.
            origin: the run that it is sent for, where that is not the one of the message in hand.
        """
        cell = self._cell
        if cell.accepts is not None and not isinstance(message, cell.accepts):
            raise cell.refused_type(message)
        system = cell.system
        hand = in_hand.get()
        reply: Reply[Any] = Reply(cell)
        if hand is None:
            deadline = system.now() + (DEFAULT_TIMEOUT if timeout is None else timeout)
            env = Envelope(message, deadline, origin, reply, reply, cell)
        else:
            inherited = hand.deadline
            if timeout is not None:
                deadline = system.now() + timeout
                if inherited is not None and inherited < deadline:
                    deadline = inherited
            else:
                deadline = inherited if inherited is not None else system.now() + DEFAULT_TIMEOUT
            parent = hand.scope
            if parent is not None:
                parent.adopt(reply)
            env = Envelope(message, deadline, origin or hand.origin, reply, reply, cell)
        if deadline == INFINITE:
            env.deadline = None
        else:
            system.wheel.add(reply, deadline)
        cell.post(env)
        return reply

    def ask(self, message: Any, *, block: bool = True, timeout: float | None = None) -> Any:
        """Send and block this thread for the answer; `block=False` is `request(message)`.

        Raises:
            WouldDeadlockError: on the thread of the actor's own loop; use `await ref.request(...)`.
            DeadlineExceededError: (also `pykka.Timeout`) no answer in time; the work expires with
                it.
        """
        if block and get_ident() == self._cell.system.loop_thread:
            msg = (
                f"ask() would block the loop that {self._cell.path} runs on; "
                "use `await ref.request(...)`"
            )
            raise WouldDeadlockError(msg, actor=self._cell.path)
        reply = self.request(message, timeout=timeout)
        return reply.get() if block else reply

    # -- life --------------------------------------------------------------------------------------

    def stop(  # type: ignore[override]
        self, *, drain: bool = True, block: bool = False, timeout: float | None = None
    ) -> Reply[MailboxStats]:
        """Close the mailbox at once and end when what was accepted is done.

        Args:
            drain: False ends after the message in hand; the rest is answered `ActorDeadError`.
            block: pykka's spelling of `.get(timeout=)`.
            timeout: with `block`, seconds to wait.

        Returns:
            A Reply with the last statistics; never blocks by itself.
        """
        reply = self._cell.halt(DRAIN if drain else NOW)
        if block:
            reply.get(timeout=timeout)
        return reply

    def kill(self) -> Reply[MailboxStats]:
        """End now: the message in hand is cancelled, the rest is answered `ActorDeadError`."""
        return self._cell.halt(KILL)

    def restart(self) -> Reply[Ref[A]]:
        """Begin a new life, after the message in hand; answered when `on_start` has succeeded."""
        return self._cell.restart()

    def join(self, timeout: float | None = None) -> None:
        """Block until the actor has ended.

        Raises:
            DeadlineExceededError: it has not ended within `timeout` seconds.
        """
        self._cell.end_reply().get(timeout=timeout)

    async def ajoin(self) -> None:
        """Wait until the actor has ended."""
        await self._cell.end_reply()

    def is_alive(self) -> bool:
        """True until the actor has ended for good, while it stops and restarts too."""
        return not self._cell.ended

    # -- looking -----------------------------------------------------------------------------------

    @property
    def cell(self) -> Cell:
        """What the kernel keeps about the actor; for the runtime, not for users."""
        return self._cell

    @property
    def path(self) -> str:
        """Where it stands in the tree, such as `/user/search-3`."""
        return self._cell.path

    @property
    def state(self) -> ActorState:
        """Where it is in its life."""
        return self._cell.state

    @property
    def incarnation(self) -> int:
        """How often it was restarted."""
        return self._cell.incarnation

    @property
    def stats(self) -> MailboxStats:
        """Its mailbox at this instant."""
        return self._cell.stats()

    @property
    def ledger(self) -> Ledger:
        """All messages it ever accepted, by how they ended."""
        return self._cell.ledger()

    @property
    def actor_class(self) -> type[A]:  # type: ignore[override]
        """The class of the actor."""
        return self._cell.spec.cls

    @property
    def actor_urn(self) -> str:  # type: ignore[override]
        """Pykka's word for an identity; here the path."""
        return self._cell.path

    def proxy(self) -> Any:  # Any: it never returns
        """Refused: attribute access across actors hides messages; send one instead."""
        msg = f"{self.path} has no proxy: define a message and use tell(), ask() or request()"
        raise TypeError(msg)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ref) and other._cell is self._cell

    def __hash__(self) -> int:
        return hash(id(self._cell))

    def __repr__(self) -> str:
        return f"<Ref {self.path}>"

    __str__ = __repr__
