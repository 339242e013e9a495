"""The cell: everything the kernel keeps about one actor, in one object.

A cell is a mailbox (`mailbox.py`) that ends (`ending.py`) and lives (`life.py`); here is what
others may do to it: watch it, cancel what it is doing, answer what it has deferred. It is driven
by its dispatcher, one operation at a time.

Why one object: an actor costs one cell, one Ref and one instance. Mailbox, context and supervision
    as objects of their own, as in the textbooks, cost a kilobyte each and three hops through
    attributes for each message.

This is the only file that uses pykka's private names: its envelope, to ask foreign pykka actors
without blocking (`ask_foreign`), and the factories that it asks of an actor class (`PykkaActor`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pykka
from pykka._envelope import Envelope as PykkaEnvelope

from understudy.actors.kernel.body import NOW
from understudy.actors.kernel.ending import Ending
from understudy.actors.kernel.errors import ActorDeadError
from understudy.actors.kernel.life import Life
from understudy.actors.kernel.reply import CANCELLED, Reply
from understudy.messages.control import ActorNode, ActorState, Terminated
from understudy.messages.envelope import Envelope
from understudy.messages.words import text_of

_NOT_PYKKAS = "this actor is run by understudy's kernel; start it with rt.spawn(...) or .start()"


# It is a pykka.Actor when it runs. A type checker shall not know: to pykka hooks return None, so
# that each `async def on_start` would have to be excused.
if TYPE_CHECKING:
    _Base = object
else:
    _Base = pykka.Actor


class PykkaActor(_Base):
    """What pykka asks of an actor class, answered: its own machinery is not used here."""

    __slots__ = ()

    @staticmethod
    def _create_actor_inbox() -> Any:  # Any: it never returns
        raise TypeError(_NOT_PYKKAS)

    @staticmethod
    def _create_future() -> pykka.Future[Any]:
        return Reply()

    def _start_actor_loop(self) -> None:
        raise TypeError(_NOT_PYKKAS)


class Cell(Life):
    """One actor. See the module's docstring."""

    __slots__ = ()

    def settle_deferred(self, env: Envelope, state: int, value: Any) -> None:  # Any: the answer
        """Give a deferred answer; late ones become dead letters."""
        with self.lock:
            deferred = self.deferred
            late = deferred is None or deferred.get(id(env)) is None
            if not late and deferred is not None:
                if env is self.current:
                    deferred[id(env)] = None  # `finish` must not count it again
                else:
                    del deferred[id(env)]
                late = self._settle_locked(env.reply, state, value)
            wake = self.stopping and not deferred and not self.scheduled
        if late:
            self.late_answer(value)
        elif env.reply is not None:
            env.reply.wake()
        if wake:
            self.post_system(_nothing)

    def refused_type(self, message: object) -> TypeError:
        """The error for a message of a type that the actor did not declare."""
        known = ", ".join(kind.__name__ for kind in self.accepts or ())
        return TypeError(f"{self.path} takes {known}; it was sent a {type(message).__name__}")

    def node(self) -> ActorNode:
        """This actor and those below it, as a snapshot."""
        children = tuple(cell.node() for cell in list((self.children or {}).values()))
        stats = self.stats()
        with self.lock:
            current, since = self.current, self.since
            owed = sum(env is not None for env in (self.deferred or {}).values())
        error = self.last_error
        return ActorNode(
            path=self.path,
            kind=self.spec.cls.__name__,
            state=self.state,
            restarts=self.incarnation,
            mailbox=stats,
            current=None if current is None else type(current.message).__name__,
            current_age=0.0 if current is None else max(0.0, self.system.now() - since),
            owed=owed,
            background=len(self.background or ()),
            abandoned=self.gone,
            last_error=None if error is None else f"{type(error).__name__}: {text_of(error)}",
            children=children,
        )

    # -- watching --------------------------------------------------------------------------------

    def watch(self, watcher: Cell) -> None:
        """Tell `watcher` when this actor has ended for good: once, also when it already has."""
        with self.lock:
            if not self.ended:
                if self.watchers is None:
                    self.watchers = []
                if watcher not in self.watchers:
                    self.watchers.append(watcher)
                return
        watcher.deliver_terminated(self, self.last_error)

    def deliver_terminated(self, cell: Ending, error: BaseException | None) -> None:
        """Put a `Terminated` into the system lane."""
        message = Terminated(ref=cell.ref, path=cell.path, error=error)

        def operation() -> Any:  # Any: what a handler returns
            if self.stopping >= NOW:
                return None
            if self.state not in (ActorState.RESTARTING, ActorState.PARKED):
                return self._hear(message)
            begun: Reply[Any] = Reply()  # between two lives: the next one hears it
            begun.add_done_callback(again)
            self.starters = [*(self.starters or ()), begun]
            return None

        def again(_: Reply[Any]) -> None:
            self.post_system(operation)

        self.post_system(operation)

    def _hear(self, message: Terminated) -> Any:  # Any: None, or a coroutine
        """Handle it as an operation of the kernel, which a kill can end or leave behind."""
        env = self.enter_hook()
        try:
            value = self.receive(message)
        except BaseException:
            if self.leave_hook(env):
                raise
            return None
        if self.is_async:
            return self._hear_out(value, env)
        self.leave_hook(env)
        return None

    async def _hear_out(self, value: Any, env: Envelope | None) -> None:  # Any: what is awaited
        try:
            await value
        except BaseException:
            if self.leave_hook(env):
                raise
        else:
            self.leave_hook(env)

    # -- cancelling ------------------------------------------------------------------------------

    def cancel_running(self, reply: Reply[Any]) -> None:
        """The asker has given up on a claimed message: end its handler and what it deferred."""
        with self.lock:
            current = self.current
            if current is None or current.reply is not reply:
                current = None
                if self._owed_locked(reply) is not None and self.deferred is not None:
                    del self.deferred[reply.debt]
                    self._settle_locked(reply, CANCELLED, None)
        if current is not None:
            self.cancel_envelope(current)
        elif self.stopping:
            self.post_system(_nothing)

    def _owed_locked(self, reply: Reply[Any]) -> Envelope | None:
        """The message whose answer is owed to `reply` (lock held), without a search for it."""
        env = (self.deferred or {}).get(reply.debt)
        # Keys are ids, which come again: only its own envelope has this Reply.
        return env if env is not None and env.reply is reply else None


def ask_foreign(ref: pykka.ActorRef[Any], message: Any) -> Reply[Any]:
    """Ask a plain pykka actor without blocking: its future is our Reply."""
    reply: Reply[Any] = Reply()
    if not ref.is_alive():
        reply.set_exception(ActorDeadError(f"{ref} is not alive"))
    else:
        ref.actor_inbox.put(PykkaEnvelope(message, reply_to=reply))
    return reply


def _nothing() -> None:
    """An operation that only makes the actor look at itself again."""
