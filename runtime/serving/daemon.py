"""`serve`: a runtime that lives until somebody says otherwise.

SIGTERM and SIGINT drain; a second one cancels what is left. SIGHUP reads the configuration anew.
The service manager hears of each step. It is the only part of this library that takes signals, for
as long as it serves, and it gives the handlers back that it found.

A signal handler only puts its number into a queue. Everything else is done by whoever waits there:
the main thread in `serve`, a task in `aserve`. So no lock is taken inside of a handler, and a
second signal is heard also while the loop stands still.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING

import msgspec

from understudy.actors.kernel.options import child
from understudy.messages.control import ShutdownReport
from understudy.messages.errors import ConfigError, RuntimeStoppedError, UnderstudyError
from understudy.runtime.serving.heartbeat import Echo, Heart
from understudy.runtime.serving.notify import Notifier

if TYPE_CHECKING:
    from understudy.runtime.runtime import Runtime
    from understudy.runtime.shutdown import Shutdown

logger = logging.getLogger("understudy.serve")
KILLED_WITHIN = 2.0
"""Seconds that a second signal leaves."""
ENDED, RELOADED = 0, -1
"""What is put beside the numbers of signals."""
TAKEN = (signal.SIGTERM, signal.SIGINT, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))


class Service:
    """One stay of a runtime under a service manager. Its methods are called by one thread or task.

    Args:
        runtime: which runs already.
        put: takes numbers to where `take` is called with them; any thread, never blocks.
    """

    def __init__(self, runtime: Runtime, put: Callable[[int], None]) -> None:
        self._runtime = runtime
        self._put = put
        self._notifier = Notifier(os.environ)
        self._reloading: threading.Thread | None = None
        self._again = False
        self._cut: int | None = None

    def begin(self) -> None:
        """Say that it serves."""
        runtime = self._runtime
        runtime.when_stopping(self._stopping)
        if runtime.health().stopping:
            return  # somebody was faster; what was put ends it
        with suppress(RuntimeStoppedError):
            self._beat()
        self._notifier.ready(f"{runtime.name} serves")
        logger.info("%s serves as process %d", runtime.name, os.getpid())

    def _beat(self) -> None:
        system, interval = self._runtime.system, self._notifier.watchdog
        if interval is not None:
            # Infrastructure: it beats until the last user actor has drained.
            echo = system.spawn(child(Echo), parent=system.infrastructure).get()
            heart = child(Heart, echo, interval, self._notifier.alive)
            system.spawn(heart, parent=system.infrastructure)

    def take(self, number: int) -> bool:
        """What was put; True when the runtime has ended."""
        if number == ENDED:
            return True
        if number == RELOADED:
            self._reloading = None
            if self._again:
                self._again = False
                self._reload()
        elif number in (signal.SIGTERM, signal.SIGINT):
            self._end(number)
        elif self._runtime.health().stopping:
            logger.warning("SIGHUP while draining: nothing is reloaded any more")
        else:
            self._reload()
        return False

    def report(self, report: ShutdownReport) -> ShutdownReport:
        """The runtime's own report, with what the signals add to it."""
        report = msgspec.structs.replace(report, signal=self._cut)
        logger.info(
            "%s has ended: %d runs drained, %d cancelled, %d abandoned",
            self._runtime.name,
            report.drained,
            report.cancelled,
            len(report.abandoned),
        )
        return report

    def _end(self, number: int) -> None:
        name = signal.Signals(number).name
        if not self._runtime.health().stopping:
            logger.info("%s: draining", name)
            self._runtime.begin_stop()
            return
        if self._cut is None:
            self._cut = number
            logger.warning("%s once more: cancelling what is left", name)
        self._runtime.begin_stop(KILLED_WITHIN, drain=False)

    def _stopping(self, shutdown: Shutdown, seconds: float) -> None:
        """Whoever has begun it; the manager may wait as long as we do."""
        self._notifier.stopping(seconds)
        shutdown.future.add_done_callback(lambda _: self._put(ENDED))

    def _reload(self) -> None:
        """On a thread of its own: reading and importing block, and a signal may come meanwhile."""
        if self._reloading is not None:
            self._again = True
            return
        name = f"understudy-{self._runtime.name}-reload"
        self._reloading = threading.Thread(target=self._read_anew, name=name, daemon=True)
        self._reloading.start()

    def _read_anew(self) -> None:
        self._notifier.reloading()
        try:
            status = f"reloaded: {self._runtime.reload()}"
            logger.info("%s: %s", self._runtime.name, status)
        except UnderstudyError as error:
            status = "not reloaded: the configuration is wrong"
            logger.error("%s: nothing was reloaded: %s", self._runtime.name, error)  # noqa: TRY400 - the sentence says it
        except Exception:
            status = "not reloaded: the configuration cannot be read"
            logger.exception("%s: nothing was reloaded", self._runtime.name)
        self._notifier.ready(status)
        self._put(RELOADED)


@contextmanager
def signals_to(put: Callable[[int], None]) -> Iterator[None]:
    """Signals are numbers that are put, for as long as the block lasts.

    Raises:
        ConfigError: this is not the main thread, which is the only one that can take signals.
    """
    if threading.current_thread() is not threading.main_thread():
        msg = (
            "serve() takes signals, which only the main thread of a process can: call it there; "
            "elsewhere, wait for an event of yours and call rt.stop()"
        )
        raise ConfigError(msg)

    def handle(number: int, frame: FrameType | None) -> None:
        del frame
        put(number)

    before = {number: signal.signal(number, handle) for number in TAKEN}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
