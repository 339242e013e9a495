"""The threads dispatcher: many actors over a bounded set of threads of our own.

Daemon threads, made when there is work and none is free, never an executor: executors join their
threads at interpreter exit, so that one tool which never returns hangs the whole process. An actor
runs a slice of messages at a time; its `scheduled` flag keeps it on one thread only. Each class of
work has a dispatcher of its own, so that a hung tool never takes the threads of another class.

Two things add threads beyond `size`, both up to `size` more: a thread that waits in one of our own
    blocking calls (`ask`, `agent.run`) is compensated by a spare one while it waits, so that
    nested work never waits for a thread that its ancestor holds; and a thread whose handler was
    abandoned is replaced.

The rule for waiting. As long as one of the up to `2 * size` threads goes on, any of them may wait.
The last one may only wait for an answer that needs no thread of these (its requests are followed
down the tree), and only while all the others do so too: then nothing that is waited for can stand
in the queue here. What would need one fails at once with `OverloadedError`: the call that would
wait for it, or, where an actor elsewhere asks here on behalf of one that waits, that request. What
merely waits for a thread, and nobody here waits for it, just waits.

An actor that is killed while it is in the queue needs no thread to end: see `take_back`.
"""

from __future__ import annotations

import sys
import threading
from _thread import allocate_lock
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import Context
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from understudy.actors.kernel.dispatchers.base import run_slice
from understudy.actors.kernel.reply import FAILED, QUEUED, STASHED, WAITING, Reply
from understudy.actors.kernel.waits import chain_of
from understudy.messages.errors import OverloadedError

if TYPE_CHECKING:
    from understudy.actors.kernel.cell import Cell
    from understudy.messages.envelope import Envelope

_here = threading.local()
_MISSING = object()
_starting = threading.Lock()
STACK = 2 << 20
"""Bytes of stack at least: decoding or parsing nested data needs more than some platforms give."""


