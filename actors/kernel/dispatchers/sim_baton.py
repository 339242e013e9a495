"""Threads of a simulation: real ones, of which exactly one runs at a time.

Blocking handlers need a thread, because they may block in the middle. In a simulation each of those
threads has to be handed the baton before it runs, and gives it back to the loop when it waits: for
work, for an answer, for time to pass. Meanwhile the loop's own thread stands still, so a thread's
turn is like one callback of the loop, and what happens when depends on nothing but the seed.

What a thread blocks in must be ours (`ask`, `Reply.get`, `agent.run`): in anything else, such as a
`threading.Event` that another handler sets, it would keep the baton for ever. After `patience` real
seconds that raises, and it is the only real time that a simulation looks at.
"""

from __future__ import annotations

import threading
from _thread import allocate_lock, get_ident
from random import Random
from typing import TYPE_CHECKING, Any

from understudy.actors.kernel.dispatchers.sim_loop import SimLoop, SimulationError
from understudy.actors.kernel.dispatchers.threads import ThreadsDispatcher, Worker
from understudy.actors.kernel.parking import waits

if TYPE_CHECKING:
    from understudy.actors.kernel.cell import Cell

PATIENCE = 30.0
_here = threading.local()


class SimulationOver(BaseException):
    """Raised in a thread that waits when the simulation is at its end."""


class Helper:
    """One thread of a simulation, as the baton sees it."""

    __slots__ = ("go", "over", "thread", "value")

    def __init__(self, thread: threading.Thread) -> None:
        self.thread = thread
        self.go = allocate_lock()
        self.go.acquire()
        self.over = False
        self.value: Any = None  # Any: what it was waiting for


class Baton:
    """Who may run: the loop, or one of the helpers.

    Args:
        loop: where it returns to.
        rng: draws how many turns of the loop a thread that could go on has to wait.
        patience: real seconds that a helper may keep it.
    """

    def __init__(self, loop: SimLoop, rng: Random, patience: float | None = None) -> None:
        self.loop = loop
        self._rng = rng
        self._patience = PATIENCE if patience is None else patience
        self._back = allocate_lock()
        self._back.acquire()
        self.helpers: dict[int, Helper] = {}
        self._made = 0

    # -- on the loop -------------------------------------------------------------------------------

    def start(self, helper: Helper) -> None:
        """A thread was started: it shall run when its turn has come."""
        self._made += 1
        self.helpers[self._made] = helper
        self.resume(helper)

    def resume(self, helper: Helper) -> None:
        """Hand the baton to `helper` soon. Whoever holds it may call this."""
        self.loop.soon(self._later, helper, int(self._rng.random() * 3))

    def _later(self, helper: Helper, turns: int) -> None:
        if turns:
            self.loop.soon(self._later, helper, turns - 1)
        else:
            self.hand(helper)

    def hand(self, helper: Helper) -> None:
        """Let `helper` run until it gives the baton back."""
        helper.go.release()
        if not self._back.acquire(timeout=self._patience):
            msg = (
                f"{helper.thread.name} blocks on something that a simulation does not see (a lock, "
                "an event, a sleep of its own); wait with ask() or Reply.get() instead"
            )
            self.loop.fail(SimulationError(msg))

    def end(self) -> list[str]:
        """End the threads that are left; the names of those that will not."""
        for helper in list(self.helpers.values()):
            helper.over = True
            if helper.thread.is_alive():
                self.hand(helper)
        left = [helper.thread for helper in self.helpers.values()]
        return [thread.name for thread in left if thread.is_alive()]

    # -- on a helper -------------------------------------------------------------------------------

    def enter(self, helper: Helper) -> None:
        """The first thing that a thread does."""
        helper.go.acquire()
        self.loop.threads.add(get_ident())
        _here.helper = helper
        waits.lock = lambda: VirtualLock(self)

    def leave(self, helper: Helper) -> None:
        """The last thing that a thread does."""
        self.loop.threads.discard(get_ident())
        for number, each in self.helpers.items():
            if each is helper:
                del self.helpers[number]
                break
        self._back.release()

    def park(self, helper: Helper) -> Any:  # Any: what it waits for
        """Give the baton back until somebody hands it over again."""
        if helper.over:
            raise SimulationOver
        self._back.release()
        helper.go.acquire()
        if helper.over:
            raise SimulationOver
        value, helper.value = helper.value, None
        return value

    def breathe(self) -> None:
        """Let others run for a while, as the operating system would."""
        helper: Helper = _here.helper
        self.resume(helper)
        self.park(helper)

    def sleep(self, seconds: float) -> None:
        """Let that much virtual time pass."""
        helper: Helper = _here.helper
        self.loop.call_later(seconds, self.hand, helper)
        self.park(helper)


