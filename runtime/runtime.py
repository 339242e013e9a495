"""`Runtime`: one stage with its actors, from start to shutdown.

    with Runtime() as rt:               # a loop in a daemon thread of its own
        print(rt.run(agent, "Hello").output)

    async with Runtime() as rt:         # hosted on the caller's running loop: no thread hop
        print((await rt.arun(agent, "Hello")).output)

Several may live in one process and know nothing of each other. It takes no signals and starts no
thread before it is entered. Everything that reads time, draws random numbers or opens a socket goes
through the ports that it is given.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from _thread import get_ident
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future as ThreadFuture
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from understudy.actors.kernel.actor import Actor, as_child
from understudy.actors.kernel.clock import Clock, SystemClock
from understudy.actors.kernel.dead_letters import DeadLetters
from understudy.actors.kernel.dispatchers.loop import LoopDispatcher
from understudy.actors.kernel.dispatchers.threads import ThreadsDispatcher
from understudy.actors.kernel.options import ChildSpec, MailboxOptions, RestartType, child
from understudy.actors.kernel.ref import Ref
from understudy.actors.kernel.system import ActorSystem
from understudy.actors.models.directory import Defaults
from understudy.messages.control import (
    ActorNode,
    ActorState,
    Ledger,
    MailboxStats,
    ShutdownReport,
)
from understudy.messages.errors import ConfigError, RuntimeStoppedError, WouldDeadlockError
from understudy.messages.workflows import Effects
from understudy.runtime.config.schema import Config
from understudy.runtime.crew import Crew
from understudy.runtime.current import alive, entered, running
from understudy.runtime.events import EventBus
from understudy.runtime.forks import watch_forks
from understudy.runtime.pool.handle import PoolHandle, check_key
from understudy.runtime.pool.keyed import KeyedPool
from understudy.runtime.pool.options import PoolOptions, size_of
from understudy.runtime.pool.pool import Pool
from understudy.runtime.shutdown import Shutdown
from understudy.runtime.strategy import Strategy
from understudy.runtime.submit import Submitter
from understudy.runtime.supervisor import Supervisor
from understudy.runtime.watchdog import Watchdog

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")
logger = logging.getLogger("understudy.runtime")


class Runtime(Submitter):
    """See the module's docstring.

    Args:
        name: shown in logs, thread names and errors.
        config: what `from_toml` loads; arguments given here win.
        workers: step workers on the loop, at most.
        threads: threads for each class of blocking work, at most.
        max_runs: agent runs at a time.
        shutdown: seconds that leaving the block may take.
        clock, transport, seed: ports: time, the HTTP transport, the seed of random numbers.
    """

    def __init__(
        self,
        *,
        name: str = "rt",
        config: Config | None = None,
        workers: int | None = None,
        threads: int | None = None,
        max_runs: int | None = None,
        shutdown: float | None = None,
        clock: Clock | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        seed: int | None = None,
    ) -> None:
        self.name = name
        self.config = config or Config()
        sizes = self.config.runtime
        self._workers = sizes.workers if workers is None else workers
        self._threads = sizes.threads if threads is None else threads
        self._max_runs = sizes.max_runs if max_runs is None else max_runs
        self._shutdown_time = sizes.shutdown if shutdown is None else shutdown
        for option in ("workers", "threads", "max_runs"):
            if getattr(self, f"_{option}") < 1:
                msg = f"Runtime({option}={getattr(self, f'_{option}')}): at least 1 is needed"
                raise ConfigError(msg)
        self._clock: Clock = clock or SystemClock()
        self._given_transport = transport
        self._random = random.Random(seed)  # noqa: S311 - jitter and ids, not secrets
        self.events = EventBus(f"understudy-{name}-events")
        self._system: ActorSystem | None = None
        self._crew: Crew | None = None
        self._loop_dispatcher: LoopDispatcher | None = None
        self._threads_made: list[ThreadsDispatcher] = []
        self._thread: threading.Thread | None = None
        self._watchdog: Watchdog | None = None
        self._shutdown: Shutdown | None = None
        self._token: Any = None  # Any: a ContextVar's token
        self._hosted = False

    @classmethod
    def from_toml(cls, path: str | Path, **options: Any) -> Self:  # Any: as for __init__
        """A runtime as a file says; `options` win over it.

        Raises:
            ConfigError: everything that is wrong with the file, with lines.
        """
        import os

        from understudy.runtime.config.load import load_config
        from understudy.runtime.graph import check_workflow

        config = load_config(Path(path), os.environ, check=check_workflow)
        return cls(config=config, **options)

    # -- starting and stopping -------------------------------------------------------------------------

    @property
    def is_running(self) -> bool:
        """True from entering to leaving."""
        return self._system is not None and not self._system.closing

    @property
    def system(self) -> ActorSystem:
        """The actors' stage.

        Raises:
            RuntimeStoppedError: it was not started, or has stopped.
        """
        if self._system is not None and self._system.lost is not None:
            raise self._system.lost
        if self._system is None or self._system.closing:
            state = "has not been started: enter it with `with`" if self._system is None else "has stopped"
            raise RuntimeStoppedError(f"runtime {self.name!r} {state}")
        return self._system

    @property
    def crew(self) -> Crew:
        """What runs share."""
        self.system  # noqa: B018 - raises when stopped
        assert self._crew is not None
        return self._crew

    def start(self, *, default: bool = False) -> None:
        """Start on a loop in a daemon thread of its own; `with` does it for you."""
        self._check_fresh()
        started: ThreadFuture[None] = ThreadFuture()
        self._thread = threading.Thread(
            target=self._own_loop, args=(started,), name=f"understudy-{self.name}", daemon=True
        )
        self._thread.start()
        started.result()
        if not default:
            running.add(self)

    def __enter__(self) -> Self:
        self.start()
        self._token = entered.set(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        entered.reset(self._token)
        if error is None:
            self.stop()
        else:
            self.stop(timeout=2.0, drain=False)

    async def __aenter__(self) -> Self:
        self._check_fresh()
        self._hosted = True
        self._set_up(asyncio.get_running_loop())
        running.add(self)
        self._token = entered.set(self)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        entered.reset(self._token)
        if error is None:
            await self.astop()
        else:
            await self.astop(timeout=2.0, drain=False)

    def stop(self, timeout: float | None = None, *, drain: bool = True) -> ShutdownReport:
        """Shut down and report; blocks. A second call with a shorter timeout shortens the first.

        Args:
            timeout: seconds in all (the runtime's `shutdown` when None).
            drain: False cancels what is under way instead of finishing it.
        """
        if self._system is None:
            raise RuntimeStoppedError(f"runtime {self.name!r} has not been started")
        if get_ident() == self._system.loop_thread:
            msg = "stop() would block the loop that has to stop: use `await rt.astop()`"
            raise WouldDeadlockError(msg)
        shutdown = self._begin_shutdown(timeout, drain)
        report = shutdown.result()
        if self._thread is not None:
            self._thread.join(timeout=1.0)
        return report

    async def astop(self, timeout: float | None = None, *, drain: bool = True) -> ShutdownReport:
        """The twin of `stop`; goes on when the task that awaits it is cancelled."""
        shutdown = self._begin_shutdown(timeout, drain)
        return await asyncio.shield(asyncio.wrap_future(shutdown.future))

    # -- actors ----------------------------------------------------------------------------------------

    def spawn(
        self,
        spec: ChildSpec | type[Actor],
        *,
        name: str | None = None,
        restart: RestartType | None = None,
        mailbox: MailboxOptions | None = None,
        directives: dict[type[BaseException], Any] | None = None,  # Any: Directive or its name
    ) -> Ref[Any]:  # Any: Ref of the actor's class
        """Make an actor under `/user`; returns after its `on_start` has succeeded.

        Raises:
            ConfigError: the name is taken, or the specification is wrong.
            Exception: whatever `__init__` or `on_start` raises.
        """
        spec = as_child(spec, name=name, restart=restart, mailbox=mailbox, directives=directives)
        return self.system.spawn(spec).get()

    async def aspawn(
        self,
        spec: ChildSpec | type[Actor],
        *,
        name: str | None = None,
        restart: RestartType | None = None,
        mailbox: MailboxOptions | None = None,
        directives: dict[type[BaseException], Any] | None = None,  # Any: Directive or its name
    ) -> Ref[Any]:  # Any: Ref of the actor's class
        """The twin of `spawn`."""
        spec = as_child(spec, name=name, restart=restart, mailbox=mailbox, directives=directives)
        return await self.system.spawn(spec)

    def supervise(
        self,
        name: str,
        children: Sequence[ChildSpec | type[Actor]],
        *,
        strategy: Strategy = "one_for_one",
        intensity: int = 5,
        period: float = 30.0,
        total_intensity: int | None = None,
    ) -> Ref[Any]:  # Any: Ref of Supervisor
        """Start a group of children that is kept alive together; see `Supervisor`.

        Returns after all children have started; ask the Ref for `WhichChildren`.
        """
        return self.spawn(
            child(
                Supervisor,
                children,
                strategy=strategy,
                intensity=intensity,
                period=period,
                total_intensity=total_intensity,
            ),
            name=name,
        )

    async def asupervise(
        self,
        name: str,
        children: Sequence[ChildSpec | type[Actor]],
        **options: Any,  # Any: as for supervise
    ) -> Ref[Any]:  # Any: Ref of Supervisor
        """The twin of `supervise`."""
        return await self.aspawn(child(Supervisor, children, **options), name=name)

    def pool(
        self,
        name: str,
        worker: ChildSpec | type[Actor],
        *,
        size: int | tuple[int, int] = 4,
        queue: int = 1000,
        key: Callable[[Any], Any] | None = None,  # Any: the user's jobs and keys
        retries: int = 0,
        effects: Effects | None = None,
        timeout: float | None = None,
    ) -> PoolHandle:
        """A pool of workers; returns when the workers that the minimum asks for have started.

        Args:
            name: its place in the tree, `/user/name`.
            worker: a class or `child(...)`; its messages are the jobs.
            size: workers, or (at least, at most).
            queue: jobs that may wait; more are refused with `MailboxFullError`.
            key: a function of the job: jobs of one key go to one worker, in order.
            retries: how often a job that has failed, or lost its worker, is done again.
            effects: what jobs do outside; see `PoolOptions`.
            timeout: seconds for a job, its time in the queue included.
        """
        handle, started = self._pool(name, worker, size, queue, key, retries, effects, timeout)
        for reply in started:
            reply.get()
        return handle

    async def apool(
        self,
        name: str,
        worker: ChildSpec | type[Actor],
        *,
        size: int | tuple[int, int] = 4,
        queue: int = 1000,
        key: Callable[[Any], Any] | None = None,  # Any: the user's jobs and keys
        retries: int = 0,
        effects: Effects | None = None,
        timeout: float | None = None,
    ) -> PoolHandle:
        """The twin of `pool`."""
        handle, started = self._pool(name, worker, size, queue, key, retries, effects, timeout)
        for reply in started:
            await reply
        return handle

    def _pool(  # noqa: PLR0913 - the two spellings share it
        self,
        name: str,
        worker: ChildSpec | type[Actor],
        size: int | tuple[int, int],
        queue: int,
        key: Callable[[Any], Any] | None,  # Any: the user's jobs and keys
        retries: int,
        effects: Effects | None,
        timeout: float | None,
    ) -> tuple[PoolHandle, list[Any]]:  # Any: Replies with Refs
        check_key(key)
        options = PoolOptions(
            size=size_of(size), queue=queue, retries=retries, effects=effects, timeout=timeout
        )
        spec = as_child(worker)
        pool: Pool | KeyedPool
        if key is None:
            pool = Pool(self.system, name, spec, options)
        else:
            pool = KeyedPool(self.system, name, spec, options, key)
        return PoolHandle(pool, queue), pool.fill()

    def tree(self) -> ActorNode:
        """All actors as one frozen struct: states, mailboxes, what each is doing. `print` draws it."""
        system = self.system
        roots = (system.user.node(), system.infrastructure.node())
        return ActorNode(
            path="/",
            kind=self.name,
            state=ActorState.RUNNING,
            restarts=0,
            mailbox=MailboxStats(depth=0, peak=0, oldest=0.0, accepted=0, refused=0, dropped=0),
            current=None,
            current_age=0.0,
            owed=0,
            background=0,
            abandoned=0,
            last_error=None,
            children=roots,
        )

    @property
    def dead_letters(self) -> DeadLetters:
        """What was sent and not handled."""
        if self._system is None:
            raise RuntimeStoppedError(f"runtime {self.name!r} has not been started")
        return self._system.dead_letters

    @property
    def ledger(self) -> Ledger:
        """The sum over all actors that ever lived here."""
        if self._system is None:
            raise RuntimeStoppedError(f"runtime {self.name!r} has not been started")
        return self._system.ledger()

    def complete(self, work: Coroutine[Any, Any, T]) -> T:  # Any: what coroutines yield
        """Run a coroutine on this runtime's loop and block this thread for it."""
        system = self.system
        if get_ident() == system.loop_thread:
            work.close()
            msg = "this would block the loop that has to do the work: use the `a...` twin"
            raise WouldDeadlockError(msg)
        return asyncio.run_coroutine_threadsafe(work, system.loop).result()

    # -- private ---------------------------------------------------------------------------------------

    def _check_fresh(self) -> None:
        if self._system is not None:
            state = "is already running" if self.is_running else "has stopped: make a new one"
            raise RuntimeStoppedError(f"runtime {self.name!r} {state}")

    def _own_loop(self, started: ThreadFuture[None]) -> None:
        try:
            loop = _new_loop()
            asyncio.set_event_loop(loop)
        except BaseException as error:  # noqa: BLE001 - it is the answer to the one who starts
            started.set_exception(error)
            return
        try:
            loop.call_soon(self._start_here, loop, started)
            loop.run_forever()
        finally:
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
        dispatcher = self._loop_dispatcher = LoopDispatcher(loop, thread, self._clock.now)
        system = ActorSystem(
            loop=loop,
            loop_thread=thread,
            dispatchers={"loop": dispatcher},
            make_threads=self._make_threads,
            clock=self._clock,
            rng=self._random,
            events=self.events,
        )
        system.runtime = self
        llm = self.config.llm
        self._crew = Crew(
            system,
            defaults=Defaults(llm.model, llm.base_url, llm.api_key, llm.temperature, llm.max_tokens),
            transport=self._transport,
            workers=self._workers,
            threads=self._threads,
            max_runs=self._max_runs,
        )
        self._system = system
        self._watchdog = Watchdog(f"understudy-{self.name}-watchdog", system, dispatcher)
        self._watchdog.start()
        alive.add(self)
        watch_forks(alive)

    def _make_threads(self, bulkhead: str) -> ThreadsDispatcher:
        threads = ThreadsDispatcher(f"understudy-{self.name}-{bulkhead}", self._threads)
        self._threads_made.append(threads)
        return threads

    def _transport(self) -> httpx.AsyncBaseTransport:
        if self._given_transport is not None:
            return self._given_transport
        from understudy.actors.models.transport import LeasedTransport

        return LeasedTransport()

    def _begin_shutdown(self, timeout: float | None, drain: bool) -> Shutdown:  # noqa: FBT001
        if self._system is None:
            raise RuntimeStoppedError(f"runtime {self.name!r} has not been started")
        seconds = self._shutdown_time if timeout is None else timeout
        with self._lock:
            shutdown = self._shutdown
            if shutdown is None:
                shutdown = self._shutdown = Shutdown(self._system, self._open_runs, self._tear_down)
                begin = True
            else:
                begin = False
        shutdown.shorten(seconds, drain)
        if begin:
            running.discard(self)
            alive.discard(self)
            self.refuse()
            self._system.call_on_loop(shutdown.begin)
        return shutdown

    async def _tear_down(self) -> None:
        """After the last actor: sockets, runners, threads, events, and the loop if it is ours."""
        if self._crew is not None:
            await self._crew.aclose()
        assert self._system is not None
        self._system.wheel.close()
        if self._watchdog is not None:
            self._watchdog.stop()
        for threads in self._threads_made:
            threads.close()
        if self._loop_dispatcher is not None:
            self._loop_dispatcher.close()
        if not self._hosted:
            loop = self._system.loop
            loop.call_soon(lambda: loop.call_soon(loop.stop))


def _new_loop() -> asyncio.AbstractEventLoop:
    """A loop for a thread of ours: uvloop's where it is installed, never as a global policy."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


