"""The directory of tools: one per runtime, where agents have their calls made.

Guarantees
- A failure is a result: unknown tools, wrong arguments, exceptions, timeouts, results that do not
  encode. Results come in the order of the calls, each with the id of its call.
- Time is bounded wherever a tool runs: on the loop it is cancelled, a thread is abandoned and
  replaced, a process is killed.
- Bounds hold: `max_concurrent` calls of a turn at a time, those of each tool in this runtime, its
  rate, its breaker. A tool with `parallel=False` runs alone within its turn, in its place.
- Retries have one owner, this; only what may happen twice is tried again, within a budget.
- Nested work never waits for what an ancestor holds: not for threads (one set for each depth), not
  for slots (they are lent).

Runs on the loop's thread alone.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from itertools import groupby
from typing import Any, NamedTuple

import msgspec

from understudy.actors.kernel.options import ChildSpec
from understudy.actors.kernel.run_context import RunContext
from understudy.actors.kernel.system import ActorSystem
from understudy.actors.rules.gcra import Gcra
from understudy.actors.tools.defaults import ToolDefaults
from understudy.actors.tools.gate import Lease, pause
from understudy.actors.tools.hands import Hands, held
from understudy.actors.tools.rendering import Tried, explain
from understudy.actors.tools.station import Station
from understudy.actors.tools.table import ToolTable, specs_of
from understudy.messages.chat import ToolCall
from understudy.messages.errors import ConfigError, ToolError
from understudy.messages.tools import CallTool, ToolResult, ToolSpec

logger = logging.getLogger("understudy.tools")

KEPT = 512
"""Tables that are kept for the next run."""

_OPTIONS = tuple(
    field for field in ToolSpec.__struct_fields__ if field not in ("function", "parameters")
)
"""What of a spec can be hashed as it is."""

Started = Callable[[ToolCall], Awaitable[None]]
Finished = Callable[[ToolResult], Awaitable[None]]


class ToolDirectory:
    """See the module's docstring.

    Args:
        system: where the actors live.
        defaults: what holds for tools that do not say otherwise.
        process_worker: makes the actor of a worker process.
        passing: exceptions that steer the run: they are raised, and end the other calls.
    """

    def __init__(
        self,
        system: ActorSystem,
        *,
        defaults: ToolDefaults,
        process_worker: ChildSpec,
        passing: tuple[type[BaseException], ...] = (),
    ) -> None:
        self._system = system
        self._defaults = defaults
        self._passing = passing
        self._hands = Hands(system, process_worker)
        self._tables: OrderedDict[tuple[int, ...], tuple[tuple[Any, ...], ToolTable]] = (
            OrderedDict()
        )
        self._stations: weakref.WeakValueDictionary[Any, Station] = weakref.WeakValueDictionary()

    def table(self, tools: tuple[Any, ...]) -> ToolTable:  # Any: see `specs_of`
        """The table of these tools; made once for the same ones.

        Raises:
            ConfigError: says which of them is no tool, or wrong, and why.
        """
        # The entry holds the tools, so while it is there nobody else has their ids.
        key = tuple(map(id, tools))
        found = self._tables.get(key)
        if found is not None:
            self._tables.move_to_end(key)
            return found[1]
        table = ToolTable(specs_of(tools), self._station)
        self._tables[key] = (tools, table)
        if len(self._tables) > KEPT:
            self._tables.popitem(last=False)
        return table

    async def call(
        self,
        table: ToolTable,
        calls: tuple[ToolCall, ...],
        *,
        timeout: float | None,
        max_concurrent: int,
        context: RunContext | None,
        started: Started | None = None,
        finished: Finished | None = None,
    ) -> tuple[ToolResult, ...]:
        """Make the calls of one turn; see `actors.agents.ports.Tools`."""
        if max_concurrent < 1:
            raise ConfigError(f"max_concurrent={max_concurrent}: at least 1 is needed")
        if timeout is not None and not timeout > 0:
            raise ConfigError(f"timeout={timeout}: more than 0 seconds are needed")
        turn = _Turn(self, table, timeout, context, started, finished)
        if len(calls) == 1:
            return (await turn.one(calls[0]),)
        results: list[ToolResult] = []
        for together in _batches(table, calls):
            results += await _in_parallel(turn, together, max_concurrent)
        return tuple(results)

    async def perform(
        self, station: Station, call: ToolCall, timeout: float | None, context: RunContext | None
    ) -> ToolResult:
        """One call with its retries, as a result."""
        begin = self._system.now()
        tried, attempts = await self._with_retries(station, call, timeout, context)
        error = tried.error
        duration = self._system.now() - begin
        if error is None and tried.rendered is not None:
            value, content = tried.rendered
            return ToolResult(
                call_id=call.id,
                name=call.name,
                content=content,
                value=value,
                duration=duration,
                attempts=attempts,
            )
        if error is None or isinstance(error, self._passing):
            raise error or AssertionError("an attempt ends with a value or an error")
        logger.debug("tool %s failed", call.name, exc_info=error)
        return failure(call, explain(error), duration=duration, attempts=attempts)

    async def _with_retries(
        self, station: Station, call: ToolCall, timeout: float | None, context: RunContext | None
    ) -> tuple[Tried, int]:
        """How the last attempt ended, and how many the function has seen."""
        try:
            if station.signature is None:
                await station.load(self._hands.load)
            arguments = station.bind(call.arguments, context)
        except ToolError as error:
            return Tried(error=error), 0
        message = CallTool(tool=station.spec, call=call, arguments=arguments)
        seconds = station.spec.timeout or timeout or self._defaults.timeout
        attempts = 0
        station.called()
        while True:
            refused, lease = await self._admit(station, seconds)
            if refused is not None:
                return Tried(error=refused), attempts
            attempts += 1
            tried = await self._attempt(station, message, seconds, context, lease)
            if tried.error is None or isinstance(tried.error, self._passing):
                return tried, attempts
            delay = station.retry_in(attempts, tried)
            if delay is None:
                return tried, attempts
            await pause(self._system, delay)

    async def _admit(
        self, station: Station, patience: float
    ) -> tuple[ToolError | None, Lease | None]:
        """Whether a call may be made now, or after waiting: the refusal, or the slot if any."""
        system, name = self._system, station.spec.name
        breaker = station.breaker
        if breaker is not None and not breaker.allow(system.now()):
            wait = breaker.retry_after(system.now())
            told = f"The tool {name!r} has failed too often; try again in {wait:.1f} s"
            return ToolError(told, retry_after=wait), None
        lease = None
        try:
            if station.gate is not None:
                lease = await station.gate.enter(held(), patience)
                if lease is None:
                    told = f"The tool {name!r} is busy: there was no slot within {patience:g} s"
                    return self._refused(station, told), None
            rate = station.rate
            if rate is not None:
                wait = rate.wait(system.now(), 1)
                if wait > patience:
                    told = f"The tool {name!r} is called too often; try again in {wait:.1f} s"
                    return self._refused(station, told, lease), None
                rate.take(system.now(), 1)
                if wait > 0:
                    await self._turn_of(rate, wait)
        except BaseException:
            self._refused(station, "", lease)
            raise
        return None, lease

    async def _turn_of(self, rate: Gcra, wait: float) -> None:
        """Wait for a turn that was taken, or give it back."""
        try:
            await pause(self._system, wait)
        except BaseException:
            rate.give_back(1)
            raise

    def _refused(self, station: Station, told: str, lease: Lease | None = None) -> ToolError:
        """Undo what was taken for a call that will not be made."""
        if station.breaker is not None:
            station.breaker.forgo()
        if lease is not None:
            lease.gate.leave()
        return ToolError(told)

    async def _attempt(
        self,
        station: Station,
        message: CallTool,
        seconds: float,
        context: RunContext | None,
        lease: Lease | None,
    ) -> Tried:
        breaker, ok = station.breaker, None
        try:
            if station.spec.isolation == "process":
                tried = await self._hands.call_in_process(message, seconds, context)
            else:
                tried = await self._hands.call(message, seconds, lease)
            ok = self._is_well(tried.error)
        finally:
            if lease is not None:
                lease.gate.leave()
            if breaker is not None:
                if ok is None:
                    breaker.forgo()
                else:
                    breaker.record(self._system.now(), ok=ok)
        if not tried.in_time:
            told = f"The tool {message.tool.name!r} did not return within {seconds:g} s."
            return Tried(error=ToolError(told), in_time=False)
        return tried

    def _is_well(self, error: BaseException | None) -> bool:
        """Whether a tool does what it should: what it says on purpose is no failure of it."""
        if isinstance(error, ToolError):
            return not error.retryable
        return error is None or isinstance(error, self._passing)

    def _station(self, spec: ToolSpec) -> Station:
        """What is kept about a tool, found again by all that it says."""
        said = (
            msgspec.json.encode(spec.parameters, order="deterministic"),
            *(getattr(spec, field) for field in _OPTIONS),
        )
        key: Any = (spec.function, *said)
        try:
            station = self._stations.get(key)
        except TypeError:  # a function that cannot be hashed: it is known by itself
            key = (id(spec.function), *said)
            station = self._stations.get(key)
        if station is None:
            station = self._stations[key] = Station(self._system, spec, self._defaults)
        return station


class _Turn(NamedTuple):
    """The calls of one turn: what they have in common."""

    directory: ToolDirectory
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
        else:
            result = await self.directory.perform(station, call, self.timeout, self.context)
        if self.finished is not None:
            await self.finished(result)
        return result


def failure(call: ToolCall, text: str, *, duration: float = 0.0, attempts: int = 0) -> ToolResult:
    """A result that says what went wrong, to the model and to the caller alike."""
    return ToolResult(
        call_id=call.id,
        name=call.name,
        content=text,
        error=text,
        duration=duration,
        attempts=attempts,
    )


def _batches(table: ToolTable, calls: tuple[ToolCall, ...]) -> Iterator[list[ToolCall]]:
    """What may run together: a call that has to run alone is a batch of its own."""

    def alone(numbered: tuple[int, ToolCall]) -> int:
        station = table.stations.get(numbered[1].name)
        return -1 if station is None or station.spec.parallel else numbered[0]

    for _, batch in groupby(enumerate(calls), alone):
        yield [call for _, call in batch]


async def _in_parallel(turn: _Turn, calls: list[ToolCall], max_concurrent: int) -> list[ToolResult]:
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
