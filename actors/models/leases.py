"""Who may use which connection: a free list, a bound and a fair queue, all in O(1).

Purpose: lend reusable things (connections to one origin) to one borrower at a time.

Guarantees: at most `limit` things exist at any instant, lent and idle together. The most recently
used one is lent first, so that a quiet hour shrinks the set and a busy one touches warm sockets.
When all are lent, borrowers wait in the order they came. A borrower that is cancelled or runs out
of time while a place is already on its way to it passes that place on; none is ever lost. Things
idle for longer than `idle_expiry` are closed by one timer per free list, whether or not anybody
asks for one.

Assumptions: everything runs on one event loop, and whoever borrowed gives back exactly once, by
`give_back` or `forfeit`.

Why not httpcore's pool: it walks all requests and all connections for each assignment, which is
what collapses at a thousand requests in flight, and a request cancelled between assignment and
sending keeps its place for ever (encode/httpcore#1093). Here the borrower owns its place from the
start.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from typing import Generic, Protocol, TypeVar


class Lendable(Protocol):
    """What can be lent: it knows whether it is still good, and can be closed without waiting."""

    @property
    def reusable(self) -> bool:
        """False when the next borrower would find it broken."""
        ...

    def abort(self) -> object:
        """Close at once; idempotent."""
        ...


T = TypeVar("T", bound=Lendable)


class LeasesClosedError(Exception):
    """The set was closed; nothing is lent any more."""


class Leases(Generic[T]):
    """The lendable things of one origin.

    Args:
        limit: how many may exist, lent and idle together.
        idle_expiry: seconds after which an idle one is closed.
    """

    def __init__(self, *, limit: int, idle_expiry: float) -> None:
        self._limit = limit
        self._idle_expiry = idle_expiry
        self._idle: deque[tuple[float, T]] = (
            deque()
        )  # oldest left; taken and given back at the right
        self._lent = 0
        self._waiting: OrderedDict[asyncio.Future[T | None], None] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def lent(self) -> int:
        """Places in use, connections that are still being made included."""
        return self._lent

    @property
    def idle(self) -> int:
        """Things at rest in the free list."""
        return len(self._idle)

    @property
    def waiting(self) -> int:
        """Borrowers in the queue."""
        return len(self._waiting)

    def take_idle(self) -> T | None:
        """Take the warmest idle thing; None when there is none, and `borrow` has to be awaited."""
        while self._idle:
            _, thing = self._idle.pop()
            if thing.reusable:
                self._lent += 1
                return thing
            thing.abort()
        return None

    async def borrow(self, timeout: float | None = None) -> T | None:
        """Take the warmest idle thing, or `None`: the place is yours, make a new thing for it.

        Raises:
            TimeoutError: all places were lent for `timeout` seconds.
            LeasesClosedError: the set was closed.
        """
        if self._closed:
            raise LeasesClosedError
        thing = self.take_idle()
        if thing is not None:
            return thing
        if self._lent < self._limit:
            self._lent += 1
            return None
        return await self._wait(timeout)

    def give_back(self, thing: T) -> None:
        """Return a thing in working order: to the first in the queue, else to the free list."""
        if not self._closed and thing.reusable:
            if self._hand_over(thing):
                return
            self._lent -= 1
            now = asyncio.get_running_loop().time()
            self._idle.append((now + self._idle_expiry, thing))
            self._arm()
            return
        thing.abort()
        self.forfeit()

    def forfeit(self) -> None:
        """Give up a place whose thing is gone or was never made: the first in the queue gets it."""
        if not self._hand_over(None):
            self._lent -= 1

    def close(self) -> None:
        """Close what is idle, refuse all who wait; what is lent is its borrower's to give back."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._idle:
            self._idle.pop()[1].abort()
        while self._waiting:
            future, _ = self._waiting.popitem(last=False)
            if not future.done():
                future.set_exception(LeasesClosedError())

    async def _wait(self, timeout: float | None) -> T | None:
        future: asyncio.Future[T | None] = asyncio.get_running_loop().create_future()
        self._waiting[future] = None
        try:
            async with asyncio.timeout(timeout):
                return await future
        except BaseException:
            self._waiting.pop(future, None)
            if future.done() and not future.cancelled() and future.exception() is None:
                # The place arrived in the same tick as the cancel or the timeout: pass it on.
                thing = future.result()
                if thing is None:
                    self.forfeit()
                else:
                    self.give_back(thing)
            raise

    def _hand_over(self, thing: T | None) -> bool:
        """Give a place to the first borrower who is still there; as many are lent as before."""
        while self._waiting:
            future, _ = self._waiting.popitem(last=False)
            if not future.done():
                future.set_result(thing)
                return True
        return False

    def _arm(self) -> None:
        if self._timer is None and self._idle:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(self._idle[0][0], self._expire)

    def _expire(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        while self._idle and self._idle[0][0] <= now:
            self._idle.popleft()[1].abort()
        self._arm()
