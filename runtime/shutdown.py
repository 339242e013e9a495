"""Shutting down: in order, with one total deadline, and a report.

Dependants first: new runs are refused, open runs finish while everything they use still serves
them, then user actors drain right to left, then the infrastructure, then sockets, threads and the
loop. Until 70 % of the time things may finish; then what is left is cancelled, until 90 %; what is
still there then is abandoned and named. Time that is over still leaves the loop a few turns:
whoever only has to be told ends in them, however late the others made it.

Nothing here polls: whoever ends wakes it, and one bell rings when a phase is over.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import Future as ThreadFuture
from concurrent.futures import InvalidStateError
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from understudy.actors.kernel.body import DRAIN, KILL
from understudy.messages.control import ShutdownReport
from understudy.runtime.blocking import result_of

if TYPE_CHECKING:
    from understudy.actors.kernel.cell import Cell
    from understudy.actors.kernel.system import ActorSystem
    from understudy.runtime.runs import Run

logger = logging.getLogger("understudy.shutdown")
DRAIN_SHARE, CANCEL_SHARE = 0.7, 0.9
_LAST_TURNS = 10
"""Turns of the loop for what was cancelled when the time was over already."""


class Shutdown:
    """One shutdown; `shorten` may be called again while it lasts."""

    def __init__(
        self,
        system: ActorSystem,
        open_runs: dict[int, Run[Any]],  # Any: Result or WorkflowResult
        tear_down: Callable[[], Awaitable[None]],
    ) -> None:
        self._system = system
        self._open_runs = open_runs
        self._open_before = len(open_runs)
        self._tear_down = tear_down
        self._begin = system.now()
        self._seconds = float("inf")
        self._drain = True
        self.failed: str | None = None
        self._changed: asyncio.Event | None = None
        self._task: asyncio.Task[None] | None = None
        self.future: ThreadFuture[ShutdownReport] = ThreadFuture()

    def result(self) -> ShutdownReport:
        """The report; blocks."""
        return result_of(self.future)

    def shorten(self, seconds: float, *, drain: bool) -> None:
        """Be through within `seconds` from now, if that is sooner; cancel now, unless `drain`."""
        self._seconds = min(self._seconds, self._system.now() - self._begin + seconds)
        self._drain = self._drain and drain
        self._system.call_on_loop(self.wake)

    def begin(self) -> None:
        """Start, on the loop's thread."""
        self._changed = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._run())

    def wake(self) -> None:
        """Look again whether a phase is over, on the loop's thread."""
        if self._changed is not None:
            self._changed.set()

    def give_up(self) -> None:
        """The loop was closed: nothing can be done any more but to report."""
        self._system.loop_lost()
        with suppress(InvalidStateError):
            self.future.set_result(self._report(self._left(), 0, len(self._open_runs)))

    async def _run(self) -> None:
        try:
            report = await self._phases()
        except BaseException as error:
            with suppress(InvalidStateError):
                self.future.set_exception(error)
            raise
        with suppress(InvalidStateError):
            self.future.set_result(report)

    async def _phases(self) -> ShutdownReport:
        system = self._system
        await self._until(self._no_runs, draining=True)
        left = list(self._open_runs.values())
        for run in left:
            run.cancel()
        await self._until(self._no_runs)
        for root in (system.user, system.infrastructure):
            await self._end(root)
        abandoned = self._left()
        for path in abandoned:
            logger.error("%s did not end in time and is abandoned", path)
        system.closing = True
        report = self._report(abandoned, max(0, self._open_before - len(left)), len(left))
        await self._tear_down()
        return report

    async def _end(self, root: Cell) -> None:
        reply = root.halt(DRAIN if self._drain else KILL)
        reply.add_done_callback(lambda _: self._system.call_on_loop(self.wake))
        await self._until(lambda: reply.done, draining=True)
        if not reply.done:
            for cell in reversed(self._system.cells()):
                if cell is root or _is_under(cell, root):
                    cell.halt(KILL)
            await self._until(lambda: reply.done)
            await _last_turns(lambda: reply.done)

    def _no_runs(self) -> bool:
        return not self._open_runs

    def _left(self) -> tuple[str, ...]:
        unended = (cell.path for cell in self._system.cells() if not cell.ended)
        return tuple(sorted({*unended, *self._system.left_behind.values()}))

    def _report(self, abandoned: tuple[str, ...], drained: int, cancelled: int) -> ShutdownReport:
        return ShutdownReport(
            ledger=self._system.ledger(),
            drained=drained,
            cancelled=cancelled,
            abandoned=abandoned,
            duration=self._system.now() - self._begin,
            failed=self.failed,
        )

    async def _until(self, condition: Callable[[], bool], *, draining: bool = False) -> None:
        """Wait until `condition` holds, or this phase's share of the time is over."""
        changed = self._changed
        if changed is None:
            return
        while not condition():
            share = (DRAIN_SHARE if self._drain else 0.0) if draining else CANCEL_SHARE
            left = self._begin + self._seconds * share - self._system.now()
            if left <= 0:
                return
            bell = self._system.after(left, changed.set)
            await changed.wait()
            changed.clear()
            bell.cancel()


async def _last_turns(condition: Callable[[], bool]) -> None:
    for _ in range(_LAST_TURNS):
        if condition():
            return
        await asyncio.sleep(0)


def _is_under(cell: Cell, root: Cell) -> bool:
    parent = cell.parent
    while parent is not None and parent is not root:
        parent = parent.parent
    return parent is root
