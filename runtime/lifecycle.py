"""Starting and stopping: the part of a Runtime that has a loop.

It runs on a loop in a daemon thread of its own (`with`), or hosted on the caller's (`async with`);
the rest of the Runtime does not know which. Stopping is one `Shutdown`, whoever asks for it, from
whichever thread, and however often.
"""

from __future__ import annotations

import asyncio
import threading
from _thread import get_ident
from abc import abstractmethod
from collections.abc import Callable
from concurrent.futures import Future as ThreadFuture
from contextvars import Token
from types import TracebackType
from typing import TYPE_CHECKING, Self

from understudy.actors.kernel.dispatchers.loop import LoopDispatcher
from understudy.actors.kernel.dispatchers.threads import ThreadsDispatcher
from understudy.actors.kernel.system import ActorSystem
from understudy.messages.control import ShutdownReport
from understudy.messages.errors import RuntimeStoppedError, WouldDeadlockError
from understudy.runtime.blocking import result_of
from understudy.runtime.current import alive, entered, running
from understudy.runtime.forks import watch_forks
from understudy.runtime.shutdown import Shutdown
from understudy.runtime.submit import Submitter
from understudy.runtime.watchdog import Watchdog

if TYPE_CHECKING:
    from understudy.runtime.crew import Crew
    from understudy.runtime.events import EventBus
    from understudy.runtime.runtime import Runtime

LEAVING = 2.0
"""Seconds that leaving the block by an exception may take."""


