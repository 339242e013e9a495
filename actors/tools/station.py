"""What a runtime keeps about one tool: its function, once loaded, and its bounds.

Runs on the loop's thread alone.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Any, NamedTuple

import msgspec

from understudy.actors.kernel.run_context import RunContext
from understudy.actors.kernel.system import ActorSystem
from understudy.actors.rules.breaker import Breaker
from understudy.actors.rules.gcra import Gcra
from understudy.actors.rules.retries import RetryBudget, RetryPolicy, retry_delay
from understudy.actors.tools.caching import caching_of
from understudy.actors.tools.defaults import ToolDefaults
from understudy.actors.tools.describe import check
from understudy.actors.tools.gate import Gate
from understudy.actors.tools.rendering import Tried
from understudy.actors.tools.signature import Function, Signature, is_async
from understudy.messages.errors import ToolError, UnderstudyError
from understudy.messages.functions import FunctionRef, load_function
from understudy.messages.tools import Isolation, ToolSpec

Loader = Callable[[ToolSpec], Awaitable[tuple[ToolSpec, Signature]]]
"""Runs `loaded` where it may block."""
_numbers = itertools.count(1)
BACKOFF_MIN, BACKOFF_MAX = 0.1, 5.0


class Shared(NamedTuple):
    """`[tools] max_concurrent` and `rate_limit`: what tools without bounds of their own share."""

    gate: Gate | None = None
    rate: Gcra | None = None

    @classmethod
    def of(cls, system: ActorSystem, defaults: ToolDefaults) -> Shared:
        """Fresh ones."""
        slots, rate = defaults.max_concurrent, defaults.rate_limit
        return cls(
            gate=None if slots is None else Gate(system, slots),
            rate=None if rate is None else Gcra(rate, 1.0, rate),
        )


class Station:
    """See the module's docstring.

    Raises:
        ConfigError: the function cannot be described.
    """

    __slots__ = (
        "__weakref__",
        "_budget",
        "_defaults",
        "_loading",
        "_policy",
        "_shared",
        "_system",
        "breaker",
        "caching",
        "gate",
        "number",
        "rate",
        "signature",
        "spec",
    )

    def __init__(
        self, system: ActorSystem, spec: ToolSpec, defaults: ToolDefaults, shared: Shared
    ) -> None:
        self._system = system
        self._defaults = defaults
        self._shared = shared
        self.number = next(_numbers)
        """Its own, never used again."""
        self._loading: asyncio.Task[None] | None = None
        self._budget = RetryBudget()
        self.breaker = None if defaults.breaker is None else Breaker(defaults.breaker)
        self.signature: Signature | None = None
        if not isinstance(spec.function, FunctionRef):
            self.signature = Signature(spec.function, spec.name)
            spec = placed(spec, spec.function)
        self._settle(spec)

    def _settle(self, spec: ToolSpec) -> None:
        """Take the tool's own bounds, or the defaults."""
        self.spec = spec
        system, defaults = self._system, self._defaults
        self.caching = caching_of(spec, self.signature, defaults.cache)
        slots, rate = spec.max_concurrent, spec.rate_limit
        self.gate = self._shared.gate if slots is None else Gate(system, slots)
        self.rate = self._shared.rate if rate is None else Gcra(rate, 1.0, rate)
        self._policy = RetryPolicy(
            attempts=1 + _retries(spec, defaults), backoff_min=BACKOFF_MIN, backoff_max=BACKOFF_MAX
        )

    @property
    def loaded(self) -> bool:
        """Whether the function is there."""
        return self.signature is not None

    def called(self) -> None:
        """A first attempt begins."""
        if self._policy.attempts > 1:
            self._budget.called()

    def bind(self, arguments: Any, context: RunContext | None) -> dict[str, Any]:  # Any: JSON
        """The arguments as the function takes them.

        Raises:
            ToolError: says what is wrong with each, or that the tool is not loaded.
        """
        if self.signature is None:
            raise ToolError(f"The tool {self.spec.name!r} is not loaded.")
        return self.signature.bind(arguments, context)

    def retry_in(self, attempts: int, tried: Tried) -> float | None:
        """Seconds until the next attempt after `attempts` of them; None when there is none."""
        error = tried.error
        if self._policy.attempts <= attempts or (tried.in_time and not _may_help(error)):
            return None
        asked = error.retry_after if isinstance(error, UnderstudyError) else None
        delay = retry_delay(self._policy, attempts, self._system.random.random(), asked)
        return delay if delay is not None and self._budget.spend() else None

    async def load(self, run: Loader) -> None:
        """Import the function, once for all who ask meanwhile; a failure is tried again later.

        Raises:
            ToolError: it cannot be imported, or is no tool.
        """
        if self._loading is None:
            # In an empty context: the first who asks may give up, and the others still want it.
            begin = self._system.loop.create_task
            self._loading = Context().run(begin, self._load(run))
        try:
            await asyncio.shield(self._loading)
        except UnderstudyError as error:
            name = self.spec.name
            raise ToolError(f"The tool {name!r} cannot be loaded: {error.message}") from error

    async def _load(self, run: Loader) -> None:
        try:
            spec, self.signature = await run(self.spec)
            self._settle(spec)
        finally:
            self._loading = None


def loaded(spec: ToolSpec) -> tuple[ToolSpec, Signature]:
    """A lazy tool with its function, and with the schema that it really has.

    Raises:
        ConfigError: it cannot be imported, or is no tool.
    """
    function: Any = spec.function  # Any: a path, or what it names
    if isinstance(function, FunctionRef):
        function = load_function(function.path)
    if isinstance(function, ToolSpec):  # made with `@tool`: its options are what counts
        made = function
        function = made.function
        spec = msgspec.structs.replace(made, name=spec.name)
    signature = Signature(function, spec.name)
    spec = msgspec.structs.replace(
        spec,
        function=function,
        parameters=signature.parameters,
        description=spec.description or signature.description,
    )
    spec = placed(spec, function)
    check(spec)
    return spec, signature


def placed(spec: ToolSpec, function: Function) -> ToolSpec:
    """A tool that says where it runs."""
    if spec.isolation is not None:
        return spec
    chosen: Isolation = "inline" if is_async(function) else "thread"
    return msgspec.structs.replace(spec, isolation=chosen)


def _retries(spec: ToolSpec, defaults: ToolDefaults) -> int:
    if spec.retries is not None:
        return spec.retries
    return defaults.max_retries if spec.effects in ("none", "idempotent") else 0


def _may_help(error: BaseException | None) -> bool:
    """Whether trying again may help: nobody below has given up, and it is not said on purpose."""
    if isinstance(error, UnderstudyError):
        return error.retryable
    return isinstance(error, Exception)
