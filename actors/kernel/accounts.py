"""The account of a mailbox: what it holds, and how everything it ever accepted has ended.

Every accepted message of the user lane is counted in exactly one place at any instant. All counters
change under the one lock, so a snapshot balances (`Ledger.balanced`).
"""

from __future__ import annotations

from _thread import allocate_lock
from abc import ABC, abstractmethod
from collections import deque
from typing import TYPE_CHECKING, Any

from understudy.actors.kernel.reply import (
    CANCELLED,
    DONE,
    EXPIRED,
    FAILED,
    PENDING,
    UNHANDLED,
    Reply,
)
from understudy.messages.control import Ledger, MailboxStats
from understudy.messages.envelope import Envelope

if TYPE_CHECKING:
    from understudy.actors.kernel.batch import Batch
    from understudy.actors.kernel.dispatchers.base import Dispatcher
    from understudy.actors.kernel.options import MailboxOptions
    from understudy.actors.kernel.system import ActorSystem


class Accounts(ABC):
    """Everything that a mailbox keeps. `Mailbox` adds what is done with it."""

    __slots__ = (
        "accepted",
        "batch",
        "cancelled",
        "capacity",
        "closed",
        "current",
        "dead",
        "deferred",
        "dispatcher",
        "dropped",
        "ended",
        "expired",
        "failed",
        "fallen",
        "gone",
        "handled",
        "late",
        "lock",
        "options",
        "peak",
        "queue",
        "refused",
        "scheduled",
        "since",
        "stashed",
        "suspended",
        "system",
        "system_lane",
        "waiting",
    )

    def __init__(
        self, system: ActorSystem, dispatcher: Dispatcher, options: MailboxOptions
    ) -> None:
        self.system = system
        self.dispatcher = dispatcher
        self.options = options
        self.capacity = options.capacity
        self.lock = allocate_lock()
        self.queue: deque[Envelope] | None = None
        self.system_lane: deque[Envelope] | None = None
        self.waiting: deque[Envelope] | None = None
        self.stashed: deque[Envelope] | None = None
        # `None` in it: answered while still in hand.
        self.deferred: dict[int, Envelope | None] | None = None
        self.current: Envelope | None = None
        self.batch: Batch | None = None
        self.fallen: list[Envelope] | None = None
        self.closed = self.ended = self.scheduled = False
        self.since = 0.0  # about when the handler in hand began
        self.suspended = True
        # `dead`: envelopes still queued whose reply was withdrawn; `gone`: handlers left behind.
        self.accepted = self.handled = self.failed = self.expired = self.cancelled = 0
        self.dropped = self.refused = self.late = self.dead = self.gone = self.peak = 0

    @property
    @abstractmethod
    def path(self) -> str:
        """Where the actor stands in the tree, such as `/user/search-3`."""

    def _settle_locked(self, reply: Reply[Any] | None, state: int, value: Any) -> bool:
        """Count a handled message and set its answer; True when the answer came too late."""
        reached = PENDING if reply is None else reply._state
        if reached == EXPIRED or state == EXPIRED:  # noqa: PLR1714 - no tuple on the hot path
            self.expired += 1
        elif reached == CANCELLED or state == CANCELLED:  # noqa: PLR1714 - as above
            self.cancelled += 1
        elif state == UNHANDLED:
            self.dropped += 1
            state = FAILED
        elif state == DONE:
            self.handled += 1
        else:
            self.failed += 1
        if reply is None:
            return False
        if reached:
            return state in (DONE, FAILED)
        reply._state = state
        reply._value = value
        return False

    def _came_back_locked(self, env: Envelope) -> None:
        """An abandoned handler has ended after all (lock held): nobody waits for what it says."""
        self.system.left_behind.pop(id(env), None)
        if not env.lane:
            return  # a hook
        self.gone -= 1
        if env.reply is not None and env.reply._state == EXPIRED:
            self.expired += 1
        else:
            self.cancelled += 1

    def ledger(self) -> Ledger:
        """All counters at one instant."""
        with self.lock:
            return self.ledger_locked()

    def ledger_locked(self) -> Ledger:
        """See `ledger`; the lock is held."""
        current = self.current
        batch = self.batch
        done = queued = 0
        held = sum(env is not None for env in (self.deferred or {}).values())
        if batch is not None:
            done = batch.done  # read once: it moves without the lock
            left = len(batch.envelopes) - done
            held, queued = held + min(1, left), max(0, left - 1)
        elif (
            current is not None
            and (not self.deferred or id(current) not in self.deferred)
            and (not self.stashed or self.stashed[-1] is not current)
        ):
            held += 1
        return Ledger(
            accepted=self.accepted,
            handled=self.handled + done,
            failed=self.failed,
            expired=self.expired,
            cancelled=self.cancelled,
            dropped=self.dropped,
            queued=queued + (len(self.queue) - self.dead if self.queue else 0),
            stashed=len(self.stashed) if self.stashed else 0,
            running=held + self.gone,
            abandoned=self.gone,
            refused=self.refused,
            late_reply=self.late,
        )

    def stats(self) -> MailboxStats:
        """The mailbox at one instant."""
        with self.lock:
            ahead = () if self.batch is None else self.batch.envelopes[self.batch.done + 1 :]
            head = ahead[0].at if ahead else self.queue[0].at if self.queue else 0.0
            return MailboxStats(
                depth=len(ahead) + (len(self.queue) - self.dead if self.queue else 0),
                peak=self.peak,
                oldest=self.system.now() - head if head else 0.0,
                accepted=self.accepted,
                refused=self.refused,
                dropped=self.dropped,
            )