class ThreadsDispatcher:
    """Runs actors on up to `size` threads named `name-1`, `name-2`, ..."""

    on_loop = False

    def __init__(self, name: str, size: int) -> None:
        self.name = name
        self.size = size
        self.hands: Any = self  # Any: see `Dispatcher`
        self.abandoned = 0
        self._waits: dict[Worker, Reply[Any] | None] = {}  # None: nobody knows for what
        self._queued: dict[Cell, None] = {}
        self._ready: SimpleQueue[Cell | None] = SimpleQueue()
        self._lock = allocate_lock()
        self._free = 0  # threads that wait, or are about to, minus actors in the queue
        self.threads: set[Worker] = set()
        self._made = 0
        self._closed = False

    def schedule(self, cell: Cell) -> None:
        """See `Dispatcher.schedule`."""
        worker = refused = None
        with self._lock:
            self._free -= 1
            self._queued[cell] = None
            if self._free < 0:
                worker = self._make()
                if worker is None and self._waits:
                    refused = self._starved() if self._all_wait() else None
        self._ready.put(cell)
        if worker is not None:
            worker.start()
        if refused is not None:
            refused.settle(FAILED, self._overloaded(chain_of(refused)))

    def take_back(self, cell: Cell) -> bool:
        """Take `cell` out of the queue: True when no thread has begun with it, nor will."""
        return self._queued.pop(cell, _MISSING) is None

    def hasten(self, reply: Reply[Any]) -> None:
        """See `Dispatcher.hasten`: threads go on by themselves."""

    def resize(self, size: int) -> None:
        """Another bound from now on; a thread above it ends after its slice."""
        fresh = []
        with self._lock:
            self.size = size
            while self._free < 0 and (worker := self._make()) is not None:
                fresh.append(worker)
        for worker in fresh:
            worker.start()

    def close(self) -> None:
        """End the threads as they become idle; a stuck one is left behind (daemon)."""
        with self._lock:
            self._closed = True
            count = len(self.threads)
        for _ in range(count):
            self._ready.put(None)

    @property
    def blocked(self) -> int:
        """Threads that wait in one of our blocking calls."""
        return len(self._waits)

    @contextmanager
    def spare(self, reply: Reply[Any] | None = None) -> Iterator[None]:
        """One more thread while the calling one waits, if one is needed and there may be one.

        Args:
            reply: what it waits for; None when that cannot be followed.

        Raises:
            OverloadedError: all threads wait then, and the answer may need one of them.
        """
        me = current_worker()
        worker = None
        with self._lock:
            if me is not None and me in self.threads:  # else it was left behind, and counts nowhere
                self._waits[me] = reply
                if self._all_wait() and self._needs_one():
                    del self._waits[me]
                    raise self._overloaded(chain_of(reply))
                worker = self._make() if self._free < 0 else None
        if worker is not None:
            worker.start()
        try:
            yield
        finally:
            with self._lock:
                if me is not None:
                    self._waits.pop(me, None)

    def _all_wait(self) -> bool:
        """Whether no thread goes on, and there may be no more of them (lock held)."""
        return len(self._waits) >= 2 * self.size

    def _needs_one(self) -> bool:
        """Whether something that is waited for may need a thread (lock held)."""
        return None in self._waits.values() or self._starved() is not None

    def _starved(self) -> Reply[Any] | None:
        """A request that somebody here waits for, and that waits for a thread here itself."""
        seen: list[Any] = list(self._waits.values())  # Any: whatever can be cancelled, too
        while seen:
            each = seen.pop()
            children = getattr(each, "children", None)
            if children is not None:
                seen.extend(children())
            if not isinstance(each, Reply):
                continue  # such as background work, which has its place on the loop
            cell = each.cell
            if cell is not None and cell.dispatcher.hands is self and _waits_in_line(each):
                return each
        return None

    def _overloaded(self, chain: tuple[str, ...]) -> OverloadedError:
        chain = chain or (self.name,)
        msg = (
            f"all {self.size} threads of {self.name} and as many spare ones wait for answers in "
            "blocking calls, and this one may need another; nest less deeply, use async actors, "
            f"or raise threads= ({' -> '.join(chain)})"
        )
        return OverloadedError(msg, chain=chain)

    def replace(self, worker: Worker) -> None:
        """The handler on `worker` was abandoned: go on without it, up to `size` of them."""
        with self._lock:
            if worker not in self.threads:
                return
            self.threads.discard(worker)
            self._waits.pop(worker, None)
            self.abandoned += 1
            fresh = self._make() if self._free < 0 and self.abandoned <= self.size else None
        if fresh is not None:
            fresh.start()

    def _came_back(self, cell: Cell | None) -> None:
        """An abandoned handler has ended after all, and its thread ends; `cell` is to go on."""
        with self._lock:
            self.abandoned -= 1
            if cell is not None:
                self._free -= 1
                self._queued[cell] = None
            # At the cap it was not replaced: what has waited since then gets a thread now.
            fresh = self._make() if self._free < 0 else None
        if cell is not None:
            self._ready.put(cell)
        if fresh is not None:
            fresh.start()

    def _make(self) -> Worker | None:
        """One more thread (lock held), if there may be one."""
        lost = max(0, self.abandoned - self.size)  # beyond the cap they are not replaced
        if self._closed or len(self.threads) >= self._bound() - lost:
            return None
        self._free += 1
        self._made += 1
        worker = self.new_worker(f"{self.name}-{self._made}")
        self.threads.add(worker)
        return worker

    def _bound(self) -> int:
        return self.size + min(len(self._waits), self.size)

    def new_worker(self, name: str) -> Worker:
        """A thread, not started yet."""
        return Worker(self, name)

    def work(self, worker: Worker) -> None:
        """What a thread does."""
        ready, context = self._ready, Context()
        while (cell := ready.get()) is not None:
            again = False
            if self._queued.pop(cell, _MISSING) is None:  # else it was taken back
                cell.runner = worker
                again = context.run(run_slice, cell, context)
                if len(context):
                    context = Context()
            if worker not in self.threads:
                self._came_back(cell if again else None)
                return
            if again:
                self._queued[cell] = None
                ready.put(cell)  # behind the others; this thread takes the next one
                continue
            with self._lock:
                self._free += 1
                surplus = len(self.threads) > self._bound() and self._free > 0
                if surplus:
                    self._free -= 1
                    self.threads.discard(worker)
            if surplus:
                return
        with self._lock:
            self.threads.discard(worker)


class Worker(threading.Thread):
    """One thread; also the `Hand` of the handler that it runs."""

    def __init__(self, dispatcher: ThreadsDispatcher, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.dispatcher = dispatcher

    def run(self) -> None:
        """Work for the dispatcher."""
        _here.worker = self
        self.dispatcher.work(self)

    def start(self) -> None:
        """Start with enough stack."""
        with _starting:
            before = threading.stack_size()
            if 0 < before < STACK or sys.platform != "linux":
                threading.stack_size(STACK)
            try:
                super().start()
            finally:
                threading.stack_size(before)

    def cancel(self, env: Envelope) -> None:
        """A thread cannot be interrupted: its handler sees `context.cancelled`."""

    def abandon(self) -> None:
        """See `Hand`."""
        self.dispatcher.replace(self)


def _waits_in_line(reply: Reply[Any]) -> bool:
    """Whether it has not been begun."""
    return not reply._state and reply.work in (QUEUED, WAITING, STASHED)


def current_worker() -> Worker | None:
    """The worker whose thread this is, or None elsewhere."""
    worker: Worker | None = getattr(_here, "worker", None)
    return worker
