"""The watchdog: a thread that notices when the loop stands still, and says whose fault it is.

Four times a second it asks the loop for a sign of life. When none comes for `patience` seconds it
logs the actor whose handler is on the loop, the message it is in, and where in the code it stands,
once for each time it happens, and publishes `LoopBlocked`. When the loop is gone (closed under a
hosted runtime) it has everything answered that still waits from other threads.

A thread, because a blocked loop cannot notice itself; it touches the loop only by
`call_soon_threadsafe` and needs no lock of the actors.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from typing import TYPE_CHECKING

from understudy.messages.events import LoopBlocked

if TYPE_CHECKING:
    from understudy.actors.kernel.dispatchers.loop import LoopDispatcher
    from understudy.actors.kernel.system import ActorSystem

logger = logging.getLogger("understudy.watchdog")
INTERVAL = 0.25
PATIENCE = 1.0


class Watchdog:
    """See the module's docstring."""

    def __init__(
        self,
        name: str,
        system: ActorSystem,
        dispatcher: LoopDispatcher,
        *,
        interval: float = INTERVAL,
        patience: float = PATIENCE,
    ) -> None:
        self._system = system
        self._dispatcher = dispatcher
        self._interval = interval
        self._patience = patience
        self._stop = threading.Event()
        self._sign = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=name, daemon=True)
        self._asked: float | None = None
        self._took = 0.0

    @property
    def lag(self) -> float:
        """Seconds that the loop's last sign of life took, or takes by now. Any thread."""
        asked = self._asked
        return self._took if asked is None else max(0.0, self._system.now() - asked)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """End; returns at once."""
        self._stop.set()
        self._sign.set()

    def _watch(self) -> None:
        while not self._stop.wait(self._interval):
            self._sign.clear()
            self._asked = self._system.now()
            try:
                self._system.loop.call_soon_threadsafe(self._give_sign)
            except RuntimeError:
                self._system.loop_lost()
                return
            if self._sign.wait(self._patience) or self._stop.is_set():
                continue
            if not self._system.loop.is_running():
                self._system.loop_lost()
                return
            self._report()
            while not self._sign.wait(self._interval) and not self._stop.is_set():
                if not self._system.loop.is_running():
                    self._system.loop_lost()
                    return

    def _give_sign(self) -> None:
        if self._asked is not None:
            self._took = self._system.now() - self._asked
        self._asked = None
        self._sign.set()

    def _report(self) -> None:
        cell = self._dispatcher.cell
        path = "something that is no actor" if cell is None else cell.path
        current = None if cell is None else cell.current
        kind = "" if current is None else type(current.message).__name__
        frame = sys._current_frames().get(self._system.loop_thread)  # noqa: SLF001 - documented
        stack = "" if frame is None else "".join(traceback.format_stack(frame, limit=12))
        doing = f" in {kind}" if kind else ""
        logger.error(
            "%s blocks the loop for more than %.1f s%s; use await, or a blocking actor\n%s",
            path,
            self._patience,
            doing,
            stack,
        )
        events = self._system.events
        if events.wants(LoopBlocked):
            at = self._system.clock.wall()
            events.publish(LoopBlocked(at=at, path=path, message=kind, stack=stack))
