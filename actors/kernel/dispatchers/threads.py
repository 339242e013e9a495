"""The threads dispatcher: many actors over a bounded set of threads of our own.

Daemon threads, made when there is work and none is free, never an executor: executors join their threads at
interpreter exit, so that one tool which never returns hangs the whole process. An actor runs a slice of
messages at a time; its `scheduled` flag keeps it on one thread only. Each class of work has a dispatcher of
its own, so that a hung tool never takes the threads of another class.
"""

from __future__ import annotations

import threading
from _thread import allocate_lock
from queue import SimpleQueue
from typing import TYPE_CHECKING

from understudy.actors.kernel.dispatchers.base import run_slice

if TYPE_CHECKING:
    from understudy.actors.kernel.cell import Cell


class ThreadsDispatcher:
    """Runs actors on up to `size` threads named `name-1`, `name-2`, ..."""

    on_loop = False

    def __init__(self, name: str, size: int) -> None:
        self.name = name
        self.size = size
        self._ready: SimpleQueue[Cell | None] = SimpleQueue()
        self._lock = allocate_lock()
        self._free = 0  # threads that wait, or are about to, minus actors in the queue
        self.threads: set[threading.Thread] = set()
        self._made = 0

    def schedule(self, cell: Cell) -> None:
        """See `Dispatcher.schedule`."""
        thread = None
        with self._lock:
            self._free -= 1
            if self._free < 0 and len(self.threads) < self.size:
                thread = self._make()
        self._ready.put(cell)
        if thread is not None:
            thread.start()

    def close(self) -> None:
        """End the threads as they become idle; a stuck one is left behind (daemon)."""
        with self._lock:
            count = len(self.threads)
        for _ in range(count):
            self._ready.put(None)

    def _make(self) -> threading.Thread:
        self._free += 1
        self._made += 1
        thread = threading.Thread(target=self._work, name=f"{self.name}-{self._made}", daemon=True)
        self.threads.add(thread)
        return thread

    def _work(self) -> None:
        ready = self._ready
        while (cell := ready.get()) is not None:
            if run_slice(cell):
                ready.put(cell)  # behind the others; this thread takes the next one
            else:
                with self._lock:
                    self._free += 1
        with self._lock:
            self.threads.discard(threading.current_thread())
