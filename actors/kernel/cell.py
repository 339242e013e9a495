"""The cell: everything the kernel keeps about one actor, in one object.

A cell is a mailbox (see `mailbox.py`) with a life: it makes the instance, starts, restarts and ends it, and
tells whoever must know. It is driven by its dispatcher, one operation at a time: what is written here as
`_do_something` runs as the actor, between its messages, and therefore needs no lock of its own.

Guarantees
- A Ref and the queued messages survive a restart; timers, background work, deferred answers and children of
  the old life do not.
- `end` happens once, after which every watcher has been told and every message has been answered.
- `BaseException` from user code is contained here (`failed_with`).

Why one object: an actor costs one cell, one Ref and one instance. Mailbox, context and supervision as objects
of their own, as in the textbooks, cost a kilobyte each and three hops through attributes for each message.

This is the only file that uses pykka's private names: its envelope, to ask foreign pykka actors without
blocking (`ask_foreign`).
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import pykka
from pykka._envelope import Envelope as PykkaEnvelope

from understudy.actors.kernel.mailbox import Mailbox
from understudy.actors.kernel.reply import CANCELLED, DONE, FAILED, WITHDRAWN, Reply
from understudy.messages.control import ActorState, Directive, MailboxStats
from understudy.messages.envelope import Envelope, Lane
from understudy.messages.errors import (
    ActorRestartedError,
    DeadlineExceededError,
    RunCancelledError,
    UnderstudyError,
    to_wire,
)
from understudy.messages.events import ActorFailed, ActorRestarted

if TYPE_CHECKING:
    from understudy.actors.kernel.dispatchers.base import Dispatcher
    from understudy.actors.kernel.dispatchers.loop import Runner
    from understudy.actors.kernel.options import ChildSpec
    from understudy.actors.kernel.ref import Ref
    from understudy.actors.kernel.system import ActorSystem

_CANCELS = (asyncio.CancelledError, RunCancelledError, DeadlineExceededError)
RUNNING_ON, DRAIN, NOW, KILL = range(4)
"""How urgently an actor is to end."""
_NOT_PYKKAS = "this actor is run by understudy's kernel; start it with rt.spawn(...) or .start()"


class PykkaActor(pykka.Actor):
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


class Cell(Mailbox):
    """One actor. See the module's docstring."""

    __slots__ = (
        "accepts",
        "actor",
        "background",
        "children",
        "enders",
        "incarnation",
        "is_async",
        "last_error",
        "name",
        "parent",
        "receive",
        "ref",
        "restarts",
        "runner",
        "spec",
        "starters",
        "state",
        "stopping",
        "timers",
        "waits_for",
        "watchers",
    )

    def __init__(
        self,
        system: ActorSystem,
        dispatcher: Dispatcher,
        spec: ChildSpec,
        parent: Cell | None,
        name: str | int,
    ) -> None:
        super().__init__(system, dispatcher, spec.mailbox)
        self.spec = spec
        self.parent = parent
        self.name = name
        self.state = ActorState.STARTING
        self.incarnation = 0
        self.stopping = RUNNING_ON
        self.is_async: bool = spec.cls.traits.is_async
        self.accepts: tuple[type, ...] | None = spec.cls.traits.accepts
        self.actor: Any = None  # Any: an instance of spec.cls
        self.receive: Callable[[Any], Any] = _nobody  # Any: messages and answers
        self.ref: Ref[Any] = None  # type: ignore[assignment]  # set by ActorSystem.spawn
        self.runner: Runner | None = None
        self.children: dict[str | int, Cell] | None = None
        self.background: dict[int, Any] | None = None  # Any: asyncio tasks
        self.timers: dict[int, Any] | None = None  # Any: Timer
        self.watchers: list[Cell] | None = None
        self.starters: list[Reply[Any]] | None = None
        self.enders: list[Reply[MailboxStats]] | None = None
        self.restarts: Any = None  # Any: RestartHistory, once there was a failure
        self.last_error: BaseException | None = None
        self.waits_for: Cell | None = None

    @property
    def path(self) -> str:
        """See `Mailbox.path`; made when somebody asks."""
        name = self.name if isinstance(self.name, str) else f"{self.spec.cls.__name__}-{self.name}"
        return f"{self.parent.path}/{name}" if self.parent is not None else f"/{name}"

    # -- starting --------------------------------------------------------------------------------

    def build(self) -> None:
        """Make the instance; its `__init__` runs here, in whoever called."""
        spec = self.spec
        actor = spec.cls.__new__(spec.cls)
        actor._cell = self
        actor.__init__(*spec.args, **spec.kwargs)
        self.actor = actor
        self.receive = actor.on_receive

    def start(self) -> None:
        """Begin: at once when there is no `on_start`, else on the dispatcher."""
        if self.spec.cls.traits.has_on_start:
            self.post_system(self._do_start)
        else:
            self._started()

    def _do_start(self) -> Coroutine[Any, Any, None] | None:
        """Run `on_start`; what it raises is a failure to start."""
        try:
            waiting = self.actor.on_start()
        except BaseException as error:  # noqa: BLE001 - contained: it is the answer to the spawner
            self._start_failed(error)
            return None
        if inspect.iscoroutine(waiting):
            return self._do_start_async(waiting)
        self._started()
        return None

    async def _do_start_async(self, waiting: Coroutine[Any, Any, None]) -> None:
        try:
            await waiting
        except BaseException as error:  # noqa: BLE001 - contained, as above
            self._start_failed(error)
        else:
            self._started()

    def _started(self) -> None:
        with self.lock:
            if self.state == ActorState.STARTING or self.state == ActorState.RESTARTING:
                self.state = ActorState.RUNNING
            self.suspended = False
            wake = not self.scheduled and (bool(self.queue) or self.stopping != RUNNING_ON)
            if wake:
                self.scheduled = True
            starters, self.starters = self.starters, None
        if wake:
            self.dispatcher.schedule(self)
        for reply in starters or ():
            reply.set(self.ref)

    def _start_failed(self, error: BaseException) -> None:
        self.last_error = error
        starters, self.starters = self.starters, None
        if self.incarnation == 0:
            self.end(error)
        else:
            self._failed(error)
        for reply in starters or ():
            reply.set_exception(error)

    # -- failing and restarting --------------------------------------------------------------------

    def failed_with(self, env: Envelope, error: BaseException) -> tuple[int, BaseException]:
        """A handler raised: what becomes of its message. Anything unexpected is reported."""
        if self._was_cancelled(env) and isinstance(error, _CANCELS):
            return CANCELLED, error
        if env.lane == Lane.SYSTEM or not isinstance(error, self.spec.cls.traits.expects):
            self._failed(error)
        return FAILED, error

    def _was_cancelled(self, env: Envelope) -> bool:
        """True when the kernel has asked for the end of this very message."""
        scope = env.scope
        return (scope is not None and scope._state >= CANCELLED) or self.stopping == KILL

    def _failed(self, error: BaseException) -> None:
        """Report a failure and act on the directive for it."""
        self.last_error = error
        system = self.system
        system.log_failure(self, error)
        if system.events.wants(ActorFailed):
            at = system.clock.wall()
            system.events.publish(ActorFailed(at=at, path=self.path, error=to_wire(error)))
        if self.stopping:
            return
        match self.spec.directive_for(error):
            case Directive.RESUME:
                return
            case Directive.RESTART:
                self._begin_restart(error)
            case Directive.STOP:
                self.halt(NOW)
            case Directive.ESCALATE:
                self.halt(NOW)
                if self.parent is not None:
                    self.parent.post_system(lambda: self.parent._failed(error))  # type: ignore[union-attr]

    def _begin_restart(self, error: BaseException) -> None:
        with self.lock:
            self.suspended = True
            self.state = ActorState.RESTARTING
        self._end_incarnation(ActorRestartedError(f"{self.path} was restarted", actor=self.path))
        delay = self.system.restart_delay(self)
        if delay is None:
            self._park()
        elif delay <= 0:
            self.post_system(self._do_restart)
        else:
            self.system.after(delay, lambda: self.post_system(self._do_restart))

    def _do_restart(self) -> Coroutine[Any, Any, None] | None:
        if self.stopping or self.state != ActorState.RESTARTING:
            return None
        self.incarnation += 1
        error = self.last_error or UnderstudyError("restart")
        try:
            self.build()
        except BaseException as failure:  # noqa: BLE001 - contained: it counts as one more failure
            self._failed(failure)
            return None
        system = self.system
        if system.events.wants(ActorRestarted):
            system.events.publish(
                ActorRestarted(
                    at=system.clock.wall(),
                    path=self.path,
                    incarnation=self.incarnation,
                    error=to_wire(error),
                )
            )
        return self._do_start()

    def restart(self) -> Reply[Any]:
        """Start a new life by hand, also of a parked actor; answered when `on_start` succeeded."""
        reply: Reply[Any] = Reply()

        def operation() -> Coroutine[Any, Any, None] | None:
            if self.stopping:
                reply.set_exception(self.dead_error())
                return None
            with self.lock:
                self.suspended, self.closed = True, False
                self.state = ActorState.RESTARTING
                self.starters = [*(self.starters or ()), reply]
            self._end_incarnation(ActorRestartedError(f"{self.path} was restarted"))
            self.restarts = None
            return self._do_restart()

        if not self.post_system(operation):
            reply.set_exception(self.dead_error())
        return reply

    def _park(self) -> None:
        """Too many failures: stand still, answer everybody, wait for `restart()`."""
        with self.lock:
            self.state = ActorState.PARKED
            self.closed = True
            left = self._drain_locked()
        self._drop(left, "killed")
        self.system.parked(self)

    def _end_incarnation(self, error: UnderstudyError) -> None:
        """What belongs to this life ends with it: timers, background, deferred answers, children."""
        timers, self.timers = self.timers, None
        for timer in list((timers or {}).values()):
            timer.cancel()
        background, self.background = self.background, None
        for task in list((background or {}).values()):
            task.cancel()
        with self.lock:
            deferred, self.deferred = self.deferred, None
            for env in (deferred or {}).values():
                if env is not self.current:
                    self.cancelled += 1
        for env in (deferred or {}).values():
            if env.reply is not None:
                env.reply.settle(FAILED, error)
        for each in list((self.children or {}).values()):
            each.halt(KILL)

    # -- ending ----------------------------------------------------------------------------------

    def halt(self, urgency: int) -> Reply[MailboxStats]:
        """Begin to end; the Reply is answered with the last statistics when it has ended."""
        reply: Reply[MailboxStats] = Reply()
        with self.lock:
            ended = self.ended
            if not ended:
                self.closed = True
                self.stopping = max(self.stopping, urgency)
                if self.enders is None:
                    self.enders = []
                self.enders.append(reply)
                current = self.current
        if ended:
            reply.set(self.stats())
            return reply
        if urgency == KILL and current is not None:
            self.cancel_envelope(current)
        self.post_system(self._do_halt)
        return reply

    def _do_halt(self) -> None:
        """Drop what will not be handled any more. `idle_locked` ends the actor when all is quiet."""
        with self.lock:
            without_life = self.suspended
            if self.stopping >= NOW or without_life:
                left = self._drain_locked()
                self.suspended = False
            else:
                left = []
            self.state = ActorState.STOPPING
        self._drop(left, "killed")
        if self.stopping >= NOW or without_life:
            self._end_incarnation(self.dead_error())
        if without_life:
            self.end(self.last_error)

    def idle_locked(self) -> Envelope | None:
        """See `Mailbox.idle_locked`: a stopping actor that has nothing left to do ends now."""
        if self.stopping and not self.suspended and not self.ended:
            if not self.deferred and not self.background:
                return Envelope(self._do_end, cell=self, lane=Lane.SYSTEM)
        self.scheduled = False
        return None

    def _do_end(self) -> Coroutine[Any, Any, None] | None:
        """All messages are done: children right to left, then `on_stop`, then the end."""
        if self.children:
            last = next(reversed(self.children.values()))
            last.halt(KILL if self.stopping == KILL else self.stopping)
            with self.lock:
                self.suspended = True  # `child_ended` comes back here
            return None
        self._end_incarnation(self.dead_error())
        if self.stopping != KILL and self.spec.cls.traits.has_on_stop:
            try:
                waiting = self.actor.on_stop()
            except BaseException as error:  # noqa: BLE001 - contained: it ends all the same
                self.system.log_failure(self, error)
            else:
                if inspect.iscoroutine(waiting):
                    return self._do_end_async(waiting)
        self.end(None)
        return None

    async def _do_end_async(self, waiting: Coroutine[Any, Any, None]) -> None:
        try:
            await waiting
        except BaseException as error:  # noqa: BLE001 - contained: it ends all the same
            self.system.log_failure(self, error)
        self.end(None)

    def child_ended(self, cell: Cell) -> None:
        """A child has ended for good."""
        if self.children is not None:
            self.children.pop(cell.name, None)
        if self.stopping and not self.ended:
            self.post_system(self._do_go_on)

    def _do_go_on(self) -> None:
        with self.lock:
            self.suspended = False

    def end(self, error: BaseException | None) -> None:
        """The end: nothing is accepted any more, everybody is told. Happens once."""
        with self.lock:
            if self.ended:
                return
            self.closed = self.ended = True
            self.state = ActorState.STOPPED
            left = self._drain_locked()
            waiting, self.waiting = self.waiting, None
            watchers, self.watchers = self.watchers, None
            enders, self.enders = self.enders, None
        self._drop(left, "closed")
        for env in waiting or ():
            env.reply.settle(FAILED, self.dead_error())
        self.actor, self.receive = None, _nobody
        if self.parent is not None:
            self.parent.child_ended(self)
        self.system.ended(self, error)
        for watcher in watchers or ():
            watcher.deliver_terminated(self, error)
        if enders:
            stats = self.stats()
            for reply in enders:
                reply.set(stats)

    def _drain_locked(self) -> list[Envelope]:
        """Take everything queued (lock held), counted as dropped."""
        left = []
        for lane in (self.stashed, self.queue):
            while lane:
                env = lane.popleft()
                if env.reply is None or env.reply.work != WITHDRAWN:
                    left.append(env)
        self.dead = 0
        self.dropped += len(left)
        return left

    def _drop(self, left: list[Envelope], reason: str) -> None:
        for env in left:
            self.discard(env, reason)

    def end_reply(self) -> Reply[MailboxStats]:
        """A Reply that is answered when the actor has ended; it does not end it."""
        reply: Reply[MailboxStats] = Reply()
        with self.lock:
            if not self.ended:
                self.enders = [*(self.enders or ()), reply]
                return reply
        reply.set(self.stats())
        return reply

    def settle_deferred(self, env: Envelope, state: int, value: Any) -> None:  # Any: the answer
        """Give a deferred answer; late ones become dead letters."""
        with self.lock:
            known = self.deferred is not None and self.deferred.pop(id(env), None) is not None
            if known and env is self.current:
                known = False
                self.deferred[id(env)] = env  # type: ignore[index]
                answered_in_hand = True
            else:
                answered_in_hand = False
            late = not known or self._settle_locked(env.reply, state, value)
            wake = self.stopping and not self.deferred and not self.scheduled
        del answered_in_hand
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

    def lose(self, error: BaseException) -> None:
        """The loop is gone: answer everything that waits here, from whichever thread noticed."""
        with self.lock:
            self.closed = self.ended = True
            self.state = ActorState.STOPPED
            held = [env for env in (self.current, *(self.deferred or {}).values()) if env is not None]
            self.current, self.deferred = None, None
            self.cancelled += len({id(env) for env in held})
            left = self._drain_locked()
            enders, self.enders = self.enders, None
        for env in [*held, *left]:
            if env.reply is not None:
                env.reply.work = WITHDRAWN
                env.reply.settle(FAILED, error)
        for reply in enders or ():
            reply.set(self.stats())

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

    def deliver_terminated(self, cell: Cell, error: BaseException | None) -> None:
        """Put a `Terminated` into the system lane."""
        from understudy.messages.control import Terminated  # noqa: PLC0415 - not on the hot path

        message = Terminated(ref=cell.ref, path=cell.path, error=error)
        self.post_system(lambda: self.receive(message))

    # -- cancelling ------------------------------------------------------------------------------

    def cancel_running(self, reply: Reply[Any]) -> None:
        """The asker has given up on a claimed message: end its handler and what it deferred."""
        with self.lock:
            current = self.current
            if current is None or current.reply is not reply:
                current = None
                for key, env in (self.deferred or {}).items():
                    if env.reply is reply:
                        del self.deferred[key]  # type: ignore[union-attr]
                        self._settle_locked(reply, CANCELLED, None)
                        break
        if current is not None:
            self.cancel_envelope(current)
        elif self.stopping:
            self.post_system(_nothing)

    def cancel_envelope(self, env: Envelope) -> None:
        """Cancel the handler of `env`, where it can be cancelled."""
        runner = self.runner
        if runner is not None:
            self.system.call_on_loop(lambda: runner.cancel(env))


def ask_foreign(ref: pykka.ActorRef[Any], message: Any) -> Reply[Any]:
    """Ask a plain pykka actor without blocking: its future is our Reply."""
    reply: Reply[Any] = Reply()
    if not ref.is_alive():
        from understudy.actors.kernel.errors import ActorDeadError  # noqa: PLC0415 - cold path

        reply.set_exception(ActorDeadError(f"{ref} is not alive"))
    else:
        ref.actor_inbox.put(PykkaEnvelope(message, reply_to=reply))
    return reply


def _nobody(message: object) -> None:
    del message


def _nothing() -> None:
    """An operation that only makes the actor look at itself again."""
