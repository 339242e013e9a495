"""The heartbeat: the service manager gets a sign of life only for a message that went round.

A timer's message reaches one actor, which asks another; the answer lets `on_beat` be called. So
what is proved each time is what the daemon lives on: timers ring, mailboxes pass messages on,
handlers run, answers come back. A bare timer or a thread would go on while all of that stands
still. An answer that is late is no sign: the beat is left out, and the manager's own patience
decides.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import msgspec

from understudy.actors.kernel.actor import Actor
from understudy.actors.kernel.errors import DeadlineExceededError
from understudy.actors.kernel.ref import Ref

logger = logging.getLogger("understudy.serve")


class Beat(msgspec.Struct, frozen=True):
    """It is time for a sign of life."""


class Echo(Actor):
    """Whom the heart asks."""

    blocking = False

    def on_receive(self, message: Beat) -> Beat:
        """Answer."""
        return message


class Heart(Actor):
    """See the module's docstring.

    Args:
        echo: whom it asks.
        interval: seconds between beats.
        on_beat: called on the loop for each beat that went round; must not block.
    """

    def __init__(self, echo: Ref[Echo], interval: float, on_beat: Callable[[], None]) -> None:
        self._echo = echo
        self._interval = interval
        self._on_beat = on_beat

    async def on_start(self) -> None:
        """Begin to beat."""
        self.timer(Beat(), every=self._interval)

    async def on_receive(self, message: Beat) -> None:
        """Ask, and say so when the answer is there."""
        try:
            await self._echo.request(message, timeout=self._interval)
        except DeadlineExceededError:
            logger.warning("no sign of life: a message did not go round in %.1f s", self._interval)
        else:
            self._on_beat()
