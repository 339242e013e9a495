"""Shutting down: in order, with one total deadline, and a report.

Dependants first: new runs are refused, open runs finish while everything they use still serves them,
then user actors drain right to left, then the infrastructure, then sockets, threads and the loop.
Until 70 % of the time things may finish; then what is left is cancelled, until 90 %; what is still
there then is abandoned and named.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import Future as ThreadFuture
from typing import TYPE_CHECKING, Any

from understudy.actors.kernel.ending import DRAIN, KILL
from understudy.messages.control import ShutdownReport

if TYPE_CHECKING:
    from understudy.actors.kernel.cell import Cell
    from understudy.actors.kernel.system import ActorSystem
    from understudy.runtime.runs import Run

logger = logging.getLogger("understudy.shutdown")
DRAIN_SHARE, CANCEL_SHARE = 0.7, 0.9


class Shutdown:
    """One shutdown; `shorten` may be called again while it lasts."""

    def __init__(
        self,
        system: ActorSystem,
        open_runs: dict[int, Run[Any]],
        tear_down: Callable[[], Awaitable[None]],
    ) -> None:
        self._system = system
        self._open_runs = open_runs
        self._tear_down = tear_down
        self._begin = system.now()
        self._seconds = float("inf")
        self._drain = True
        self._changed: asyncio.Event | None = None
        self._task: asyncio.Task[None] | None = None
        self.future: ThreadFuture[ShutdownReport] = ThreadFuture()

    def result(self) -> ShutdownReport:
        """The report; blocks."""
        return self.future.result()

    def shorten(self, seconds: float, drain: bool) -> None:  # noqa: FBT001 - internal
        """Be through within `seconds` from now, if that is sooner; `drain=False` cancels at once."""
        self._seconds = min(self._seconds, self._system.now() - self._begin + seconds)
        self._drain = self._drain and drain
        self._system.call_on_loop(self._wake)

    def begin(self) -> None:
        """Start, on the loop's thread."""
        self._changed = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._run())

    def _wake(self) -> None:
        if self._changed is not None:
            self._changed.set()

    async def _run(self) -> None:
        try:
            report = await self._phases()
        except BaseException as error:
            self.future.set_exception(error)
            raise
        self.future.set_result(report)

    async def _phases(self) -> ShutdownReport:
        system = self._system
        open_before = len(self._open_runs)
        await self._until(self._no_runs, DRAIN_SHARE if self._drain else 0.0)
        left = list(self._open_runs.values())
        for run in left:
            run.cancel()
        await self._until(self._no_runs, CANCEL_SHARE)
        for root in (system.user, system.infrastructure):
            await self._end(root)
        unended = (cell.path for cell in system.cells() if not cell.ended)
        abandoned = tuple(sorted({*unended, *system.left_behind.values()}))
        for path in abandoned:
            logger.error("%s did not end in time and is abandoned", path)
        system.closing = True
        ledger = system.ledger()
        await self._tear_down()
        return ShutdownReport(
            ledger=ledger,
            drained=open_before - len(left),
            cancelled=len(left),
            abandoned=abandoned,
            duration=system.now() - self._begin,
        )

    async def _end(self, root: Cell) -> None:
        reply = root.halt(DRAIN if self._drain else KILL)
        await self._until(lambda: reply.done, DRAIN_SHARE if self._drain else 0.0)
        if not reply.done:
            for cell in reversed(self._system.cells()):
                cell.halt(KILL)
            await self._until(lambda: reply.done, CANCEL_SHARE)

    def _no_runs(self) -> bool:
        return not self._open_runs

    async def _until(self, condition: Callable[[], bool], share: float) -> None:
        """Wait until `condition` holds, or this share of the time is over."""
        assert self._changed is not None
        while not condition():
            left = self._begin + self._seconds * share - self._system.now()
            if left <= 0:
                return
            bell = self._system.after(min(left, 0.01), self._changed.set)
            await self._changed.wait()
            self._changed.clear()
            bell.cancel()
