"""Waiting for several answers at once, and for those of foreign pykka actors."""

from __future__ import annotations

import threading
from _thread import allocate_lock
from collections.abc import Iterable
from typing import Any

import pykka

from understudy.actors.kernel.reply import DONE, FAILED, Reply


def gather(
    futures: Iterable[pykka.Future[Any]], *, timeout: float | None = None
) -> Reply[list[Any]]:
    """Wait for several at once: a Reply with all values in order, or the first error as it happens.

    Args:
        futures: Replies, or pykka's futures.
        timeout: seconds for all of them together; then those that are left are cancelled, and
            the error is `DeadlineExceededError`.
    """
    replies = [future if isinstance(future, Reply) else adopt(future) for future in futures]
    joined: Reply[list[Any]] = Reply()
    left = len(replies)
    lock = allocate_lock()

    def one(reply: Reply[Any]) -> None:
        nonlocal left
        if reply._state != DONE:
            joined.settle(FAILED, reply._error())
            return
        with lock:
            left -= 1
            last = left == 0
        if last:
            joined.set([each._value for each in replies])

    if not replies:
        joined.set([])
    system = next((each._cell.system for each in replies if each._cell is not None), None)
    if timeout is not None and system is not None:
        joined.adopt(_All(replies))
        system.wheel.add(joined, system.now() + timeout)
    for reply in replies:
        reply.add_done_callback(one)
    return joined


class _All:
    """What ends with a joined answer; each of them stays the child of whoever has asked."""

    __slots__ = ("_replies",)

    def __init__(self, replies: list[Reply[Any]]) -> None:
        self._replies = replies

    def cancel(self, *, expired: bool = False) -> bool:
        """Cancel those that are left."""
        cancelled = [each.cancel(expired=expired) for each in self._replies]
        return any(cancelled)

    def children(self) -> list[Reply[Any]]:
        """As those of a `Reply`, for whoever looks what is waited for."""
        return self._replies


def adopt(future: pykka.Future[Any]) -> Reply[Any]:
    """A Reply for a foreign pykka future; a thread of its own waits for it (daemon, named)."""
    reply: Reply[Any] = Reply()

    def wait() -> None:
        try:
            reply.set(future.get())
        except BaseException as error:
            reply.set_exception(error)

    threading.Thread(target=wait, name="understudy-pykka-future", daemon=True).start()
    return reply
