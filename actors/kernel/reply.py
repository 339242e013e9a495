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
import sys
from _thread import allocate_lock, get_ident
from collections.abc import Callable, Generator
from threading import TIMEOUT_MAX, current_thread, local, main_thread
from typing import TYPE_CHECKING, Any, TypeVar

import pykka

from understudy.actors.kernel.errors import ActorDeadError, DeadlineExceededError
from understudy.actors.kernel.waits import asks
from understudy.messages.control import Outcome
from understudy.messages.errors import RunCancelledError, WouldDeadlockError

if TYPE_CHECKING:
    from understudy.actors.kernel.cell import Cell

T = TypeVar("T")
M = TypeVar("M")

PENDING, DONE, FAILED, CANCELLED, EXPIRED = range(5)
UNHANDLED = -1
QUEUED, CLAIMED, WITHDRAWN, WAITING, STASHED, UNSENT = range(6)

PULSE = 0.1
"""Seconds after which a main thread that waits looks for signals.

CPython notes a signal and tells the main thread when it runs next; one that comes while that is on
its way to sleep wakes nobody, and a Ctrl-C would be lost.
"""

_detached = allocate_lock()


class Waits(local):
    """What the threads wait with: a plain lock each, until whoever runs a thread says otherwise."""

    lock: Callable[[], Any] = staticmethod(allocate_lock)  # Any: has acquire and release


waits = Waits()


class Reply(pykka.Future[T]):
    """A handle to an answer. Blocks nobody but the thread that calls `get`."""

    __slots__ = (
        "_bucket",
        "_cell",
        "_children",
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
        self._waiter: Any = None  # Any: asyncio future, thread lock, or list of callbacks
        self._thread = 0
        self._parent: Reply[Any] | None = None
        self._children: dict[int, Any] | None = None  # Any: whatever has cancel(expired=)
        self._bucket: dict[int, Any] | None = None  # Any: see DeadlineWheel

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
            if parent._children is not None:
                parent._children.pop(id(self), None)
        waiter = self._waiter
        if waiter is None:
            return
        self._waiter = None
        if type(waiter) is list:
            for callback in waiter:
                callback(self)
        else:
            _notify(waiter, self._thread)

    # -- the one who waits ---------------------------------------------------------------------

    def __await__(self) -> Generator[Any, None, T]:  # Any: asyncio's protocol
        if not self._state:
            yield from self._suspend()
        if self._state == DONE:
            return self._value  # type: ignore[no-any-return]
        raise self._error()

    def _suspend(self) -> Generator[Any, None, None]:  # Any: asyncio's protocol
        """Wait on whichever loop runs here; on our own, first handle what is ready and quick."""
        cell = self._cell
        thread = get_ident()
        if cell is not None and thread == cell.system.loop_thread:
            cell.system.hasten(self)
            if self._state:
                return
            waiter: asyncio.Future[None] = asyncio.Future(loop=cell.system.loop)
        else:
            waiter = asyncio.get_running_loop().create_future()
        if not self._wait_with(waiter, thread):
            return
        asker = None if cell is None or self.work == UNSENT else asks(self, cell)
        try:
            yield from waiter
        except BaseException:
            self.cancel()
            raise
        finally:
            if asker is not None and asker.waits_for:
                asker.waits_for.remove(self)

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
        children = self._children
        if children is None:
            children = self._children = {}
        children[id(child)] = child
        if type(child) is Reply:
            child._parent = self
        if self._state >= CANCELLED:
            child.cancel(expired=self._state == EXPIRED)

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
        """Call `callback(reply)` once it is answered, on the thread that answers, or now."""
        if not self._wait_with(callback, -1):
            callback(self)

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
            except Exception as error:
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

    def _wait_with(self, waiter: Any, thread: int) -> bool:  # Any: see _waiter
        """Register a waiter; False when the answer is already there."""
        cell = self._cell
        with cell.lock if cell is not None else _detached:
            if self._state:
                return False
            if self._waiter is None and thread >= 0:
                self._waiter = waiter
                self._thread = thread
                return True
            if type(self._waiter) is not list:
                first, ident = self._waiter, self._thread
                self._waiter = [] if first is None else [lambda _: _notify(first, ident)]
            self._waiter.append(waiter if thread < 0 else lambda _: _notify(waiter, thread))
            return True

    def _block(self, timeout: float | None) -> None:
        waiter = waits.lock()
        waiter.acquire()
        if not self._wait_with(waiter, 0):
            return
        if timeout is None:
            if current_thread() is main_thread():
                while not waiter.acquire(timeout=PULSE):
                    pass
            else:
                waiter.acquire()
            return
        left = max(0.0, timeout)
        pulse = PULSE if current_thread() is main_thread() else left
        while not waiter.acquire(timeout=min(pulse, left, TIMEOUT_MAX)):
            left -= pulse
            if left <= 0.0:
                msg = f"no answer within {timeout} seconds"
                raise DeadlineExceededError(msg)

    def _error(self) -> BaseException:
        error = self._value
        # A fresh traceback for each raise: the same error may be raised in many tasks.
        return error.with_traceback(None) if isinstance(error, BaseException) else ActorDeadError()

    def _cancel_work(self) -> None:
        children = self._children
        if children is not None:
            self._children = None
            for child in list(children.values()):
                child.cancel(expired=self._state == EXPIRED)
        if self._cell is not None and self.work == CLAIMED:
            self._cell.cancel_running(self)


def _notify(waiter: Any, thread: int) -> None:  # Any: an asyncio future or a thread lock
    if isinstance(waiter, asyncio.Future):
        if get_ident() == thread:
            if not waiter.done():
                waiter.set_result(None)
            return
        try:
            waiter.get_loop().call_soon_threadsafe(_resolve, waiter)
        except RuntimeError:
            return  # its loop is closed: nobody waits there any more
    else:
        waiter.release()


def _resolve(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
