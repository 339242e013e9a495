"""The runtime that `SimRuntime` runs: the production one on a simulated stage."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from understudy.actors.kernel.dispatchers.sim import SimDispatcher, stream
from understudy.actors.kernel.dispatchers.sim_baton import Baton, SimThreads
from understudy.actors.kernel.dispatchers.sim_loop import SimLoop
from understudy.actors.kernel.dispatchers.threads import current_worker
from understudy.actors.kernel.faults import Faults
from understudy.actors.kernel.reply import Reply
from understudy.actors.kernel.sim_system import SimClock, SimSystem
from understudy.messages.errors import RuntimeStoppedError
from understudy.messages.events import Event
from understudy.runtime.events import EventBus
from understudy.runtime.runtime import Runtime

T = TypeVar("T")


class SimulatedRuntime(Runtime):
    """A Runtime whose stage is simulated; everything else is the production code."""

    def __init__(
        self,
        seed: int,
        faults: Faults,
        loop: SimLoop,
        baton: Baton,
        options: dict[str, Any],  # Any: as for Runtime
    ) -> None:
        jitter = stream(seed, "runtime").getrandbits(64)
        named: dict[str, Any] = {"name": "sim", **options}  # Any: as above
        super().__init__(**named, clock=SimClock(loop), seed=jitter)
        self.baton = baton
        self.events = LoopEvents(loop)
        self._seed = seed
        self._faults = faults
        self._sim_loop = loop
        self._stage_made: SimSystem | None = None

    @property
    def sim_system(self) -> SimSystem:
        """The stage, as what it is."""
        if self._stage_made is None:
            raise RuntimeStoppedError("the simulation has not begun")
        return self._stage_made

    @property
    def started(self) -> bool:
        """Whether there is a stage."""
        return self._stage_made is not None

    def complete(self, work: Coroutine[Any, Any, T], twin: str) -> T:  # Any: what coroutines yield
        """See `Runtime.complete`; a thread of the simulation waits in virtual time."""
        worker = current_worker()
        if worker is None:
            return super().complete(work, twin)
        reply: Reply[T] = Reply()
        task: list[asyncio.Task[None]] = []

        async def do() -> None:
            try:
                reply.set(await work)
            except BaseException as error:  # noqa: BLE001 - it is the answer
                reply.set_exception(error)

        self._sim_loop.call_soon_threadsafe(lambda: task.append(self._sim_loop.create_task(do())))
        try:
            with worker.dispatcher.spare():
                return reply.get()
        except BaseException:
            self._sim_loop.call_soon_threadsafe(lambda: [each.cancel() for each in task])
            raise

    def _set_up(self, loop: asyncio.AbstractEventLoop) -> None:
        """As in `Lifecycle`, but without the watchdog's thread: virtual time cannot be late."""
        (thread,) = self._sim_loop.threads
        dispatcher = SimDispatcher(self._sim_loop, thread, stream(self._seed, "schedule"))
        self._loop_dispatcher = dispatcher
        system = self._stage_made = SimSystem(
            seed=self._seed,
            faults=self._faults,
            baton=self.baton,
            loop=loop,
            loop_thread=thread,
            dispatchers={"loop": dispatcher},
            make_threads=self._make_threads,
            clock=self._clock,
            rng=self._random,
            events=self.events,
        )
        self._take_over(system)
        self._crew = self._make_crew(system)
        self._system = system

    def _make_threads(self, bulkhead: str) -> SimThreads:
        rng = stream(self._seed, f"threads/{bulkhead}")
        threads = SimThreads(f"sim-{bulkhead}", self._threads, self.baton, rng)
        self._threads_made.append(threads)
        return threads


class LoopEvents(EventBus):
    """The event bus without its thread: callbacks are called on the loop, in order."""

    def __init__(self, loop: SimLoop) -> None:
        super().__init__("sim-events")
        self._sim_loop = loop
        self.attach(loop)

    def publish(self, event: Event) -> None:
        """See `EventBus.publish`."""
        for subscription in self._subscriptions:
            if isinstance(event, subscription.kind) and not self._closed:
                self._sim_loop.soon(self._deliver, subscription, event)

    def after_queued(self, callback: Callable[[None], object]) -> None:
        """See `EventBus.after_queued`."""
        self._sim_loop.soon(callback, None)

    def _begin(self) -> None:
        """Nothing has to be begun."""
