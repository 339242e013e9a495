"""The mailbox: bounded, closable, with lanes and an exact ledger.

Guarantees
- `post` answers truthfully whether the message was accepted, from any thread, without blocking;
  after `close` nothing slips in, except answers to what this incarnation itself has asked for.
- Every accepted message of the user lane is counted in exactly one place at any instant. All
  counters change under the one lock, so a snapshot balances (`Ledger.balanced`).
- A wake-up is never lost: the `scheduled` flag is set and cleared under the lock that guards the
  queue.
- The system lane, stop, timers and answers are never refused: their number is bounded by what the
  receiver itself asked for.

Why not `queue.Queue`: 1 us a message and no way to close it. Why not a lock-free deque: then
    nobody could say whether a message came before or after the close.

The deque is made at the first message: an idle actor has none.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from understudy.actors.kernel.batch import Batching
from understudy.actors.kernel.errors import ActorDeadError
from understudy.actors.kernel.reply import (
    CANCELLED,
    CLAIMED,
    DONE,
    EXPIRED,
    FAILED,
    PENDING,
    QUEUED,
    STASHED,
    WAITING,
    WITHDRAWN,
    Reply,
)
from understudy.actors.kernel.timers import Conditional
from understudy.messages.control import Overflow
from understudy.messages.envelope import Envelope, Lane
from understudy.messages.errors import MailboxFullError, UnderstudyError

SYSTEM, USER, ANSWER = Lane.SYSTEM, Lane.USER, Lane.ANSWER
_ACCEPT, _QUEUE, _WAIT, _REFUSE = range(4)


class Mailbox(Batching):
    """Queue and lanes of one actor. `Cell` adds the life."""

    __slots__ = ()

    # -- sending ---------------------------------------------------------------------------------

    def post(self, env: Envelope) -> bool:  # noqa: C901, PLR0912 - one pass: the hot path
        """Accept `env` or refuse it; True when accepted. Any thread, never blocks, never raises."""
        victim = None
        with self.lock:
            if self.closed and (env.lane is not ANSWER or self.ended):
                verdict = _REFUSE
            else:
                queue = self.queue
                if queue is None:
                    queue = self.queue = deque()
                depth = len(queue) - self.dead
                if self.batch is not None:
                    depth += self.batch.queued
                if depth < self.capacity or env.lane is not USER:
                    verdict = _ACCEPT
                else:
                    verdict, victim = self._overflow(env, queue)
                if verdict is _ACCEPT:
                    if env.reply is not None:
                        env.reply.work = QUEUED
                    queue.append(env)
                    self.accepted += 1
                    if depth >= self.peak:
                        self.peak = depth + 1
                    if self.scheduled:
                        env.at = self.system.now()
                        if victim is None:
                            return True
                        verdict = _QUEUE
                    elif self.suspended:
                        verdict = _QUEUE
                    else:
                        self.scheduled = True
        if verdict is _ACCEPT:
            self.dispatcher.schedule(self)  # type: ignore[arg-type]  # every mailbox is a Cell
        if victim is not None:
            self.discard(victim, "overflow")
        elif verdict is _REFUSE:
            self._refuse(env)
            return False
        return True

    def post_system(self, operation: Callable[[], Any]) -> bool:  # Any: None, or a coroutine
        """Run `operation` as this actor, before any user message; False when it has ended."""
        with self.lock:
            if self.ended:
                return False
            if self.system_lane is None:
                self.system_lane = deque()
            self.system_lane.append(Envelope(operation, cell=self, lane=SYSTEM))
            if self.scheduled:
                return True
            self.scheduled = True
        self.dispatcher.schedule(self)  # type: ignore[arg-type]  # every mailbox is a Cell
        return True

    def _overflow(self, env: Envelope, queue: deque[Envelope]) -> tuple[int, Envelope | None]:
        """Decide about a full queue (lock held): the verdict, and whom to drop instead."""
        policy = self.options.overflow
        if policy == Overflow.WAIT and env.reply is not None:
            return self._wait_locked(env)
        if policy in (Overflow.DROP_OLDEST, Overflow.DROP_NEWEST):
            oldest = policy == Overflow.DROP_OLDEST
            for index in range(len(queue)) if oldest else range(len(queue) - 1, -1, -1):
                victim = queue[index]
                if victim.lane == USER and (victim.reply is None or victim.reply.work != WITHDRAWN):
                    del queue[index]
                    if victim.reply is not None:
                        victim.reply.work = WITHDRAWN
                    self.dropped += 1
                    return _ACCEPT, victim
        return _REFUSE, None

    def _wait_locked(self, env: Envelope) -> tuple[int, None]:
        """A request waits for a place in the queue."""
        if self.waiting is None:
            self.waiting = deque()
        env.reply.work = WAITING
        self.waiting.append(env)
        return _WAIT, None

    def _refuse(self, env: Envelope) -> None:
        """Say no, outside of the lock: an error for who asked, a dead letter for who told."""
        with self.lock:
            self.refused += 1
            closed = self.closed
        if env.reply is not None:
            env.reply.work = WITHDRAWN
            env.reply.settle(FAILED, self.dead_error() if closed else self.full_error())
        self.system.dead_letters.add(env, self.path, "closed" if closed else "full")

    def discard(self, env: Envelope, reason: str) -> None:
        """An accepted message that nobody will handle (already counted): answer and record it."""
        if env.reply is not None:
            env.reply.work = WITHDRAWN
            env.reply.settle(
                FAILED, self.full_error() if reason == "overflow" else self.dead_error()
            )
        self.system.dead_letters.add(env, self.path, reason)

    def dead_error(self) -> UnderstudyError:
        """What who asks an actor that has ended is told."""
        if self.system.lost is not None:
            return self.system.lost
        return ActorDeadError(f"{self.path} has ended", actor=self.path)

    def full_error(self) -> MailboxFullError:
        """What who asks an actor with a full mailbox is told."""
        return MailboxFullError(
            f"the mailbox of {self.path} is full ({self.capacity} messages); send fewer at a time, "
            "or give it a larger capacity or overflow='wait'",
            actor=self.path,
        )

    # -- handling --------------------------------------------------------------------------------

    def claim(self) -> Envelope | None:
        """The next message to handle, or None: then the actor is no longer scheduled."""
        with self.lock:
            env = self._claim_locked()
        if self.fallen is not None:
            self._bury()
        return env

    def _claim_locked(self) -> Envelope | None:  # noqa: C901 - the hot path
        if self.system_lane:
            return self.system_lane.popleft()
        queue = self.queue
        if queue and not self.suspended:
            while queue:
                env = queue.popleft()
                reply = env.reply
                if reply is not None:
                    if reply.work == WITHDRAWN:
                        self.dead -= 1
                        continue
                    reply.work = CLAIMED
                if env.deadline is not None and env.deadline <= self.system.now():
                    self._fall_locked(env, EXPIRED)
                    continue
                scope = env.scope
                if scope is not None and scope._state >= CANCELLED:
                    self._fall_locked(env, scope._state)
                    continue
                if env.lane is ANSWER and isinstance(env.message, Conditional):
                    message = env.message.take()
                    if message is None:
                        self.cancelled += 1
                        continue
                    env.message = message
                if self.waiting:
                    self._admit_locked(queue)
                self.current = env
                return env
        if self.waiting and not self.suspended:
            if self.queue is None:
                self.queue = deque()
            self._admit_locked(self.queue)
            return self._claim_locked()
        return self.idle_locked()

    def give_back(self, env: Envelope) -> None:
        """An operation of the kernel that cannot be run here: the next one to claim gets it."""
        with self.lock:
            if self.system_lane is None:
                self.system_lane = deque()
            self.system_lane.appendleft(env)

    def idle_locked(self) -> Envelope | None:
        """Nothing to claim (lock held): go idle. `Cell` ends the actor here when it is stopping."""
        self.scheduled = False
        return None

    def holds(self, env: Envelope) -> bool:
        """Whether who handles `env` still works for this actor; not when it was abandoned."""
        return self.current is env or not (env.lane or env.deadline is not None)

    def finish(
        self,
        env: Envelope,
        state: int,
        value: Any,  # Any: the answer, or the error
        more: bool = True,  # noqa: FBT001, FBT002 - positional on the hot path
    ) -> Envelope | None:
        """The handler is through with `env`: count it, answer it, claim the next one if `more`."""
        reply = env.reply
        late = False
        with self.lock:
            if self.current is not env and (env.lane or env.deadline is not None):
                self._came_back_locked(env)
                return None
            self.current = None
            if self.stashed and self.stashed[-1] is env:
                reply = None  # its turn has not come: see `stash`
            elif self.deferred is not None and id(env) in self.deferred:
                answered = self.deferred[id(env)] is None
                # Also when the asker has given up meanwhile: nobody is owed an answer then.
                over = state != DONE or (reply is not None and reply._state >= CANCELLED)
                if answered or over:
                    del self.deferred[id(env)]
                if not answered and over:
                    late = self._settle_locked(reply, state, value) and state != DONE
                else:
                    reply = None  # whoever holds the Deferred answers, or has answered
            elif env.lane:
                late = self._settle_locked(reply, state, value)
        # Answer first, claim then: whoever waited may hand over more work, for the same slice.
        if late:
            self.late_answer(value)
        elif reply is not None:
            reply.wake()
        return self.claim() if more else None

    def withdraw_locked(self, reply: Reply[Any]) -> None:
        """A queued request was cancelled or expired (lock held): it will not be handled."""
        stashed = reply.work == STASHED
        reply.work = WITHDRAWN
        if stashed and self.stashed is not None:
            for env in self.stashed:
                if env.reply is reply:
                    self.stashed.remove(env)
                    if env is self.current:  # its handler is still at it, and counts it
                        reply.work = CLAIMED
                        return
                    break
        else:
            self.dead += 1
        if reply._state == EXPIRED:
            self.expired += 1
        else:
            self.cancelled += 1

    def _fall_locked(self, env: Envelope, state: int) -> None:
        """Claimed too late (lock held): expired, or its scope was cancelled meanwhile."""
        if state == EXPIRED:
            self.expired += 1
        else:
            self.cancelled += 1
        if env.reply is not None:
            env.reply.work = WITHDRAWN  # now: somebody may cancel it before it is buried
        if self.fallen is None:
            self.fallen = []
        self.fallen.append(env)

    def _bury(self) -> None:
        fallen, self.fallen = self.fallen, None
        for env in fallen or ():
            expired = env.deadline is not None and env.deadline <= self.system.now()
            if env.reply is not None:
                env.reply.cancel(expired=expired)
            self.system.dead_letters.add(env, self.path, "expired" if expired else "cancelled")

    def _admit_locked(self, queue: deque[Envelope]) -> None:
        """A place is free: let waiting requests in, in order, past those that gave up."""
        while self.waiting and len(queue) - self.dead < self.capacity:
            env = self.waiting.popleft()
            if env.reply._state == PENDING:
                env.reply.work = QUEUED
                queue.append(env)
                self.accepted += 1

    def late_answer(self, value: Any) -> None:  # Any: the answer nobody waits for
        """An answer after the first one: counted, kept as a dead letter, no error."""
        with self.lock:
            self.late += 1
        self.system.dead_letters.add(Envelope(value), self.path, "late_reply")

    def stash(self, env: Envelope) -> None:
        """Keep the message in hand for later; `unstash` puts it in front of the queue."""
        with self.lock:
            self.fold_locked()
            if self.deferred is not None and id(env) in self.deferred:
                msg = f"{self.path} has deferred the answer of this message, and cannot stash it"
                raise UnderstudyError(msg, actor=self.path)
            if self.stashed is None:
                self.stashed = deque()
            if self.stashed and self.stashed[-1] is env:
                return
            if len(self.stashed) >= self.capacity:
                raise self.full_error()
            self.stashed.append(env)
            if env.reply is not None:
                env.reply.work = STASHED

    def unstash(self) -> None:
        """Put everything stashed in front of the queue, in order (as the actor itself)."""
        with self.lock:
            stashed, self.stashed = self.stashed, None
            if not stashed:
                return
            current = self.current
            if stashed[-1] is current:  # unstashing what was stashed a line ago
                self.stashed = deque([stashed.pop()])
            for env in stashed:
                if env.reply is not None:
                    env.reply.work = QUEUED
            if self.queue is None:
                self.queue = deque()
            self.queue.extendleft(reversed(stashed))
