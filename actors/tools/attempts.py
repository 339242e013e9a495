"""One call, from its arguments to its result: admitted, attempted, tried again where that helps.

Retries have one owner, this. Only what may happen twice is tried again, and within a budget. An
attempt needs a slot, a turn of the tool's rate and the breaker's consent; whatever was taken for
one that is not made is given back, also when who wanted it is cancelled.

Runs on the loop's thread alone.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable

from understudy.actors.kernel.run_context import RunContext
from understudy.actors.kernel.system import ActorSystem
from understudy.actors.rules.gcra import Gcra
from understudy.actors.tools.caching import Ended, ResultCache
from understudy.actors.tools.defaults import ToolDefaults
from understudy.actors.tools.gate import Lease, pause
from understudy.actors.tools.hands import Hands, held
from understudy.actors.tools.rendering import Rendered, Tried, explain
from understudy.actors.tools.station import Station
from understudy.messages.caches import Cached, CacheSpec
from understudy.messages.chat import ToolCall
from understudy.messages.errors import ToolError
from understudy.messages.tools import CallTool, ToolResult

logger = logging.getLogger("understudy.tools")


class Attempts:
    """Makes calls, one at a time for each that asks; arguments as for `ToolDirectory`."""

    def __init__(
        self,
        system: ActorSystem,
        hands: Hands,
        defaults: ToolDefaults,
        passing: tuple[type[BaseException], ...],
        caches: Callable[[CacheSpec | None], ResultCache],
    ) -> None:
        self._system = system
        self._hands = hands
        self._defaults = defaults
        self._passing = passing
        self._caches = caches
        self._told: weakref.WeakSet[Station] = weakref.WeakSet()

    async def perform(
        self, station: Station, call: ToolCall, timeout: float | None, context: RunContext | None
    ) -> ToolResult:
        """One call with its retries, or what is kept of an earlier one, as a result."""
        begin = self._system.now()
        cached: Cached | None = None
        unready = None if station.loaded else await self._unready(station)
        if unready is not None:
            tried, attempts = Tried(error=unready), 0
        elif station.caching is None or self._leaves_out(station):
            tried, attempts = await self._with_retries(station, call, timeout, context)
        else:
            tried, attempts, cached = await self._cached(station, call, timeout, context)
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
                cached=cached,
            )
        if error is None or isinstance(error, self._passing):
            raise error or AssertionError("an attempt ends with a value or an error")
        logger.debug("tool %s failed", call.name, exc_info=error)
        return failure(call, explain(error), duration=duration, attempts=attempts)

    async def _unready(self, station: Station) -> ToolError | None:
        """Why a lazy tool cannot be called."""
        try:
            await station.load(self._hands.load)
        except ToolError as error:
            return error
        return None

    def _leaves_out(self, station: Station) -> bool:
        """Whether its results are not kept although `[tools.cache]` is on; says so once."""
        caching = station.caching
        if caching is None or caching.left_out is None:
            return False
        if station not in self._told:
            self._told.add(station)
            logger.info("tool %s is not cached: %s", station.spec.name, caching.left_out)
        return True

    async def _cached(
        self, station: Station, call: ToolCall, timeout: float | None, context: RunContext | None
    ) -> tuple[Tried, int, Cached | None]:
        """As `_with_retries`, unless the result is kept or somebody else is having it made."""

        async def work() -> Ended:
            tried, attempts = await self._with_retries(station, call, timeout, context)
            return tried.rendered if tried.error is None else None, (tried, attempts)

        caching = station.caching
        if caching is None:
            raise AssertionError("a tool whose results are kept says how")
        name = station.spec.name
        cache = self._caches(caching.own)
        (rendered, rest), cached = await cache.perform(
            name, station.number, call.arguments, work, caching.ttl
        )
        if rest is not None:
            tried, attempts = rest
            return tried, attempts if cached is None else 0, cached
        return Tried(rendered=None if rendered is None else Rendered(*rendered)), 0, cached

    async def _with_retries(
        self, station: Station, call: ToolCall, timeout: float | None, context: RunContext | None
    ) -> tuple[Tried, int]:
        """How the last attempt ended, and how many the function has seen."""
        try:
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