class Lifecycle(Submitter):
    """See the module's docstring."""

    def __init__(self, name: str, events: EventBus, shutdown: float) -> None:
        super().__init__(name, events)
        self._shutdown_time = shutdown
        self._system: ActorSystem | None = None
        self._crew: Crew | None = None
        self._loop_dispatcher: LoopDispatcher | None = None
        self._threads_made: list[ThreadsDispatcher] = []
        self._thread: threading.Thread | None = None
        self._watchdog: Watchdog | None = None
        self._shutdown: Shutdown | None = None
        self._token: Token[Runtime | None] | None = None
        self._hosted = False
        self._stops_on_failure = self._debug = False
        self._stop_calls: list[Callable[[Shutdown, float], None]] = []
        self._reload_lock = threading.Lock()

    # -- what a Runtime fills in -------------------------------------------------------------------

    @abstractmethod
    def _make_system(
        self, loop: asyncio.AbstractEventLoop, thread: int, dispatcher: LoopDispatcher
    ) -> ActorSystem:
        """The stage, with this runtime's ports."""

    @abstractmethod
    def _make_crew(self, system: ActorSystem) -> Crew:
        """What runs share, with this runtime's bounds."""

    @abstractmethod
    def _itself(self) -> Runtime:
        """This, as what it is."""

    # -- looking -----------------------------------------------------------------------------------

    @property
    def is_running(self) -> bool:
        """True from entering to leaving, unless the loop it is hosted on was closed under it."""
        system = self._system
        return system is not None and not system.closing and not system.loop.is_closed()

    @property
    def system(self) -> ActorSystem:
        """The actors' stage.

        Raises:
            RuntimeStoppedError: it was not started, or has stopped.
        """
        system = self.stage
        if system.lost is not None:
            raise system.lost
        if system.closing:
            raise RuntimeStoppedError(f"runtime {self.name!r} has stopped")
        return system

    @property
    def stage(self) -> ActorSystem:
        """As `system`, also after the end: dead letters, failures and the ledger can be read.

        Raises:
            RuntimeStoppedError: it was not started.
        """
        if self._system is None:
            msg = f"runtime {self.name!r} has not been started: enter it with `with`"
            raise RuntimeStoppedError(msg)
        return self._system

    @property
    def crew(self) -> Crew:
        """What runs share.

        Raises:
            RuntimeStoppedError: it was not started, or has stopped.
        """
        if self._crew is None or self.system.closing:
            raise RuntimeStoppedError(f"runtime {self.name!r} has not been started")
        return self._crew

    # -- starting ----------------------------------------------------------------------------------

    def start(self, *, default: bool = False) -> None:
        """Start on a loop in a daemon thread of its own; `with` does it for you.

        Args:
            default: True only for the process default, which is not found by looking around.
        """
        self._check_fresh()
        started: ThreadFuture[None] = ThreadFuture()
        self._thread = threading.Thread(
            target=self._own_loop, args=(started,), name=f"understudy-{self.name}", daemon=True
        )
        self._thread.start()
        result_of(started)
        if not default:
            running.add(self._itself())

    def __enter__(self) -> Self:
        self.start()
        self._token = entered.set(self._itself())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leave()
        if error is None:
            self.stop()
        else:
            self.stop(timeout=LEAVING, drain=False)

    async def __aenter__(self) -> Self:
        self._check_fresh()
        self._hosted = True
        self._set_up(asyncio.get_running_loop())
        running.add(self._itself())
        self._token = entered.set(self._itself())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leave()
        if error is None:
            shutdown = self._begin_shutdown(None, drain=True)
        else:
            shutdown = self._begin_shutdown(LEAVING, drain=False)
        await _see_through(shutdown)

    # -- stopping ----------------------------------------------------------------------------------

    def stop(self, timeout: float | None = None, *, drain: bool = True) -> ShutdownReport:
        """Shut down and report; blocks. A second call with a shorter timeout shortens the first.

        Args:
            timeout: seconds in all (the runtime's `shutdown` when None).
            drain: False cancels what is under way instead of finishing it.

        Raises:
            WouldDeadlockError: on the loop of this runtime; use `await rt.astop()`.
        """
        if get_ident() == self.stage.loop_thread and not self.stage.loop.is_closed():
            msg = "stop() would block the loop that has to stop: use `await rt.astop()`"
            raise WouldDeadlockError(msg)
        report = self._begin_shutdown(timeout, drain=drain).result()
        self.events.close(timeout=1.0)
        if self._thread is not None:
            self._thread.join(timeout=1.0)
        return report

    async def astop(self, timeout: float | None = None, *, drain: bool = True) -> ShutdownReport:
        """The twin of `stop`; goes on when the task that awaits it is cancelled."""
        shutdown = self._begin_shutdown(timeout, drain=drain)
        return await asyncio.shield(asyncio.wrap_future(shutdown.future))

    # -- private -----------------------------------------------------------------------------------

    def _check_fresh(self) -> None:
        if self._system is not None:
            state = "is already running" if self.is_running else "has stopped: make a new one"
            raise RuntimeStoppedError(f"runtime {self.name!r} {state}")

    def _leave(self) -> None:
        token, self._token = self._token, None
        if token is not None:
            try:
                entered.reset(token)
            except ValueError:  # left elsewhere than entered, as between two cells of a notebook
                entered.set(None)

    def _own_loop(self, started: ThreadFuture[None]) -> None:
        try:
            loop = new_loop()
            asyncio.set_event_loop(loop)
        except BaseException as error:  # noqa: BLE001 - it is the answer to the one who starts
            started.set_exception(error)
            return
        try:
            loop.call_soon(self._start_here, loop, started)
            loop.run_forever()
        finally:
            for task in asyncio.all_tasks(loop):  # what was abandoned: it gets a few more turns
                task.cancel()
            for _ in range(3):
                loop.run_until_complete(asyncio.sleep(0))
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    def _start_here(self, loop: asyncio.AbstractEventLoop, started: ThreadFuture[None]) -> None:
        try:
            self._set_up(loop)
        except BaseException as error:  # noqa: BLE001 - it is the answer to the one who starts
            loop.stop()
            started.set_exception(error)
        else:
            started.set_result(None)

    def _set_up(self, loop: asyncio.AbstractEventLoop) -> None:
        thread = get_ident()
        dispatcher = self._loop_dispatcher = LoopDispatcher(loop, thread, self._timer())
        system = self._make_system(loop, thread, dispatcher)
        self._take_over(system)
        self.events.attach(loop)
        self._crew = self._make_crew(system)
        self._system = system
        self._watchdog = Watchdog(f"understudy-{self.name}-watchdog", system, dispatcher)
        self._watchdog.start()
        alive.add(self._itself())
        watch_forks(alive)

    @abstractmethod
    def _timer(self) -> Callable[[], float]:
        """Monotonic seconds: the clock port's own function, since each message asks it."""

    def _ran_dry(self) -> None:
        shutdown, system = self._shutdown, self._system
        if shutdown is not None and system is not None:
            system.call_on_loop(shutdown.wake)

    def _take_over(self, system: ActorSystem) -> None:
        """Make it this runtime's."""
        system.runtime = self
        system.debug = self._debug
        if self._stops_on_failure:
            system.on_parked = self._gave_up

    def _gave_up(self, path: str, error: BaseException) -> None:
        """An actor has failed too often, and that is to be the end; on whichever thread it is."""
        failed = f"{path}: {type(error).__name__}: {error}"
        self._begin_shutdown(None, drain=True, failed=failed)

    def _begin_shutdown(
        self, timeout: float | None, *, drain: bool, failed: str | None = None
    ) -> Shutdown:
        system = self.stage
        seconds = self._shutdown_time if timeout is None else timeout
        with self._lock:
            shutdown = self._shutdown
            begin = shutdown is None
            if shutdown is None:
                shutdown = self._shutdown = Shutdown(system, self._open_runs, self._tear_down)
            shutdown.failed = shutdown.failed or failed
        shutdown.shorten(seconds, drain=drain)
        if begin:
            running.discard(self._itself())
            alive.discard(self._itself())
            self.refuse()
            for call in self._stop_calls:
                call(shutdown, seconds)
            if not system.loop.is_closed():
                system.call_on_loop(shutdown.begin)
        if system.loop.is_closed():
            shutdown.give_up()
        return shutdown

    async def _tear_down(self) -> None:
        """After the last actor: sockets, runners, threads, events, and the loop if it is ours."""
        system = self.stage
        if self._crew is not None:
            await self._crew.aclose()
        system.wheel.close()
        if self._watchdog is not None:
            self._watchdog.stop()
        for threads in self._threads_made:
            threads.close()
        self.events.end()
        if self._loop_dispatcher is not None:
            self._loop_dispatcher.close()
        if not self._hosted:
            loop = system.loop
            loop.call_soon(lambda: loop.call_soon(loop.stop))


async def _see_through(shutdown: Shutdown) -> None:
    """Wait for the end of a shutdown; a cancel of this task shortens it, and is passed on then."""
    waiting = asyncio.wrap_future(shutdown.future)
    cancelled: asyncio.CancelledError | None = None
    while not waiting.done():
        try:
            await asyncio.shield(waiting)
        except asyncio.CancelledError as error:
            cancelled = error
            shutdown.shorten(LEAVING, drain=False)
    if cancelled is not None:
        raise cancelled


def new_loop() -> asyncio.AbstractEventLoop:
    """A loop for a thread of ours: uvloop's where it is installed, never as a global policy."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
