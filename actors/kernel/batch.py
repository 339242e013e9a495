"""Several tells, claimed in one turn of the lock.

Claiming and counting each message under the lock costs more than a small handler does. So tells
that wait in a row are claimed together. Nobody can see the difference: `done` says how many of them
have been handled, it is the only thing that changes between two messages, and it changes in one
step. Whoever looks (under the lock) finds the ones before it handled, one in hand, and the rest
queued.

Only the one who works through a batch moves `done`, without the lock. Whoever else has to change
what the actor holds (it is abandoned, its loop is lost, its handler stashes or defers) *folds* the
batch first, under the lock: what was done is counted, the rest goes back to the queue. The one who
works through it notices after the message in hand.
"""

from __future__ import annotations

from collections import deque

from understudy.actors.kernel.accounts import Accounts
from understudy.messages.control import Overflow
from understudy.messages.envelope import Envelope, Lane

FEWEST = 4
"""Messages that must wait: a shorter row is not worth the trouble."""
MOST = 64
"""Messages of a batch, at most."""
USER = Lane.USER
_UNDROPPED = (Overflow.REJECT, Overflow.WAIT)
"""Policies that leave alone what is queued."""


class Batch:
    """See the module's docstring.

    Attributes:
        envelopes: tells in order; `envelopes[done]` is in hand, what follows is queued.
        done: how many have been handled.
        folded: what `done` was when somebody folded it, or -1.
    """

    __slots__ = ("done", "envelopes", "folded")

    def __init__(self, envelopes: list[Envelope]) -> None:
        self.envelopes = envelopes
        self.done = 0
        self.folded = -1

    @property
    def queued(self) -> int:
        """How many have not been begun."""
        return max(0, len(self.envelopes) - self.done - 1)


class Batching(Accounts):
    """The part of a mailbox that claims several at once. `Mailbox` claims one by one."""

    __slots__ = ()

    batches = True
    """Whether it may."""

    def claim_batch(self) -> Batch | None:
        """Tells that wait in a row, or None when `claim` is to be asked."""
        queue = self.queue
        if not queue or len(queue) < FEWEST:  # a glance, which most slices end at
            return None
        with self.lock:
            queue = self.queue
            if (
                not queue
                or len(queue) < FEWEST
                or self.system_lane
                or self.suspended
                or self.waiting
                or self.stashed
                or not self.batches
                or self.options.overflow not in _UNDROPPED
            ):
                return None
            envelopes: list[Envelope] = []
            at = self.system.now()
            while queue and len(envelopes) < MOST:
                env = queue[0]
                if env.reply is not None or env.lane is not USER:
                    break
                if env.scope is not None and env.is_stale(at):
                    break
                envelopes.append(queue.popleft())
            if not envelopes:
                return None
            batch = self.batch = Batch(envelopes)
            self.current = envelopes[0]
            return batch

    def fold_locked(self) -> None:
        """See `batch` (lock held): only the message in hand is in hand afterwards."""
        batch, self.batch = self.batch, None
        if batch is None:
            return
        done = batch.folded = batch.done
        self.handled += done
        left = batch.envelopes[done:]
        self.current = left[0] if left else None
        if len(left) > 1:
            if self.queue is None:
                self.queue = deque()
            self.queue.extendleft(reversed(left[1:]))

    def leave(self, batch: Batch) -> None:
        """Its worker goes no further in `batch`, which nobody has folded; the rest is queued."""
        with self.lock:
            if self.batch is batch:
                self.fold_locked()
                self._unclaim_locked()

    def unclaim(self, env: Envelope) -> bool:
        """Queue the message in hand again, which was not begun; False when it no longer is."""
        with self.lock:
            if self.current is not env:
                return False
            self._unclaim_locked()
            return True

    def _unclaim_locked(self) -> None:
        if self.current is not None and self.queue is not None:
            self.queue.appendleft(self.current)
            self.current = None
