"""How an actor ends.

The end happens once, after which nothing is accepted, every message has been answered and every
watcher has been told. Nothing here waits: an actor that has to wait for its children or for what
it deferred is simply not scheduled, and comes back when the last of them is through. So it works
the same on a loop, on threads and in a simulation. What is written as `_do_something` runs as the
actor, between its messages. One that is to end without any more of its code being run needs no
thread for that: whoever stops it ends it.

A handler or a hook that does not end by itself after a kill is left behind (`abandon`).
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from understudy.actors.kernel.body import KILL, NOW, Body, nobody
from understudy.actors.kernel.context import in_hand
from understudy.actors.kernel.reply import CLAIMED, FAILED, WITHDRAWN, Reply
from understudy.messages.control import ActorState, MailboxStats
from understudy.messages.envelope import Envelope, Lane
from understudy.messages.errors import ActorRestartedError, UnderstudyError

if TYPE_CHECKING:
    from understudy.actors.kernel.dispatchers.base import Hand

GRACE = 2.0
"""Seconds that a cancelled handler has to end by itself."""


class Ending(Body):
    """See the module's docstring."""

    __slots__ = ()

    # -- ending ----------------------------------------------------------------------------------

    def halt(self, urgency: int) -> Reply[MailboxStats]:
        """Begin to end; the Reply is answered with the last statistics when it has ended."""
        reply: Reply[MailboxStats] = Reply(self)  # type: ignore[arg-type]  # it is a Cell
        with self.lock:
            ended = self.ended
            if not ended:
                self.closed = True
                self.stopping = max(self.stopping, urgency)
                if self.enders is None:
                    self.enders = []
                self.enders.append(reply)
                current = self.current or self.hook
                at_once = self._has_nothing_locked()
                if at_once:
                    self.scheduled = True  # nobody else runs it from here on
                    self.state = ActorState.STOPPING
        if ended:
            reply.set(self.stats())
            return reply
        if at_once:
            self.end(None)
            return reply
        if urgency == KILL and current is not None:
            self.cancel_envelope(current)
        self.post_system(self._do_halt)
        self._conclude()
        return reply

    def _conclude(self) -> None:
        """Do here what is left to do, where that is none of the actor's own code.

        It only waits for a thread then, and might do so for ever.
        """
        if self.stopping < NOW or (self.stopping == NOW and self.spec.cls.traits.has_on_stop):
            return
        if not self.dispatcher.take_back(self):  # type: ignore[arg-type]  # it is a Cell
            return
        while True:
            with self.lock:
                lane = self.system_lane
                env = lane.popleft() if lane else self.idle_locked()
            if env is None:
                return
            try:
                env.message()
            except Exception as error:
                self.system.log_failure(self, error)

    def _has_nothing_locked(self) -> bool:
        """Whether there is nothing to do or undo before the end (lock held), so that it is now."""
        return not (
            self.scheduled
            or self.suspended
            or self.queue
            or self.system_lane
            or self.waiting
            or self.stashed
            or self.deferred
            or self.background
            or self.timers
            or self.children
            or self.current
            or self.spec.cls.traits.has_on_stop
        )

    def _do_halt(self) -> None:
        """Drop what will not be handled; `idle_locked` ends the actor when all is quiet."""
        with self.lock:
            if self.ended:
                return
            # Suspended while it ends, it waits for its children: that is no reason to leave them.
            without_life = self.suspended and self.state != ActorState.STOPPING
            if self.stopping >= NOW or without_life:
                left = self._drain_locked()
                self.suspended = False
            else:
                left = []
            self.state = ActorState.STOPPING
        if self.stopping >= NOW or without_life:
            self._drop(left, "killed")
            self._end_incarnation(self.dead_error)
        if without_life:
            self.receive = nobody
            if not self.children:
                self.end(self.last_error)

    def idle_locked(self) -> Envelope | None:
        """See `Mailbox.idle_locked`: a stopping actor that has nothing left to do ends now."""
        ending = self.stopping and not self.suspended and not self.ended
        if ending and not self.deferred and not self.background:
            return Envelope(self._do_end, cell=self, lane=Lane.SYSTEM)
        self.scheduled = False
        return None

    def _do_end(self) -> Coroutine[Any, Any, None] | None:
        """All messages are done: children right to left, then `on_stop`, then the end."""
        last = next(reversed(list((self.children or {}).values())), None)
        if last is not None:
            last.halt(KILL if self.stopping == KILL else self.stopping)
            with self.lock:
                self.suspended = True  # `child_ended` comes back here
            return None
        self._end_incarnation(self.dead_error)
        if self.receive is nobody:  # it was between two lives, or its handler was left behind
            self.end(self.last_error)
            return None
        if self.stopping != KILL and self.spec.cls.traits.has_on_stop:
            env = self.enter_hook()
            try:
                waiting = self.actor.on_stop()
            except BaseException as error:
                self.system.log_failure(self, error)
            else:
                if inspect.iscoroutine(waiting):
                    return self._do_end_async(waiting, env)
            if not self.leave_hook(env):
                return None
        self.end(None)
        return None

    async def _do_end_async(self, waiting: Coroutine[Any, Any, None], env: Envelope | None) -> None:
        try:
            await waiting
        except BaseException as error:
            self.system.log_failure(self, error)
        if self.leave_hook(env):
            self.end(None)

    def enter_hook(self) -> Envelope | None:
        """User code is about to run that handles no message: a kill may have to leave it behind."""
        env = self.hook = in_hand.get()
        return env

    def leave_hook(self, env: Envelope | None) -> bool:
        """It has ended; False when it was left behind meanwhile, and nothing follows from it."""
        with self.lock:
            mine = self.hook is env
            if mine:
                self.hook = None
            return mine

    def child_ended(self, cell: Ending) -> None:
        """A child has ended for good."""
        if self.children is not None:
            self.children.pop(cell.name, None)
        if self.stopping and not self.ended:
            self.post_system(self._do_go_on)
            self._conclude()

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
            watchers, self.watchers = self.watchers, None
            enders, self.enders = self.enders, None
            starters, self.starters = self.starters, None
        if left or self.waiting:
            self._drop(left, "closed")
        for starter in starters or ():
            starter.settle(FAILED, self.dead_error())
        self.actor, self.receive = None, nobody
        self.system.ended(self, error)  # first: who waits for the parent's end looks at the sum
        if self.parent is not None:
            self.parent.child_ended(self)
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
                else:
                    self.dead -= 1
        self.dropped += len(left)
        return left

    def _drop(self, left: list[Envelope], reason: str) -> None:
        """Answer what was drained, and those who wait for a place among it."""
        for env in left:
            self.discard(env, reason)
        with self.lock:
            waiting, self.waiting = self.waiting, None
        for env in waiting or ():
            env.reply.settle(FAILED, self.dead_error())

    def end_reply(self) -> Reply[MailboxStats]:
        """A Reply that is answered when the actor has ended; it does not end it."""
        reply: Reply[MailboxStats] = Reply(self)  # type: ignore[arg-type]  # it is a Cell
        with self.lock:
            if not self.ended:
                self.enders = [*(self.enders or ()), reply]
                return reply
        reply.set(self.stats())
        return reply

    def forget(self, end: Reply[MailboxStats]) -> None:
        """Nobody is interested any more in what `end_reply` has given."""
        with self.lock:
            if self.enders and end in self.enders:
                self.enders.remove(end)

    def lose(self, error: BaseException) -> None:
        """The loop is gone: answer everything that waits here, from whichever thread noticed."""
        with self.lock:
            self.fold_locked()
            self.closed = self.ended = True
            self.state = ActorState.STOPPED
            held = [
                env for env in (self.current, *(self.deferred or {}).values()) if env is not None
            ]
            owed = {id(env) for env in held if env is not self.current}
            self.gone += self.current is not None
            self.current, self.deferred = None, None
            self.cancelled += len(owed)
            left = self._drain_locked()
            waiting, self.waiting = self.waiting, None
            enders, self.enders = self.enders, None
            starters, self.starters = self.starters, None
        for env in [*held, *left, *(waiting or ())]:
            if env.reply is not None:
                env.reply.work = WITHDRAWN
                env.reply.settle(FAILED, error)
        for starter in starters or ():
            starter.settle(FAILED, error)
        for reply in enders or ():
            reply.set(self.stats())

    # -- what ends with one life ------------------------------------------------------------------

    def _end_incarnation(self, lost: Callable[[], UnderstudyError]) -> None:
        """What belongs to this life ends with it: timers, background, answers owed, children."""
        if not (self.timers or self.background or self.deferred or self.queue or self.children):
            return
        timers, self.timers = self.timers, None
        for timer in list((timers or {}).values()):
            timer.cancel()
        background, self.background = self.background, None
        for task in list((background or {}).values()):
            task.cancel()
        with self.lock:
            deferred, self.deferred = self.deferred or {}, None
            if self.current is not None and id(self.current) in deferred:
                # Its handler has just failed: `finish` answers with that error, and counts it.
                self.deferred = {id(self.current): deferred.pop(id(self.current))}
            owed = [env for env in deferred.values() if env is not None]
            self.cancelled += len(owed)
            stale = [env for env in self.queue or () if env.lane == Lane.ANSWER]
            if stale:  # what this life asked for is nothing that the next one knows of
                self.queue = deque(env for env in self.queue or () if env.lane != Lane.ANSWER)
                self.cancelled += len(stale)
        for env in stale:
            self.system.dead_letters.add(env, self.path, "cancelled")
        if owed:
            error = lost()
            for env in owed:
                self.answer_lost(env, error)
        for each in list((self.children or {}).values()):
            each.halt(KILL)

    def cancel_envelope(self, env: Envelope) -> None:
        """Cancel the handler of `env`; one that has not ended after the grace is abandoned."""
        self.system.call_on_loop(lambda: self._cancel_hand(env))
        self.system.after(GRACE, lambda: self.abandon(env))

    def _cancel_hand(self, env: Envelope) -> None:
        """Looked up on the loop: a handler in its first step is in nobody's hand yet."""
        runner = self.runner
        if runner is not None:
            runner.cancel(env)

    def abandon(self, env: Envelope) -> None:
        """Leave a handler or a hook behind that does not end: a new life takes the mailbox.

        CPython cannot interrupt a blocking call, and a coroutine may refuse its cancellation. What
        the old handler still sends has expired before it arrives; it is `gone` in the ledger until
        it ends.
        """
        with self.lock:
            if self.batch is not None and self.current is env:
                self.fold_locked()
            if self.ended or (self.current is not env and self.hook is not env):
                return
            runner = self._leave_locked(env)
        if runner is not None:
            runner.abandon()
        self.system.log_abandoned(self, env)
        error = self.dead_error() if self.stopping else self.restarted_error()
        self.answer_lost(env, error)
        self._end_incarnation(lambda: error)
        if self.stopping:
            self.receive = nobody
            if not self.children:
                self.end(None)
                if self.system_lane:  # somebody waits for an operation that has come too late
                    self.dispatcher.schedule(self)  # type: ignore[arg-type]  # it is a Cell
                return
        following = self._do_end if self.stopping else self._do_restart
        with self.lock:  # `scheduled` was left to the abandoned handler: take it back
            if self.system_lane is None:
                self.system_lane = deque()
            self.system_lane.append(Envelope(following, cell=self, lane=Lane.SYSTEM))
            self.scheduled = True
        self.dispatcher.schedule(self)  # type: ignore[arg-type]  # it is a Cell

    def _leave_locked(self, env: Envelope) -> Hand | None:
        """Count the handler of `env` as gone (lock held); who runs it."""
        self.hook = None
        if self.current is env:
            self.gone += 1
        self.current = None
        if self.stashed and self.stashed[-1] is env:
            self.stashed.pop()  # in one place only
            if env.reply is not None:
                env.reply.work = CLAIMED
        if self.deferred is not None:
            self.deferred.pop(id(env), None)
        self.system.left_behind[id(env)] = self.path
        env.deadline = float("-inf")
        runner, self.runner = self.runner, None
        self.suspended = True
        if not self.stopping:
            self.state = ActorState.RESTARTING
        return runner

    def answer_lost(self, env: Envelope, error: BaseException) -> None:
        """Answer a message whose handler was left behind."""
        if env.reply is not None:
            env.reply.settle(FAILED, error)

    def restarted_error(self) -> ActorRestartedError:
        """What who asked an actor that was restarted meanwhile is told."""
        return ActorRestartedError(f"{self.path} was restarted", actor=self.path)

    def _do_restart(self) -> Coroutine[Any, Any, None] | None:
        """Begin the next life; see `Life`."""
        raise NotImplementedError
