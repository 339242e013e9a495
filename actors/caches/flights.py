"""Calls under way, and who waits for each: single flight.

A call belongs to the cache and not to the caller that came first, so it goes on for as long as
anybody waits. Whoever waits does so with a deadline of its own. Runs on the loop's thread alone.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from understudy.actors.caches.question import Question
from understudy.actors.caches.tee import Tee
from understudy.actors.kernel.deferred import Deferred
from understudy.actors.kernel.reply import Reply
from understudy.messages.envelope import Origin
from understudy.messages.errors import (
    ActorDeadError,
    ActorRestartedError,
    MailboxFullError,
    UnderstudyError,
)


class Waiter:
    """Somebody who waits for a call.

    Args:
        question: what it asks.
        origin: for whom the call is made, if it is this one's.
        deferred: where its answer goes.
    """

    __slots__ = ("deferred", "left", "origin", "question")

    def __init__(self, question: Question, origin: Origin | None, deferred: Deferred) -> None:
        self.question = question
        self.origin = origin
        self.deferred = deferred
        self.left = False

    @property
    def waits(self) -> bool:
        """Whether anybody is there to be answered."""
        return not self.left and not self.deferred.done


class Flight:
    """One call.

    Attributes:
        waiters: in the order in which they came.
        payer: whose call it is, once it has begun.
        call: the call itself, once it has begun.
        since: when it began.
        stale: what it gives was invalidated meanwhile, and is not kept.
    """

    __slots__ = ("call", "gate", "key", "payer", "since", "stale", "tee", "waiters")

    def __init__(self, key: bytes, gate: bytes, since: float) -> None:
        self.key = key
        self.gate = gate
        self.waiters: list[Waiter] = []
        self.payer: Waiter | None = None
        self.call: Reply[Any] | None = None  # Any: what is made
        self.since = since
        self.stale = False
        self.tee = Tee(lambda: sum(each.waits and each is not self.payer for each in self.waiters))

    @property
    def waiting(self) -> list[Waiter]:
        """Those who are still there."""
        return [each for each in self.waiters if each.waits]

    def cancel(self) -> None:
        """Nobody waits any more."""
        if self.call is not None:
            self.call.cancel()


class Leaver:
    """Tells a cache that somebody has given up: cancelled, or past its deadline."""

    __slots__ = ("_leave",)

    def __init__(self, leave: Callable[[], None]) -> None:
        self._leave = leave

    def cancel(self, *, expired: bool = False) -> bool:
        """See `Reply.cancel`; the kernel calls it with the request that it was adopted by."""
        del expired
        self._leave()
        return True


def is_gone(error: UnderstudyError, path: str) -> bool:
    """Whether it is the cache itself that cannot answer: then everybody does without it."""
    lost = (ActorDeadError, ActorRestartedError, MailboxFullError)
    return isinstance(error, lost) and error.actor == path


def shared(error: BaseException) -> BaseException:
    """The error of a call for one who only waited for it: it has used nothing."""
    if not isinstance(error, UnderstudyError):
        return error
    twin = copy.copy(error)
    twin.usage = None
    twin.attempts = 0
    return twin
