"""The directory of tools: one per runtime, where agents have their calls made.

Guarantees
- A failure is a result: unknown tools, wrong arguments, exceptions, timeouts, results that do not
  encode. Results come in the order of the calls, each with the id of its call.
- Time is bounded wherever a tool runs: on the loop it is cancelled, a thread is abandoned and
  replaced, a process is killed.
- Bounds hold: `max_concurrent` calls of a turn at a time, those of each tool in this runtime, its
  rate, its breaker. A tool with `parallel=False` runs alone within its turn, in its place.
- Only what may happen twice is tried again, within a budget (see `attempts`).
- Nested work never waits for what an ancestor holds: not for threads (one set for each depth), not
  for slots (they are lent).

Runs on the loop's thread alone.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import msgspec

from understudy.actors.kernel.options import ChildSpec
from understudy.actors.kernel.run_context import RunContext
from understudy.actors.kernel.system import ActorSystem
from understudy.actors.tools.attempts import Attempts
from understudy.actors.tools.caching import ResultCache
from understudy.actors.tools.defaults import ToolDefaults
from understudy.actors.tools.hands import Hands
from understudy.actors.tools.station import Shared, Station
from understudy.actors.tools.table import ToolTable, specs_of
from understudy.actors.tools.turn import Finished, Started, Turn
from understudy.messages.caches import CacheSpec
from understudy.messages.chat import ToolCall
from understudy.messages.errors import ConfigError
from understudy.messages.tools import ToolResult, ToolSpec

KEPT = 512
"""Tables that are kept for the next run."""

_OPTIONS = tuple(
    field for field in ToolSpec.__struct_fields__ if field not in ("function", "parameters")
)
"""What of a spec can be hashed as it is."""


class ToolDirectory:
    """See the module's docstring.

    Args:
        system: where the actors live.
        defaults: what holds for tools that do not say otherwise.
        process_worker: makes the actor of a worker process.
        passing: exceptions that steer the run: they are raised, and end the other calls.
        caches: the cache of a tool that brings its own, or the one that all others share.
    """

    def __init__(
        self,
        system: ActorSystem,
        *,
        defaults: ToolDefaults,
        process_worker: ChildSpec,
        passing: tuple[type[BaseException], ...] = (),
        caches: Callable[[CacheSpec | None], ResultCache],
    ) -> None:
        self._system = system
        self._defaults = defaults
        self._hands = Hands(system, process_worker)
        self._shared = Shared.of(system, defaults)
        self._passing = passing
        self._caches = caches
        self._attempts = Attempts(system, self._hands, defaults, passing, caches)
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

    def reconfigure(self, defaults: ToolDefaults) -> None:
        """Other defaults for runs that begin from now on. On the loop's thread.

        Runs that are under way keep the tools as they were, slots and breakers included.
        """
        self._defaults = defaults
        self._shared = Shared.of(self._system, defaults)
        self._attempts = Attempts(self._system, self._hands, defaults, self._passing, self._caches)
        self._tables.clear()
        self._stations = weakref.WeakValueDictionary()

    def open_breakers(self) -> list[str]:
        """Names of the tools that are not called at this instant. Any thread: it only looks."""
        now = self._system.now()
        stations = [reference() for reference in self._stations.valuerefs()]
        return [
            station.spec.name
            for station in stations
            if station is not None
            and station.breaker is not None
            and station.breaker.state(now) == "open"
        ]

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
        turn = Turn(self._attempts, table, timeout, context, started, finished)
        return await turn.all(calls, max_concurrent)

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
            station = self._stations[key] = Station(
                self._system, spec, self._defaults, self._shared
            )
        return station
