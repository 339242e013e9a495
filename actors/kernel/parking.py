"""How a thread waits for an answer: on a plain lock, and the main one with an eye on signals.

And how a task is woken that waits for a future of its loop (`resolve`).

CPython notes a signal and tells the main thread when it runs next; one that comes while that is on
its way to sleep wakes nobody, and a Ctrl-C would be lost. So the main thread looks up now and then.

Why not a Condition or an Event: 5 us to make, and nobody waits twice.
"""

from __future__ import annotations

from _thread import allocate_lock
from collections.abc import Callable
from threading import TIMEOUT_MAX, current_thread, local, main_thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

PULSE = 0.1
"""Seconds after which a main thread that waits looks for signals."""


class Waits(local):
    """What the threads wait with: a plain lock each, until whoever runs a thread says otherwise."""

    lock: Callable[[], Any] = staticmethod(allocate_lock)  # Any: has acquire and release


waits = Waits()


def park(lock: Any, timeout: float | None) -> bool:  # Any: as `Waits.lock` makes it
    """Block this thread until somebody releases `lock`; False when `timeout` seconds have passed.

    Args:
        lock: is held already.
        timeout: None: for as long as it takes.
    """
    is_main = current_thread() is main_thread()
    if timeout is None:
        if not is_main:
            lock.acquire()
            return True
        while not lock.acquire(timeout=PULSE):
            pass
        return True
    left = max(0.0, timeout)
    pulse = PULSE if is_main else left
    while not lock.acquire(timeout=min(pulse, left, TIMEOUT_MAX)):
        left -= pulse
        if left <= 0.0:
            return False
    return True


def resolve(waiter: asyncio.Future[None]) -> None:
    """Wake the task that awaits `waiter`, on its loop; one that was cancelled meanwhile is not."""
    if not waiter.done():
        waiter.set_result(None)
