"""The results of tools, cached: what the directory of tools calls through.

The key is a hash over the tenant, the tool as this runtime knows it and the arguments as the model
sent them; only results are kept, never failures. What is kept is a deep copy, and so is what is
given: a caller may change what it got. In memory alone, because a value of Python's own means
nothing to another process.
"""

from __future__ import annotations

import asyncio
import copy
from _thread import get_ident
from collections.abc import Callable, Coroutine
from hashlib import blake2b
from typing import Any

from understudy.actors.caches.entries import size_of
from understudy.actors.caches.flights import is_gone
from understudy.actors.caches.question import Wording
from understudy.actors.caches.tee import Tee
from understudy.actors.kernel.origins import origin_in_hand
from understudy.actors.kernel.ref import Ref
from understudy.actors.kernel.reply import Reply
from understudy.messages.caches import Cached, Hit, Lookup, Made
from understudy.messages.chat import Usage
from understudy.messages.codec import encode
from understudy.messages.errors import CodecError, UnderstudyError

LARGEST = 16 * 1024 * 1024
"""Bytes of arguments that are cached."""
Outcome = tuple[tuple[Any, str] | None, Any]  # Any: whatever the tool returned; see below
"""A value and how it reads, or None after a failure; and whatever else the caller wants to know, of
its own call alone."""
Work = Callable[[], Coroutine[Any, Any, Outcome]]  # Any: what coroutines yield


class OutcomeQuestion:
    """See `Question`; one for each call."""

    wording: Wording | None = None
    persistent = False
    reads = False

    def __init__(self, work: Work, *, ttl: float, tenant: str, tags: tuple[str, ...]) -> None:
        self._work = work
        self.ttl = ttl
        self.tenant = tenant
        self.tags = tags

    def begin(self, tee: Tee) -> Reply[Outcome]:
        """See `Question.begin`."""
        del tee
        return detached(self._work())

    def follow(self, tee: Tee) -> None:
        """A tool streams nothing."""

    def keeps(self, value: Outcome) -> bool:
        """See `Question.keeps`."""
        return value[0] is not None

    def freeze(self, value: Outcome, tee: Tee | None) -> tuple[Outcome, int]:
        """See `Question.freeze`."""
        del tee
        if value[0] is None:
            return value, 0
        given, content = value[0]
        weight = 0 if isinstance(given, str) else len(content)  # of the value, about as much
        return ((copy.deepcopy(given), content), None), size_of(content) + weight

    def thaw(self, kept: Outcome) -> Outcome:
        """See `Question.thaw`."""
        if kept[0] is None:
            return kept
        value, content = kept[0]
        return (copy.deepcopy(value), content), kept[1]

    def usage_of(self, value: Outcome) -> Usage | None:
        """See `Question.usage_of`."""
        del value
        return None


class Outcomes:
    """One cache, as tools use it. On the loop's thread.

    Args:
        ref: of its actor.
        tags: what its entries may be invalidated by, besides the tool.
    """

    def __init__(self, ref: Ref[Any], tags: tuple[str, ...] = ()) -> None:
        self._ref = ref
        self._tags = tags

    async def perform(
        self,
        tool: str,
        number: int,
        arguments: Any,  # Any: JSON values
        work: Work,
        ttl: float,
    ) -> tuple[Outcome, Cached | None]:
        """How a call ended, and where that was found; None: it was made for this caller.

        Args:
            tool: its name.
            number: tells apart the tools of one name; never used twice in a runtime.
            arguments: as they were sent.
            work: makes the call.
            ttl: seconds that a result lives.
        """
        origin = origin_in_hand()
        tenant = "" if origin is None else origin.tenant
        try:
            said = encode((tenant, tool, number, arguments), canonical=True, max_size=LARGEST)
        except CodecError:
            return await work(), None
        key = blake2b(said, digest_size=32).digest()
        tags = (f"tool:{tool}", *self._tags)
        question = OutcomeQuestion(work, ttl=ttl, tenant=tenant, tags=tags)
        answer: Any = None  # Any: a Hit, Made or Miss
        try:
            answer = await self._ref.request(Lookup(key=key, question=question))
        except UnderstudyError as error:
            if not is_gone(error, self._ref.path):
                raise
        if isinstance(answer, Made):
            return answer.value, None
        if isinstance(answer, Hit):
            return answer.value, answer.cached
        return await work(), None


class _Task:
    """A task as the child of a Reply: cancelled with it."""

    __slots__ = ("_loop", "_task", "_thread")

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self._task = task
        self._loop = task.get_loop()
        self._thread = get_ident()

    def cancel(self, *, expired: bool = False) -> bool:
        """See `Reply.adopt`."""
        del expired
        if get_ident() == self._thread:
            return self._task.cancel()
        self._loop.call_soon_threadsafe(self._task.cancel)
        return True


def detached(work: Coroutine[Any, Any, Outcome]) -> Reply[Outcome]:
    """Have a coroutine done by itself; cancelling the Reply cancels it."""
    reply: Reply[Outcome] = Reply()
    task = asyncio.get_running_loop().create_task(work)
    reply.adopt(_Task(task))

    def done(task: asyncio.Task[Outcome]) -> None:
        if task.cancelled():
            reply.cancel()
            return
        error = task.exception()
        if error is None:
            reply.set(task.result())
        else:
            reply.set_exception(error)

    task.add_done_callback(done)
    return reply
