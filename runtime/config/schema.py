"""What a configuration can say: one struct for each table of the file.

The structs are the schema: their fields are the only keys, their types what the values must be.
They hold what is in force after merging, with `origins` saying where each value came from.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from understudy.actors.models.choice import TransportName
from understudy.actors.rules.breaker import BreakerPolicy
from understudy.actors.tools.defaults import CachedTools, ToolDefaults
from understudy.messages.agents import AgentSpec, ApiKey
from understudy.messages.budgets import Price
from understudy.messages.caches import CacheSpec, Semantic
from understudy.messages.limits import Limit
from understudy.messages.memories import WEEK, MemorySpec, RagOptions
from understudy.messages.streams import StreamOptions
from understudy.runtime.config.durations import Duration as Duration  # noqa: PLC0414
from understudy.runtime.config.durations import Interval as Interval  # noqa: PLC0414
from understudy.runtime.config.flows import StepConfig as StepConfig  # noqa: PLC0414
from understudy.runtime.config.flows import WorkflowConfig as WorkflowConfig  # noqa: PLC0414

Count = Annotated[int, msgspec.Meta(ge=1)]
Whole = Annotated[int, msgspec.Meta(ge=0)]
Temperature = Annotated[float, msgspec.Meta(ge=0)]
Rate = Annotated[float, msgspec.Meta(gt=0)]
Dollars = Annotated[float, msgspec.Meta(ge=0)]
INMEMORY = "inmemory"


class LlmCacheConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[llm.cache]`: answers at temperature 0 are kept; see `CacheSpec`."""

    enabled: bool = True
    ttl: Duration = 600.0
    max_size: Count = 1000
    semantic: Semantic | None = None


class LlmConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[llm]`: what agents use that do not say otherwise; `transport` is the Runtime's own."""

    model: str | None = None
    base_url: str | None = None
    api_key: ApiKey = None
    temperature: Temperature | None = None
    max_tokens: Count | None = None
    transport: TransportName = "auto"
    cache: LlmCacheConfig | None = None

    @property
    def default_cache(self) -> CacheSpec | None:
        """The cache of agents that do not say."""
        cache = self.cache
        if cache is None or not cache.enabled:
            return None
        return CacheSpec(ttl=cache.ttl, max_size=cache.max_size, semantic=cache.semantic)


class RuntimeConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[runtime]`: the bounds of one Runtime; `shutdown` is its total deadline in seconds."""

    workers: Count = 1_000
    threads: Count = 32
    max_runs: Count = 10_000
    shutdown: Duration = 25.0


class BreakerConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[tools.circuit_breaker]`: when to stop calling a tool that fails; see `BreakerPolicy`.

    Attributes:
        open: how long no calls are made at first; `max_open` is the longest.
    """

    enabled: bool = True
    window: Duration = 20.0
    min_calls: Count = 10
    failure_rate: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.5
    open: Duration = 5.0
    max_open: Duration = 60.0
    probes: Count = 3

    @property
    def policy(self) -> BreakerPolicy | None:
        """As the rule takes it; None when it is not enabled."""
        if not self.enabled:
            return None
        return BreakerPolicy(
            window=self.window,
            min_calls=self.min_calls,
            failure_rate=self.failure_rate,
            open_for=self.open,
            max_open=self.max_open,
            probes=self.probes,
        )


class ToolsCacheConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[tools.cache]`: results of tools whose effects allow it are kept.

    Attributes:
        enabled: False: only those of tools with a `cache=` of their own.
        ttl: how long, where the tool does not say.
        max_size: results of all tools together.
        include: names of tools that do not say what happens when they run; `*`: all of those.
    """

    enabled: bool = True
    ttl: Duration = 300.0
    max_size: Count = 1000
    include: tuple[str, ...] = ()

    @property
    def switch(self) -> CachedTools | None:
        """As the directory of tools takes it; None when it is not enabled."""
        return CachedTools(ttl=self.ttl, include=self.include) if self.enabled else None

    @property
    def spec(self) -> CacheSpec:
        """The cache that all tools share which do not bring their own."""
        return CacheSpec(ttl=self.ttl, max_size=self.max_size)


class ToolsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[tools]`: tools that do not say otherwise; see `ToolDefaults`.

    Attributes:
        timeout: for each attempt, where neither the tool nor its caller says.
        max_retries: further attempts of tools whose `effects` allow it.
        rate_limit, max_concurrent: calls a second, and at a time, of all tools together that have
            no bound of their own.
        circuit_breaker: a table; there is a breaker for each tool when it is there.
        cache: a table; results of tools are kept when it is there.
    """

    timeout: Duration = 30.0
    max_retries: Annotated[int, msgspec.Meta(ge=0)] = 0
    rate_limit: Annotated[float, msgspec.Meta(gt=0)] | None = None
    max_concurrent: Count | None = None
    circuit_breaker: BreakerConfig | None = None
    cache: ToolsCacheConfig = ToolsCacheConfig(enabled=False)

    @property
    def defaults(self) -> ToolDefaults:
        """As the directory of tools takes them."""
        return ToolDefaults(
            timeout=self.timeout,
            max_retries=self.max_retries,
            rate_limit=self.rate_limit,
            max_concurrent=self.max_concurrent,
            breaker=None if self.circuit_breaker is None else self.circuit_breaker.policy,
            cache=self.cache.switch,
        )


class StreamingConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[streaming]`: streams that do not say otherwise; see `StreamOptions`.

    Attributes:
        timeout: a stream that nobody reads for so long is cancelled.
    """

    buffer_size: Count = 100
    flush_interval: Interval = 0.1
    text_only: bool = False
    timeout: Duration = 300.0

    @property
    def options(self) -> StreamOptions:
        """How they are buffered."""
        return StreamOptions(
            buffer_size=self.buffer_size,
            flush_interval=self.flush_interval,
            text_only=self.text_only,
        )


class AgentConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[agents.NAME]`: the fields of an `AgentSpec`, with its bounds.

    Attributes:
        output: the import path of a type, `package.module:City`.
        tools: import paths of functions and tools.
        cache: for how long its answers are kept.
    """

    model: str | None = None
    instructions: str | None = None
    output: str | None = None
    tools: tuple[str, ...] = ()
    temperature: Temperature | None = None
    max_tokens: Count | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    max_turns: Count = 10
    tool_timeout: Duration | None = None
    tool_concurrency: Count = 8
    rate_limit: Rate | None = None
    max_concurrent: Count | None = None
    history_limit: Whole | None = None
    context_window: Count | None = None
    keep_first: bool = False
    retries: Whole | None = None
    fallback: tuple[str, ...] = ()
    cache: Duration | None = None
    timeout: Duration | None = None
    base_url: str | None = None
    api_key: ApiKey = None
    extra: dict[str, Any] = {}  # Any: JSON values of the provider's own


class LimitConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[limits."provider:model"]`: what may be asked of an account; see `Limit`."""

    requests_per_second: Rate | None = None
    requests_per_minute: Rate | None = None
    tokens_per_minute: Rate | None = None
    input_tokens_per_minute: Rate | None = None
    output_tokens_per_minute: Rate | None = None
    max_concurrent: Count | None = None
    burst: Rate = 1.0
    queue: Count = 10_000


class PriceConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[prices."provider:model"]`: US dollars for a million tokens; see `Price`."""

    input: Dollars
    output: Dollars
    cached: Dollars | None = None


class RagConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[memory.rag]`: how passages of documents come into runs; see `RagOptions`."""

    max_tokens: Whole = 2000
    cache_results: bool = True
    cache_ttl: Duration = 600.0
    history_limit: Whole | None = None

    @property
    def options(self) -> RagOptions:
        """As memories take them."""
        return RagOptions(
            max_tokens=self.max_tokens,
            cache_results=self.cache_results,
            cache_ttl=float(self.cache_ttl),
            history_limit=self.history_limit,
        )


class MemoryConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[memory]`: the memory of agents that have none of their own.

    Attributes:
        provider: `memory` is the only one there is.
        connection: `inmemory`, or a file.
        ttl, max_sessions: see `MemorySpec`.
        rag: a table.
    """

    provider: Literal["memory"] | None = None
    connection: str = INMEMORY
    ttl: Duration = WEEK
    max_sessions: Count = 10_000
    rag: RagConfig = RagConfig()

    @property
    def spec(self) -> MemorySpec:
        """As agents take it."""
        return MemorySpec(
            path=None if self.connection == INMEMORY else self.connection,
            ttl=self.ttl,
            max_sessions=self.max_sessions,
            rag=self.rag.options,
        )


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is configured.

    Attributes:
        origins: for each key (`llm.base_url`, `workflows.digest.steps[0].prompt`) that was set
            where: `default`, `FILE line N`, `environment NAME`, or `code`.
    """

    llm: LlmConfig = LlmConfig()
    runtime: RuntimeConfig = RuntimeConfig()
    tools: ToolsConfig = ToolsConfig()
    streaming: StreamingConfig = StreamingConfig()
    memory: MemoryConfig = MemoryConfig()
    agents: dict[str, AgentSpec] = {}
    workflows: dict[str, WorkflowConfig] = {}
    limits: dict[str, Limit] = {}
    prices: dict[str, Price] = {}
    origins: dict[str, str] = {}

    @property
    def memory_spec(self) -> MemorySpec | None:
        """The memory of agents that have none; None where nothing was said about it."""
        return None if self.memory == MemoryConfig() else self.memory.spec