class VirtualLock:
    """What a helper waits with in `Reply.get`: a lock, taken once, and released by an answer."""

    __slots__ = ("_baton", "_helper", "_released", "_taken")

    def __init__(self, baton: Baton) -> None:
        self._baton = baton
        self._helper: Helper | None = None
        self._released = self._taken = False

    def acquire(self, *, timeout: float = -1) -> bool:
        """Take it; the second time, wait for `release`."""
        if not self._taken:
            self._taken = True
            return True
        if self._released:
            return True
        helper: Helper = _here.helper
        self._helper = helper
        loop = self._baton.loop
        bell = None if timeout < 0 else loop.call_later(timeout, self._rung)
        self._baton.park(helper)
        if bell is not None:
            bell.cancel()
        return self._released

    def release(self) -> None:
        """The answer is there."""
        self._released = True
        helper, self._helper = self._helper, None
        if helper is not None:
            self._baton.resume(helper)

    def _rung(self) -> None:
        helper, self._helper = self._helper, None
        if helper is not None:
            self._baton.hand(helper)


class BatonQueue:
    """The queue between a threads dispatcher and its threads: which cell is next is drawn."""

    def __init__(self, baton: Baton, rng: Random) -> None:
        self._baton = baton
        self._rng = rng
        self._cells: list[Cell] = []
        self._ends = 0
        self._free: list[Helper] = []
        self._looking = False

    def put(self, cell: Cell | None) -> None:
        """A cell is ready, or (None) a thread shall end."""
        if cell is None:
            self._ends += 1
        else:
            self._cells.append(cell)
        self._look()

    def get(self) -> Cell | None:
        """Wait for one, without the baton."""
        helper: Helper = _here.helper
        self._free.append(helper)
        self._look()
        cell: Cell | None = self._baton.park(helper)
        return cell

    def _look(self) -> None:
        if not self._looking and self._free and (self._cells or self._ends):
            self._looking = True
            self._baton.loop.soon(self._match)

    def _match(self) -> None:
        self._looking = False
        helper = self._free.pop(int(self._rng.random() * len(self._free)))
        if self._cells:
            helper.value = self._cells.pop(int(self._rng.random() * len(self._cells)))
        else:
            self._ends -= 1
        self._look()
        self._baton.hand(helper)


class SimThreads(ThreadsDispatcher):
    """The threads dispatcher with threads that hold a baton."""

    def __init__(self, name: str, size: int, baton: Baton, rng: Random) -> None:
        super().__init__(name, size)
        self.baton = baton
        self._ready = BatonQueue(baton, rng)  # type: ignore[assignment] # what it uses of a queue

    def new_worker(self, name: str) -> Worker:
        """See `ThreadsDispatcher`."""
        return SimWorker(self, name)


class SimWorker(Worker):
    """A thread of `SimThreads`."""

    dispatcher: SimThreads

    def start(self) -> None:
        """See `threading.Thread`; it runs when it is handed the baton."""
        helper = self._helper = Helper(self)
        super().start()
        self.dispatcher.baton.start(helper)

    def run(self) -> None:
        """See `Worker`."""
        baton, helper = self.dispatcher.baton, self._helper
        baton.enter(helper)
        try:
            super().run()
        except SimulationOver:
            pass
        finally:
            baton.leave(helper)
