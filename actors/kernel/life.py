"""The life of an actor: it starts, it fails, it starts again.

Guarantees
- A Ref and the queued messages survive a restart; timers, background work, deferred answers and
  children of the old life do not.
- Whatever user code raises, in a handler or in a hook, is contained here and acted upon once.
- The backoff before the next life waits on the clock, never in a thread; meanwhile the mailbox
  accepts.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from typing import Any

from understudy.actors.kernel.body import DRAIN, KILL, NOW, RUNNING_ON
from understudy.actors.kernel.ending import Ending
from understudy.actors.kernel.reply import CANCELLED, FAILED, UNHANDLED, Reply
from understudy.messages.control import ActorState, Directive
from understudy.messages.envelope import Envelope, Lane
from understudy.messages.errors import (
    DeadlineExceededError,
    RunCancelledError,
    UnderstudyError,
    UnhandledMessageError,
    to_wire,
)
from understudy.messages.events import ActorFailed, ActorRestarted

_CANCELS = (asyncio.CancelledError, RunCancelledError, DeadlineExceededError)


class Life(Ending):
    """See the module's docstring."""

    __slots__ = ()

    # -- starting --------------------------------------------------------------------------------

    def build(self) -> None:
        """Make the instance; its `__init__` runs here, in whoever called."""
        spec = self.spec
        make: Any = spec.cls.__new__  # Any: the class's own, if it has one
        actor = make(spec.cls)
        actor._cell = self
        actor.__init__(*spec.args, **spec.kwargs)
        self.actor = actor
        self.receive = actor.on_receive
        if self.system.debug and self.path.startswith("/user/"):
            from understudy.actors.kernel.copies import copying

            self.receive = copying(self.path, self.receive)

    def start(self) -> None:
        """Begin: at once when there is no `on_start`, else on the dispatcher."""
        if self.spec.cls.traits.has_on_start:
            self.post_system(self._do_start)
        else:
            self._started()

    def _do_start(self) -> Coroutine[Any, Any, None] | None:
        """Run `on_start`; what it raises is a failure to start."""
        if self.stopping >= NOW:
            return None
        env = self.enter_hook()
        try:
            waiting = self.actor.on_start()
        except BaseException as error:
            if self.leave_hook(env):
                self._start_failed(error)
            return None
        if inspect.iscoroutine(waiting):
            return self._do_start_async(waiting, env)
        if self.leave_hook(env):
            self._started()
        return None

    async def _do_start_async(
        self, waiting: Coroutine[Any, Any, None], env: Envelope | None
    ) -> None:
        try:
            await waiting
        except BaseException as error:
            if self.leave_hook(env):
                self._start_failed(error)
        else:
            if self.leave_hook(env):
                self._started()

    def _started(self) -> None:
        with self.lock:
            if self.state in (ActorState.STARTING, ActorState.RESTARTING):
                self.state = ActorState.RUNNING
            self.suspended = False
            due = bool(self.queue) or bool(self.waiting) or self.stopping != RUNNING_ON
            wake = due and not self.scheduled
            if wake:
                self.scheduled = True
            starters, self.starters = self.starters, None
        if wake:
            self.dispatcher.schedule(self)  # type: ignore[arg-type]  # it is a Cell
        for reply in starters or ():
            reply.set(self.ref)

    def _start_failed(self, error: BaseException) -> None:
        killed = self.stopping == KILL and isinstance(error, asyncio.CancelledError)
        if killed:
            error = self.dead_error()
        elif isinstance(error, asyncio.CancelledError):  # it would pass for the spawner's own
            error = RunCancelledError(f"the start of {self.path} was cancelled")
        self.last_error = error
        starters, self.starters = self.starters, None
        if self.incarnation == 0:
            self.end(error)
        elif not killed:
            self._failed(error)
        for reply in starters or ():
            reply.set_exception(error)

    # -- failing and restarting --------------------------------------------------------------------

    def failed_with(self, env: Envelope, error: BaseException) -> tuple[int, BaseException]:
        """A handler raised: what becomes of its message. Anything unexpected is reported."""
        if isinstance(error, UnhandledMessageError):
            self.system.dead_letters.add(env, self.path, "unhandled")
            return UNHANDLED, error
        if self._was_cancelled(env) and isinstance(error, _CANCELS):
            return CANCELLED, self.dead_error() if self.stopping == KILL else error
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
        if self.stopping > DRAIN:
            return
        match self.spec.directive_for(error):
            case Directive.RESUME if self.state != ActorState.RESTARTING:
                return  # a life that could not begin is nothing to go on with: it restarts
            case Directive.RESTART if self.stopping:
                # It goes on to its end; what it still owed, it does not know any more.
                self._end_incarnation(self.restarted_error)
            case Directive.RESTART | Directive.RESUME:
                self._begin_restart(error)
            case Directive.STOP:
                self.halt(NOW)
            case Directive.ESCALATE:
                self._escalate(error)

    def _escalate(self, error: BaseException) -> None:
        """Make it the parent's failure; a root does not fail, there it ends in being parked."""
        parent = self.parent
        if parent is not None and parent.parent is not None:
            self.halt(NOW)
            parent.post_system(lambda: parent._failed(error))
        elif self.stopping:
            self.halt(NOW)
        else:
            self._stand_down()
            self.park()

    def _restart_later(self) -> None:
        self.post_system(self._do_restart)

    def stop_itself(self) -> None:
        """The actor wants to end (see `Actor.stop`)."""
        parent = self.parent
        if self.spec.restart != "permanent" or parent is None or not parent.spec.cls.supervises:
            self.halt(DRAIN)
            return
        error = UnderstudyError(f"{self.path} stopped itself, and is permanent", actor=self.path)

        def operation() -> None:
            if self.state == ActorState.RUNNING:  # not when it ends, or was told so before
                self.last_error = error
                self._begin_restart(error)

        self.post_system(operation)

    def fail_with(self, error: BaseException) -> None:
        """Fail although no handler raised: what a supervisor does that gives up (as the actor)."""
        self._failed(error)

    def _begin_restart(self, error: BaseException) -> None:
        self._stand_down()
        parent = self.parent
        if parent is not None and parent.spec.cls.supervises:
            parent.post_system(lambda: parent.actor.child_failed(self, error))
            return
        delay = self.system.restart_delay(self)
        if delay is None:
            self.park()
        elif delay <= 0:
            self.post_system(self._do_restart)
        else:
            self.system.after(delay, self._restart_later)

    def _stand_down(self) -> None:
        """End this life and wait for the next; the mailbox goes on accepting."""
        with self.lock:
            if self.ended:  # the loop was lost, on another thread
                return
            self.suspended = True
            self.state = ActorState.RESTARTING
        self.unstash()
        self._end_incarnation(self.restarted_error)

    def stand_down(self, then: Callable[[], object]) -> None:
        """A sibling has failed: end this life after the message in hand, then call `then`."""

        def operation() -> None:
            if not self.stopping:
                self._stand_down()
            then()

        if not self.post_system(operation):
            then()

    def stand_up(self) -> Reply[Any]:
        """Begin the next life; answered when `on_start` has succeeded."""
        reply: Reply[Any] = Reply(self)  # type: ignore[arg-type]  # it is a Cell

        def operation() -> Coroutine[Any, Any, None] | None:
            if self.stopping:
                reply.set_exception(self.dead_error())
                return None
            if self.state != ActorState.RESTARTING:  # somebody restarted it by hand meanwhile
                reply.set(self.ref)
                return None
            self.starters = [*(self.starters or ()), reply]
            return self._do_restart()

        if not self.post_system(operation):
            reply.set_exception(self.dead_error())
        return reply

    def _do_restart(self) -> Coroutine[Any, Any, None] | None:
        if self.stopping or self.state != ActorState.RESTARTING:
            return None
        if self.children:  # names, ports and files are theirs until they have ended
            last = next(reversed(self.children.values()))
            gone = last.end_reply() if last.stopping == KILL else last.halt(KILL)
            gone.add_done_callback(lambda _: self._restart_later())
            return None
        self.incarnation += 1
        error = self.last_error or UnderstudyError("restart")
        try:
            self.build()
        except BaseException as failure:
            self._start_failed(failure)
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
        reply: Reply[Any] = Reply(self)  # type: ignore[arg-type]  # it is a Cell

        def operation() -> Coroutine[Any, Any, None] | None:
            with self.lock:
                if self.stopping or self.ended:
                    return None  # the end answers, see below
                self.suspended, self.closed = True, False
                self.state = ActorState.RESTARTING
                self.starters = [*(self.starters or ()), reply]
            self.unstash()
            self._end_incarnation(self.restarted_error)
            self.restarts = None
            self.system.parked_cells.pop(self.path, None)
            return self._do_restart()

        # Whatever ends it meanwhile, also where the operation never runs because the loop is gone.
        end = self.end_reply()
        end.add_done_callback(lambda _: reply.set_exception(self.dead_error()))
        reply.add_done_callback(lambda _: self.forget(end))
        self.post_system(operation)
        return reply

    def park(self) -> None:
        """Too many failures: stand still, answer everybody, wait for `restart()`."""
        with self.lock:
            if self.stopping:
                return
            self.state = ActorState.PARKED
            self.closed = True
            left = self._drain_locked()
        self._drop(left, "killed")
        self.system.parked(self)
