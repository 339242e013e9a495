"""`Reply`: the answer to one request, on its way.

Guarantees: the first answer wins, whoever gives it, and a later one never raises in the one who
    gives it (pykka's future kills the actor's thread instead); every waiter wakes exactly once;
    `await` works on any event loop and never blocks it; `.get()` works on any thread. Cancelling
    or expiring a Reply also ends the work behind it: queued work is withdrawn, a running handler
    is cancelled, and so is everything that the handler requested meanwhile (its children).

Why not `asyncio.Future`: it belongs to one loop and is not safe across threads. Why not
    `concurrent.futures.Future`: a Condition each, 5 us to make. A Reply shares the lock of the
    actor that owes the answer, and makes an asyncio future or a thread lock only when somebody
    really waits.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from _thread import allocate_lock, get_ident
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, TypeVar

import pykka

from understudy.actors.kernel.errors import ActorDeadError, DeadlineExceededError
from understudy.actors.kernel.parking import park, resolve, waits
from understudy.actors.kernel.waits import asks
from understudy.messages.control import Outcome
from understudy.messages.errors import RunCancelledError, WouldDeadlockError

if TYPE_CHECKING:
    from understudy.actors.kernel.cell import Cell

logger = logging.getLogger("understudy.kernel")

T = TypeVar("T")
M = TypeVar("M")

PENDING, DONE, FAILED, CANCELLED, EXPIRED = range(5)
UNHANDLED = -1
QUEUED, CLAIMED, WITHDRAWN, WAITING, STASHED, UNSENT = range(6)

CALLBACK = -1
"""In place of the thread of a waiter: it is to be called."""
_detached = allocate_lock()


class Reply(pykka.Future[T]):
    """A handle to an answer. Blocks nobody but the thread that calls `get`."""

    __slots__ = (
        "_bucket",
        "_cell",
        "_children",
        "_deadline",
        "_parent",
        "_state",
        "_thread",
        "_value",
        "_waiter",
        "debt",
        "work",
    )

    def __init__(self, cell: Cell | None = None) -> None:
        # pykka's own __init__ prepares get-hooks, which a Reply does not use.
        self._state = PENDING
        self._cell = cell
        self.work = UNSENT  # what expires before it was sent was never in a mailbox
        self.debt = 0  # the key of its envelope in `deferred` of those who owe the answer
        self._value: Any = None  # Any: the answer, or the error
        # Any: asyncio future, thread lock or callback; a list of several, each before its thread
        self._waiter: Any = None
        self._thread = 0  # whose loop the future is of; CALLBACK: it is none
        self._parent: Reply[Any] | None = None
        # Any: what has cancel(expired=); a dict of several, by id. Most have one, or none.
        self._children: Any = None
        self._bucket: dict[int, Reply[Any]] | None = None  # this one and `_deadline`: DeadlineWheel
        self._deadline = 0.0

    # -- the one who answers -------------------------------------------------------------------

    def set(self, value: T | None = None) -> None:
        """Answer. A second answer changes nothing and becomes a dead letter."""
        if not self.settle(DONE, value) and self._cell is not None and self.work != UNSENT:
            self._cell.late_answer(value)

    def set_exception(self, exc_info: Any = None) -> None:  # Any: pykka's exc_info triple
        """Answer with an error: an exception, pykka's triple, or the exception being handled."""
        if isinstance(exc_info, BaseException):
            error: BaseException | None = exc_info
        else:
            kind, error, _ = exc_info or sys.exc_info()
            if error is None and kind is not None:
                error = kind()
        if error is None or self.settle(FAILED, error):
            return
        if self._cell is not None and self.work != UNSENT:
            self._cell.late_answer(error)

    def settle(self, state: int, value: Any) -> bool:  # Any: the answer, or the error
        """First answer wins: True when this one did."""
        cell = self._cell
        with cell.lock if cell is not None else _detached:
            if self._state:
                return False
            self._state = state
            self._value = value
            if cell is not None and self.work in (QUEUED, STASHED):
                cell.withdraw_locked(self)
        self.wake()
        if state >= CANCELLED:
            self._cancel_work()
        return True

    def wake(self) -> None:
        """Tell those who wait; called once, after the state has changed."""
        bucket = self._bucket
        if bucket is not None:
            bucket.pop(id(self), None)
            self._bucket = None
        parent = self._parent
        if parent is not None:
            self._parent = None
            parent.disown(self)
        waiter = self._waiter
        if waiter is None:
            return
        self._waiter = None
        if type(waiter) is not list:
            self._notify(waiter, self._thread)
            return
        for index in range(0, len(waiter), 2):
            self._notify(waiter[index], waiter[index + 1])

    # -- the one who waits ---------------------------------------------------------------------

    def __await__(self) -> Generator[Any, None, T]:  # Any: asyncio's protocol
        if not self._state and (waiter := self._wait_here()) is not None:
            cell = self._cell
            asker = None if cell is None or self.work == UNSENT else asks(self, cell)
            waiter._asyncio_future_blocking = True  # as its own iterator does, which costs more
            try:
                yield waiter
                waiter.result()
            except BaseException:
                self.cancel()
                raise
            finally:
                if asker is not None and asker.waits_for:
                    asker.waits_for.remove(self)
        if self._state == DONE:
            return self._value  # type: ignore[no-any-return]
        raise self._error()

    __iter__ = __await__

    def get(self, *, timeout: float | None = None) -> T:
        """Block this thread until the answer is there.

        Args:
            timeout: seconds to wait; the work goes on when they have passed (use `cancel`).

        Raises:
            DeadlineExceededError: (also `pykka.Timeout`) not answered within `timeout`.
            WouldDeadlockError: called on the thread of the loop that has to give the answer.
        """
        if not self._state:
            cell = self._cell
            if cell is not None and get_ident() == cell.system.loop_thread:
                msg = (
                    f"blocking on the answer of {cell.path} would stop the loop that has to give "
                    "it; use `await reply` (or `await ref.request(...)`)"
                )
                raise WouldDeadlockError(msg, actor=cell.path)
            if cell is None:
                self._block(timeout)
            else:
                cell.system.blocking(self, cell, lambda: self._block(timeout))
        if self._state == DONE:
            return self._value  # type: ignore[no-any-return]
        raise self._error()

    def cancel(self, *, expired: bool = False) -> bool:
        """Give up: those who wait get `RunCancelledError`, the work behind it is cancelled.

        Returns:
            False when it was already answered.
        """
        if self._state:
            return False
        if expired:
            where = "" if self._cell is None else f" by {self._cell.path}"
            error: BaseException = DeadlineExceededError(f"no answer{where} before the deadline")
            return self.settle(EXPIRED, error)
        whom = "" if self._cell is None else f" to {self._cell.path}"
        return self.settle(CANCELLED, RunCancelledError(f"the request{whom} was cancelled"))

    def adopt(self, child: Any) -> None:  # Any: a Reply, or whatever has cancel(expired=)
        """Cancel `child` too when this one is cancelled or expires."""
        # Any thread, and no lock: nothing is called between a look and what is written after it,
        # so nobody else runs between them.
        if self._children is None:
            self._children = child
        else:
            self._adopt_another(child)
        if type(child) is Reply:
            child._parent = self
        if self._state >= CANCELLED:
            child.cancel(expired=self._state == EXPIRED)

    def _adopt_another(self, child: Any) -> None:  # Any: as above
        while type(before := self._children) is not dict:
            both = {id(child): child} if before is None else {id(before): before, id(child): child}
            if self._children is before:
                self._children = both
                return
        before[id(child)] = child

    def disown(self, child: Any) -> None:  # Any: as above
        """`child` has ended."""
        if self._children is child:  # first, and at once: a look by its type would be a call
            self._children = None
        elif type(children := self._children) is dict:
            children.pop(id(child), None)

    def children(self) -> list[Any]:  # Any: as above
        """What ends with this one, so far."""
        children = self._children
        if type(children) is dict:
            return list(children.values())
        return [] if children is None else [children]

    @property
    def cell(self) -> Cell | None:
        """What the kernel keeps about the actor that owes the answer; for the runtime."""
        return self._cell

    @property
    def done(self) -> bool:
        """True when it has been answered, failed, cancelled or expired."""
        return self._state != PENDING

    @property
    def cancelled(self) -> bool:
        """True when the work behind it should end: cancelled or past its deadline."""
        return self._state >= CANCELLED

    def outcome(self) -> Outcome:
        """Value or error of an answer that is there, without raising or waiting."""
        if self._state == DONE:
            return Outcome(value=self._value)
        return Outcome(error=self._error() if self._state else None)

    def add_done_callback(self, callback: Callable[[Reply[T]], None]) -> None:
        """Call `callback(reply)` once it is answered, on the thread that answers, or now.

        What it raises is logged: whoever answers, and whoever waits too, goes on.
        """
        if not self._wait_with(callback, CALLBACK):
            self._notify(callback, CALLBACK)

    # -- pykka's combinators, without get-hooks --------------------------------------------------

    def map(self, func: Callable[[T], M]) -> Reply[M]:
        """A Reply with `func` of the value; errors pass through."""
        mapped: Reply[M] = Reply()

        def apply(reply: Reply[T]) -> None:
            if reply._state != DONE:
                mapped.set_exception(reply._error())
                return
            try:
                mapped.set(func(reply._value))
            except BaseException as error:
                mapped.set_exception(error)

        self.add_done_callback(apply)
        return mapped

    def filter(self, func: Callable[[Any], bool]) -> Reply[list[Any]]:  # type: ignore[override]
        """A Reply with the items that `func` accepts."""

        def chosen(items: Any) -> list[Any]:  # Any: an iterable, or the caller's mistake
            return [item for item in items if func(item)]

        return self.map(chosen)

    def reduce(self, func: Callable[[Any, Any], Any], *args: Any) -> Reply[Any]:
        """A Reply with `functools.reduce(func, items, *args)`."""
        from functools import reduce

        def reduced(items: Any) -> Any:  # Any: an iterable, or the caller's mistake
            return reduce(func, items, *args)

        return self.map(reduced)

    def join(self, *futures: pykka.Future[Any]) -> Reply[list[Any]]:  # type: ignore[override]
        """A Reply with the values of several; the first error wins, at once."""
        from understudy.actors.kernel.gathering import gather

        return gather([self, *futures])

    def set_get_hook(self, func: object) -> None:
        """Refused: a hook runs on whichever thread waits first, for as long as it likes."""
        del func
        msg = "a Reply has no get-hook; use map() or add_done_callback()"
        raise TypeError(msg)

    def __repr__(self) -> str:
        state = ("pending", "answered", "failed", "cancelled", "expired")[self._state]
        return f"<Reply {state}>"

    # -- private ---------------------------------------------------------------------------------

    def _wait_here(self) -> asyncio.Future[None] | None:
        """What to wait for on whichever loop runs here; None when the answer is there already.

        On our own loop, what is ready and quick is handled first.
        """
        cell = self._cell
        thread = get_ident()
        if cell is not None and thread == cell.system.loop_thread:
            cell.system.hasten(self)
            if self._state:
                return None
            waiter: asyncio.Future[None] = asyncio.Future(loop=cell.system.loop)
        else:
            waiter = asyncio.get_running_loop().create_future()
        return waiter if self._wait_with(waiter, thread) else None

    def _wait_with(self, waiter: Any, thread: int) -> bool:  # Any: see _waiter
        """Register a waiter; False when the answer is already there."""
        cell = self._cell
        with cell.lock if cell is not None else _detached:
            if self._state:
                return False
            first = self._waiter
            if first is None:
                self._waiter = waiter
                self._thread = thread
            elif type(first) is list:
                first.append(waiter)
                first.append(thread)
            else:
                self._waiter = [first, self._thread, waiter, thread]
            return True

    def _notify(self, waiter: Any, thread: int) -> None:  # Any: see _waiter
        """Tell one of those who wait."""
        if thread == CALLBACK:
            try:
                waiter(self)
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt):
                    raise
                logger.exception("a done callback of %r failed", self)
        elif not isinstance(waiter, asyncio.Future):
            waiter.release()
        elif get_ident() != thread:
            try:
                waiter.get_loop().call_soon_threadsafe(resolve, waiter)
            except RuntimeError:
                return  # its loop is closed: nobody waits there any more
        elif not waiter.done():
            waiter.set_result(None)

    def _block(self, timeout: float | None) -> None:
        waiter = waits.lock()
        waiter.acquire()
        if self._wait_with(waiter, 0) and not park(waiter, timeout) and self._leave(waiter):
            msg = f"no answer within {timeout} seconds"
            raise DeadlineExceededError(msg)

    def _leave(self, waiter: Any) -> bool:  # Any: see _waiter
        """Wait no more, or who asks every second leaves one each; False: there is an answer."""
        cell = self._cell
        with cell.lock if cell is not None else _detached:
            if self._state:
                return False
            if self._waiter is waiter:
                self._waiter = None
            else:
                at = next(at for at, each in enumerate(self._waiter) if each is waiter)
                del self._waiter[at : at + 2]
            return True

    def _error(self) -> BaseException:
        error = self._value
        # A fresh traceback for each raise: the same error may be raised in many tasks.
        return error.with_traceback(None) if isinstance(error, BaseException) else ActorDeadError()

    def _cancel_work(self) -> None:
        children = self.children()
        self._children = None
        for child in children:
            child.cancel(expired=self._state == EXPIRED)
        if self._cell is not None and self.work == CLAIMED:
            self._cell.cancel_running(self)
