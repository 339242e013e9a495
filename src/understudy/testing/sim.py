"""`SimRuntime(seed)`: a whole runtime in virtual time, whose every run can be had again.

    sim = SimRuntime(7, faults=Faults(crash=Fault("/user/worker", nth=3)))

    async def main(rt: Runtime) -> int:
        worker = await rt.aspawn(Worker, name="worker")
        return await worker.request(Work())

    assert sim.run(main) == 42

It runs the production code of actors, supervisors and pools on an event loop of its own. What
happens next is drawn from the seed: which actor runs, how long a slice lasts, when a thread is
interrupted, what goes wrong. An hour of timeouts takes milliseconds. So a test runs a few hundred
seeds, and a failure that needs an unlucky order of events has a number.

Guarantees
- The same seed, program and version of this library do the same, in every process: `trace_digest`
  says so. (The program must not read clocks or random numbers of its own, nor depend on the order
  of a set of its own objects: use `context.now()` and `rt.random`.)
- A failure carries the seed as a note, whatever raised it.
- A run that is over has left nothing behind: the ledger balances and is empty, every ask was
  answered, no task is left, nothing was abandoned. Else it raises.
- A run in which nothing can happen any more, or which never ends, raises and says who waits.

Blocking handlers may use our blocking calls (`ref.ask`, `Reply.get`, `agent.run`), and nothing else
that blocks. Sockets, files by threads, subprocesses, executors and foreign threads raise.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from understudy.actors.kernel.dispatchers.sim import stream
from understudy.actors.kernel.dispatchers.sim_baton import Baton
from understudy.actors.kernel.dispatchers.sim_loop import (
    EPOCH,
    SimLoop,
    SimulationDeadlockError,
    SimulationError,
)
from understudy.actors.kernel.faults import Fault, Faults, SimulatedCrashError
from understudy.actors.kernel.sim_system import SimSystem
from understudy.messages.control import ShutdownReport
from understudy.runtime.runtime import Runtime
from understudy.testing.sim_checks import check, who_waits
from understudy.testing.sim_stage import SimulatedRuntime

__all__ = [
    "Fault",
    "Faults",
    "SimRuntime",
    "SimulatedCrashError",
    "SimulationDeadlockError",
    "SimulationError",
]

T = TypeVar("T")


class SimRuntime:
    """See the module's docstring. A run is `sim.run(main)`; each starts from the seed again.

    Args:
        seed: of everything that is drawn.
        faults: what shall go wrong.
        limit: seconds of virtual time after which a run is said never to end.
        options: as for `Runtime`, but `clock` and `seed`.

    Attributes:
        report: how the last run's runtime ended.
        runtime: the last run's, to be looked at when it has stopped.
    """

    report: ShutdownReport
    runtime: Runtime

    def __init__(
        self,
        seed: int,
        *,
        faults: Faults | None = None,
        limit: float = 86_400.0,
        **options: Any,  # Any: as for Runtime
    ) -> None:
        self.seed = seed
        self._faults = faults or Faults()
        self._limit = limit
        self._options = options
        self._loop: SimLoop | None = None
        self._system: SimSystem | None = None

    def run(self, main: Callable[[Runtime], Awaitable[T]]) -> T:
        """Run `main(rt)` to its end, stop the runtime, and see that nothing was left.

        Returns:
            What `main` returns.

        Raises:
            SimulationDeadlockError: nothing could happen any more; says who waits.
            SimulationError: it did not end, something was left behind, or something was used that
                a simulation does not have.
            BaseException: whatever `main` raises. All carry the seed as a note.
        """
        collecting = gc.isenabled()
        gc.disable()  # finalizers would run at moments that depend on the process
        loop = self._loop = SimLoop(limit=self._limit)
        baton = Baton(loop, stream(self.seed, "baton"))
        rt = self.runtime = SimulatedRuntime(self.seed, self._faults, loop, baton, self._options)
        loop.stuck = lambda: who_waits(rt.sim_system, loop)
        try:
            value = loop.run_until_complete(self._main(rt, main))
            check(rt.sim_system, self.report, loop, baton)
        except BaseException as error:
            failure = loop.fatal if isinstance(error, RuntimeError) and loop.fatal else error
            failure.add_note(self._replay())
            if failure is error:
                raise
            raise failure from None
        finally:
            self._system = rt.sim_system if rt.started else None
            loop.cancel_all()
            baton.end()
            loop.close()
            if collecting:
                gc.enable()
        return value

    @property
    def trace_digest(self) -> str:
        """A digest over time, actor and type of every message that the last run has handled."""
        return self._stage.trace.digest

    @property
    def handled(self) -> int:
        """Messages that the last run has handled."""
        return self._stage.trace.handled

    @property
    def time(self) -> float:
        """Virtual seconds since the last run began."""
        return 0.0 if self._loop is None else round(self._loop.time() - EPOCH, 9)

    @property
    def _stage(self) -> SimSystem:
        if self._system is None:
            raise SimulationError("nothing was simulated yet: call run(main)")
        return self._system

    async def _main(self, rt: SimulatedRuntime, main: Callable[[Runtime], Awaitable[T]]) -> T:
        async with rt:
            value = await main(rt)
            self.report = await rt.astop()
        turns = 8
        while turns:  # runners and threads were told to end: they do in their next turns
            ending = len(rt.baton.helpers)
            await asyncio.sleep(0)
            turns = turns - 1 if len(rt.baton.helpers) == ending else 8
        return value

    def _replay(self) -> str:
        faults = "" if self._faults == Faults() else f", faults={self._faults!r}"
        last = "" if self._loop is None else f" (at {self.time:.6f} s of virtual time)"
        return f"seed={self.seed}; replay with SimRuntime({self.seed}{faults}){last}"
