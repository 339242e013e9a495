"""The threads dispatcher: many actors over a bounded set of threads of our own.

Daemon threads, made when there is work and none is free, never an executor: executors join their
threads at interpreter exit, so that one tool which never returns hangs the whole process. An actor
runs a slice of messages at a time; its `scheduled` flag keeps it on one thread only. Each class of
work has a dispatcher of its own, so that a hung tool never takes the threads of another class.

Two things add threads beyond `size`, both up to `size` more: a thread that waits in one of our own
    blocking calls (`ask`, `agent.run`) is compensated by a spare one while it waits, so that
    nested work never waits for a thread that its ancestor holds; and a thread whose handler was
    abandoned is replaced.
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
from understudy.messages.errors import OverloadedError

if TYPE_CHECKING:
    from understudy.actors.kernel.cell import Cell
    from understudy.actors.kernel.ending import Ending
    from understudy.actors.kernel.reply import Reply
    from understudy.messages.envelope import Envelope

_here = threading.local()
_starting = threading.Lock()
STACK = 2 << 20
"""Bytes of stack at least: decoding or parsing nested data needs more than some platforms give."""


class ThreadsDispatcher:
    """Runs actors on up to `size` threads named `name-1`, `name-2`, ..."""

    on_loop = False

    def __init__(self, name: str, size: int) -> None:
        self.name = name
        self.size = size
        self.blocked = 0
        self.abandoned = 0
        self._ready: SimpleQueue[Cell | None] = SimpleQueue()
        self._lock = allocate_lock()
        self._free = 0  # threads that wait, or are about to, minus actors in the queue
        self.threads: set[Worker] = set()
        self._made = 0
        self._closed = False

    def schedule(self, cell: Cell) -> None:
        """See `Dispatcher.schedule`."""
        worker = None
        with self._lock:
            self._free -= 1
            if self._free < 0:
                worker = self._make()
        self._ready.put(cell)
        if worker is not None:
            worker.start()

    def hasten(self, reply: Reply[Any]) -> None:
        """See `Dispatcher.hasten`: threads go on by themselves."""

    def close(self) -> None:
        """End the threads as they become idle; a stuck one is left behind (daemon)."""
        with self._lock:
            self._closed = True
            count = len(self.threads)
        for _ in range(count):
            self._ready.put(None)

    @contextmanager
    def spare(self) -> Iterator[None]:
        """One more thread while the calling one waits for an answer.

        Raises:
            OverloadedError: there are twice as many threads already, all waiting.
        """
        with self._lock:
            if self.blocked >= self.size:
                msg = (
                    f"all {self.size} threads of {self.name} and as many spare ones wait for "
                    "answers in blocking calls; nest less deeply, use async actors, or raise "
                    "threads="
                )
                raise OverloadedError(msg, chain=(self.name,))
            self.blocked += 1
            worker = self._make() if self._free < 0 else None
        if worker is not None:
            worker.start()
        try:
            yield
        finally:
            with self._lock:
                self.blocked -= 1

    def replace(self, worker: Worker) -> None:
        """The handler on `worker` was abandoned: go on without it, up to `size` of them."""
        with self._lock:
            if worker not in self.threads:
                return
            self.threads.discard(worker)
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
            # At the cap it was not replaced: what has waited since then gets a thread now.
            fresh = self._make() if self._free < 0 else None
        if cell is not None:
            self._ready.put(cell)
        if fresh is not None:
            fresh.start()

    def _make(self) -> Worker | None:
        """One more thread (lock held), if there may be one."""
        lost = max(0, self.abandoned - self.size)  # beyond the cap they are not replaced
        if self._closed or len(self.threads) >= self.size + self.blocked - lost:
            return None
        self._free += 1
        self._made += 1
        worker = self.new_worker(f"{self.name}-{self._made}")
        self.threads.add(worker)
        return worker

    def new_worker(self, name: str) -> Worker:
        """A thread, not started yet."""
        return Worker(self, name)

    def work(self, worker: Worker) -> None:
        """What a thread does."""
        ready, context = self._ready, Context()
        while (cell := ready.get()) is not None:
            cell.runner = worker
            again = context.run(run_slice, cell, context)
            if len(context):
                context = Context()
            if worker not in self.threads:
                self._came_back(cell if again else None)
                return
            if again:
                ready.put(cell)  # behind the others; this thread takes the next one
                continue
            with self._lock:
                self._free += 1
                surplus = len(self.threads) > self.size + self.blocked and self._free > 0
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

    def cancel_hook(self, cell: Ending) -> None:
        """As `cancel`."""

    def abandon(self) -> None:
        """See `Hand`."""
        self.dispatcher.replace(self)


def current_worker() -> Worker | None:
    """The worker whose thread this is, or None elsewhere."""
    worker: Worker | None = getattr(_here, "worker", None)
    return worker
