"""The calls of one turn of a model: beside one another, in order where a tool runs alone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from itertools import groupby
from typing import NamedTuple

from understudy.actors.kernel.run_context import RunContext
from understudy.actors.tools.attempts import Attempts, failure
from understudy.actors.tools.table import ToolTable
from understudy.messages.chat import ToolCall
from understudy.messages.tools import ToolResult

Started = Callable[[ToolCall], Awaitable[None]]
Finished = Callable[[ToolResult], Awaitable[None]]


class Turn(NamedTuple):
    """The calls of one turn: what they have in common."""

    attempts: Attempts
    table: ToolTable
    timeout: float | None
    context: RunContext | None
    started: Started | None
    finished: Finished | None

    async def one(self, call: ToolCall) -> ToolResult:
        """Make one call."""
        if self.started is not None:
            await self.started(call)
        station = self.table.stations.get(call.name)
        if station is None:
            result = failure(call, self.table.unknown(call.name))
        elif call.problem is not None:
            result = failure(call, call.problem)
        else:
            result = await self.attempts.perform(station, call, self.timeout, self.context)
        if self.finished is not None:
            await self.finished(result)
        return result

    async def all(self, calls: tuple[ToolCall, ...], max_concurrent: int) -> tuple[ToolResult, ...]:
        """Make them all; results in their order."""
        if len(calls) == 1:
            return (await self.one(calls[0]),)
        results: list[ToolResult] = []
        for together in _batches(self.table, calls):
            results += await _in_parallel(self, together, max_concurrent)
        return tuple(results)


def _batches(table: ToolTable, calls: tuple[ToolCall, ...]) -> Iterator[list[ToolCall]]:
    """What may run together: a call that has to run alone is a batch of its own."""

    def alone(numbered: tuple[int, ToolCall]) -> int:
        station = table.stations.get(numbered[1].name)
        return -1 if station is None or station.spec.parallel else numbered[0]

    for _, batch in groupby(enumerate(calls), alone):
        yield [call for _, call in batch]


async def _in_parallel(turn: Turn, calls: list[ToolCall], max_concurrent: int) -> list[ToolResult]:
    """At most so many at a time; the first exception ends the others and is raised."""
    if len(calls) == 1:
        return [await turn.one(calls[0])]
    results: dict[int, ToolResult] = {}
    waiting = iter(enumerate(calls))

    async def work() -> None:
        for index, call in waiting:
            results[index] = await turn.one(call)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(max_concurrent, len(calls))):
                group.create_task(work())
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [results[index] for index in range(len(calls))]
