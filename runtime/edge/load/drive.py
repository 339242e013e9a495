"""Asking what a plan says, with so many agents at a time, until it is done or stopped.

Each agent is a task: it takes the next request, waits until that is due, asks, and counts what
came of it. So the open loop needs no queue: a request that is due while all agents are busy is
taken late by the first that is free, and its time counts from when it was due. Time comes from the
runtime's clock: that of a loop may count in whole milliseconds (uvloop's does).
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator

from understudy.messages.chat import Usage
from understudy.messages.errors import UnderstudyError
from understudy.runtime.edge.load.plan import Plan
from understudy.runtime.edge.load.tally import Tally

LEAST = 1e-5
"""Seconds to sleep, at least: less may not move a clock at all."""
Ask = Callable[[], Awaitable[Usage]]
"""Makes one request; gives what it used, or raises an `UnderstudyError`."""


class Driver:
    """One load test; `tally` may be looked at while it runs.

    Args:
        plan: what is asked when.
        ask: asks once.
        now: monotonic seconds.
    """

    def __init__(self, plan: Plan, ask: Ask, now: Callable[[], float]) -> None:
        self.plan = plan
        self.tally = Tally()
        self._ask = ask
        self._under_way: dict[int, float] = {}
        self._numbers = itertools.count()
        self._tasks: list[asyncio.Task[None]] = []
        self._now = now
        self._stopped = False

    async def run(self) -> bool:
        """Until all is asked and answered; whether it came to that, or was stopped before."""
        loop = asyncio.get_running_loop()
        begin = self.tally.begin = self.tally.end = self._now()
        due = None if self.plan.rate is None else self.plan.schedule()
        if not self._stopped:
            make = self._closed if due is None else lambda: self._open(due, begin)
            self._tasks = [loop.create_task(make()) for _ in range(self.plan.agents)]
        try:
            ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        finally:
            for task in self._tasks:
                task.cancel()
        for each in ended:
            if isinstance(each, BaseException) and not isinstance(each, asyncio.CancelledError):
                raise each
        self._count_what_is_left(due, begin)
        return not self._stopped

    def stop(self) -> None:
        """End it now: nothing more is asked, nobody waits for answers; on the loop's thread."""
        self._stopped = True
        for task in self._tasks:
            task.cancel()

    def _over(self, begin: float) -> bool:
        length = self.plan.duration
        return length is not None and self._now() >= begin + length

    async def _closed(self) -> None:
        begin = self.tally.begin
        counts = itertools.count() if self.plan.requests is None else range(self.plan.requests)
        for _ in counts:
            if self._over(begin):
                return
            await self._one(self._now())

    async def _open(self, due: Iterator[float], begin: float) -> None:
        for offset in due:
            at = begin + offset
            number = next(self._numbers)
            self._under_way[number] = at
            if at <= self._now() and self._over(begin):
                return  # it stays under way: due, and never sent
            # More than once, for a loop whose timers ring a little early.
            while (early := at - self._now()) > 0:  # noqa: ASYNC110 - it is time that it waits for
                await asyncio.sleep(max(early, LEAST))
            del self._under_way[number]
            await self._one(at)

    async def _one(self, due: float) -> None:
        number, sent = next(self._numbers), self._now()
        self._under_way[number] = due
        try:
            usage = await self._ask()
        except UnderstudyError as error:
            self.tally.failure(error, self._now())
        else:
            self.tally.answer(due, sent, self._now(), usage)
        del self._under_way[number]

    def _count_what_is_left(self, due: Iterator[float] | None, begin: float) -> None:
        """What was due by now and has no answer."""
        now = self._now()
        late = (begin + offset for offset in due or ())
        for at in (*self._under_way.values(), *itertools.takewhile(lambda at: at <= now, late)):
            if at <= now:
                self.tally.no_answer(at, now)
