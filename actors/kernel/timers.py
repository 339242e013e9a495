"""Timers: messages to oneself, later.

A timer belongs to the incarnation that made it and ends with it. A cancelled timer never fires,
also when its message already lies in the mailbox; an `every` timer is never queued twice: the next
bell rings only after its message was handled, or dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from understudy.messages.envelope import Envelope, Lane
from understudy.messages.errors import ConfigError

if TYPE_CHECKING:
    from understudy.actors.kernel.cell import Cell
    from understudy.actors.kernel.system import Later


class Conditional:
    """A message that is only one if something still holds when its turn has come."""

    __slots__ = ()

    def take(self) -> Any:  # Any: user message
        """The message, or None; the kernel calls this in front of the handler (lock held)."""
        raise NotImplementedError


class Timer(Conditional):
    """A running timer; `cancel()` ends it. Any thread."""

    __slots__ = ("_bell", "_cell", "_every", "_message", "_queued", "active")

    def __init__(self, cell: Cell, message: Any, every: float | None) -> None:  # Any: user message
        self._cell = cell
        self._message = message
        self._every = every
        self._bell: Later | None = None
        self._queued = False
        self.active = True

    def cancel(self) -> None:
        """Never fire (again)."""
        self.active = False
        if self._bell is not None:
            self._bell.cancel()
        if self._cell.timers is not None:
            self._cell.timers.pop(id(self), None)

    def start(self, delay: float) -> None:
        """Ring after `delay` seconds."""
        self._bell = self._cell.system.after(delay, self._ring)

    def _ring(self) -> None:
        if not self.active:
            return
        if self._every is not None:
            self.start(self._every)
        if not self._queued:
            self._queued = True
            self._cell.post(Envelope(self, cell=self._cell, lane=Lane.ANSWER))

    def take(self) -> Any:  # Any: user message; None when cancelled meanwhile
        """The message, when its turn has come; the kernel calls this in front of the handler."""
        self._queued = False
        if not self.active:
            return None
        if self._every is None:
            self.cancel()
        return self._message


def start_timer(
    cell: Cell, message: Any, *, after: float | None, every: float | None
) -> Timer:  # Any: user message
    """See `Actor.timer`."""
    if (after is None) == (every is None):
        msg = "timer(): give exactly one of after= and every= (seconds)"
        raise ConfigError(msg)
    delay = after if after is not None else every
    if delay is None or delay < 0 or (every is not None and every <= 0):
        msg = f"timer(): {delay} seconds is not a time to wait"
        raise ConfigError(msg)
    timer = Timer(cell, message, every)
    if cell.timers is None:
        cell.timers = {}
    cell.timers[id(timer)] = timer
    timer.start(delay)
    return timer
