"""The verbs of a Runtime that lives in a daemon: `serve`, `reload`, `health`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from understudy.messages.control import Health, Reloaded, ShutdownReport
from understudy.messages.errors import ConfigError, WouldDeadlockError
from understudy.runtime.lifecycle import LEAVING, Lifecycle

if TYPE_CHECKING:
    from understudy.runtime.config.schema import Config
    from understudy.runtime.shutdown import Shutdown
    from understudy.runtime.workflow import Workflow


class Serving(Lifecycle):
    """See the module's docstring.

    Attributes:
        config: what is in force.
        given: what code has set, by the name of the argument; it wins over `config`.
    """

    config: Config
    given: dict[str, Any]  # Any: arguments of Runtime
    source: Path | None

    def health(self) -> Health:
        """Whether it does its work, and if not, why. Any thread; never blocks."""
        from understudy.runtime.serving.health import health_of

        watchdog = self._watchdog
        return health_of(
            self.name,
            self._system,
            self._crew,
            self._itself().pools,
            lag=0.0 if watchdog is None else watchdog.lag,
            open_runs=len(self._open_runs),
            stopping=self._shutdown is not None,
        )

    def workflow(self, name: str) -> Workflow:
        """The workflow `[workflows.NAME]` of the configuration that is in force.

        Raises:
            ConfigError: there is none of that name.
        """
        from understudy.runtime.config.build import build_workflow
        from understudy.runtime.workflow import Workflow

        return Workflow.from_spec(build_workflow(self.config, name))

    def reload(self, config: Config | None = None) -> Reloaded:
        """Put another configuration in force; what cannot change live is named. Any thread.

        All of it is checked first; a mistake changes nothing. What is under way ends as it began.

        Args:
            config: instead of the file that `from_toml` has read, read anew; blocks for that.

        Raises:
            ConfigError: everything that is wrong with the file; or there is no file.
            RuntimeStoppedError: it has not been started, or has stopped.
        """
        from understudy.runtime.config.load import load_config
        from understudy.runtime.graph import check_workflow
        from understudy.runtime.serving.reload import reload_into

        if config is None:
            if self.source is None:
                msg = (
                    f"runtime {self.name!r} was made without a file: make it with "
                    "Runtime.from_toml(path), or pass reload(config=...)"
                )
                raise ConfigError(msg)
            config = load_config(self.source, os.environ, check=check_workflow)
        with self._reload_lock:
            return reload_into(self._itself(), config)

    def serve(self) -> ShutdownReport:
        """Live until a signal says otherwise; blocks the main thread.

        SIGTERM and SIGINT drain, within the runtime's `shutdown`; a second one cancels what is
        left. SIGHUP reloads the file of `from_toml`. With `NOTIFY_SOCKET` in the environment the
        service manager is told (`READY=1`, `RELOADING=1`, `STOPPING=1`), and `WATCHDOG=1` for as
        long as messages go round. Also ends when somebody else stops the runtime.

        Returns:
            The report; `sys.exit(rt.serve().exit_code)`.

        Raises:
            ConfigError: not on the main thread.
            WouldDeadlockError: hosted on the loop of this thread; use `await rt.aserve()`.
        """
        from understudy.runtime.serving.daemon import Service, signals_to

        if self._hosted:
            msg = "serve() would block the loop that has to do the work: use `await rt.aserve()`"
            raise WouldDeadlockError(msg)
        waiting: SimpleQueue[int] = SimpleQueue()
        with signals_to(waiting.put):
            if self._system is None:
                self.start()
            service = Service(self._itself(), waiting.put)
            service.begin()
            while not service.take(waiting.get()):
                pass
            return service.report(self.stop())

    async def aserve(self) -> ShutdownReport:
        """The twin of `serve`, for a program whose main thread runs a loop.

        Cancelling the task that awaits it begins the drain, and is passed on when that is over; a
        second cancel cuts it short.
        """
        from understudy.runtime.serving.daemon import Service, signals_to

        loop = asyncio.get_running_loop()
        waiting: asyncio.Queue[int] = asyncio.Queue()

        def put(number: int) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(waiting.put_nowait, number)

        with signals_to(put):
            service = Service(self._itself(), put)
            service.begin()
            cancelled: asyncio.CancelledError | None = None
            while True:
                try:
                    if service.take(await waiting.get()):
                        break
                except asyncio.CancelledError as error:
                    if cancelled is None:
                        self.begin_stop()
                    else:
                        self.begin_stop(LEAVING, drain=False)
                    cancelled = error
            report = service.report(await self.astop())
        if cancelled is not None:
            raise cancelled
        return report

    def begin_stop(self, timeout: float | None = None, *, drain: bool = True) -> None:
        """As `stop`, and return at once. Any thread."""
        self._begin_shutdown(timeout, drain=drain)

    def when_stopping(self, call: Callable[[Shutdown, float], None]) -> None:
        """Call with the shutdown and its seconds when it begins; now if it has."""
        self._stop_calls.append(call)
        if self._shutdown is not None:
            call(self._shutdown, self._shutdown_time)
