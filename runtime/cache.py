"""`Cache`: a spec with verbs.

    agent = Agent("openai:gpt-5-mini", cache=Cache(ttl="10m", max_bytes="64MiB"))
    agent = Agent("openai:gpt-5-mini", cache="10m")

Frozen, cheap to make, safe to share. What is kept lives in the runtime that runs the agent, and
behind `path` in a file that outlives it; equal caches of one runtime are one. The verbs act in the
runtime that `current_runtime` finds, or in `runtime=`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from understudy.messages.caches import MAX_BYTES, AskCacheStats, CacheSpec, CacheStats, Invalidate
from understudy.messages.errors import ConfigError
from understudy.runtime.config.durations import parse_duration
from understudy.runtime.config.sizes import parse_size
from understudy.runtime.current import current_runtime

if TYPE_CHECKING:
    from understudy.messages.caches import Semantic
    from understudy.runtime.runtime import Runtime


class Cache(CacheSpec, frozen=True, kw_only=True, tag_field="kind", tag="cache"):
    """A cache: `Cache(ttl="10m", max_size=1000, max_bytes="64MiB")`; fields as in `CacheSpec`.

    `ttl` is seconds or a text with a unit, `max_bytes` a number or a text with a unit, `path` a
    text or a Path.
    """

    if TYPE_CHECKING:  # what type checkers cannot see: other spellings of the fields

        def __init__(
            self,
            *,
            ttl: str | float = 600.0,
            max_size: int = 1000,
            max_bytes: str | int = MAX_BYTES,
            path: str | os.PathLike[str] | None = None,
            semantic: Semantic | None = None,
            threshold: float = 0.95,
            embedder: str | None = None,
            tags: Iterable[str] = (),
        ) -> None: ...

    def __post_init__(self) -> None:
        given: Any = self  # Any: fields as users write them
        for name, made in (
            ("ttl", seconds_of(given.ttl, "Cache(ttl=...)")),
            ("max_bytes", _bytes_of(given.max_bytes)),
            ("path", _path_of(given.path)),
            ("tags", _tags_of(given.tags)),
        ):
            msgspec.structs.force_setattr(self, name, made)
        super().__post_init__()

    def invalidate(
        self,
        *,
        tool: str | None = None,
        tag: str | None = None,
        tenant: str | None = None,
        runtime: Runtime | None = None,
    ) -> int:
        """Forget what matches all that is given; gives how many entries. Blocks.

        Answers of models and results of tools that are kept in this cache; with `tool=` also its
        results in the cache that tools share.

        Raises:
            ConfigError: nothing is given (`clear` forgets everything).
            WouldDeadlockError: on the loop of the runtime; use `await cache.ainvalidate(...)`.
        """
        rt = current_runtime(runtime)
        work = self.ainvalidate(tool=tool, tag=tag, tenant=tenant, runtime=rt)
        return rt.complete(work, "cache.ainvalidate")

    async def ainvalidate(
        self,
        *,
        tool: str | None = None,
        tag: str | None = None,
        tenant: str | None = None,
        runtime: Runtime | None = None,
    ) -> int:
        """The twin of `invalidate`."""
        wanted = wanted_of(tool, tag, tenant)
        rt = current_runtime(runtime)
        return await rt.on_loop(self._forget(rt, wanted))

    def clear(self, *, runtime: Runtime | None = None) -> int:
        """Forget everything, in the file too; gives how many entries. Blocks."""
        rt = current_runtime(runtime)
        return rt.complete(self.aclear(runtime=rt), "cache.aclear")

    async def aclear(self, *, runtime: Runtime | None = None) -> int:
        """The twin of `clear`."""
        rt = current_runtime(runtime)
        return await rt.on_loop(self._forget(rt, Invalidate()))

    @property
    def stats(self) -> CacheStats:
        """How it is doing in the current runtime; blocks.

        Raises:
            WouldDeadlockError: on the loop of the runtime; use `await cache.astats()`.
        """
        rt = current_runtime(None)
        return rt.complete(self.astats(runtime=rt), "cache.astats")

    async def astats(self, *, runtime: Runtime | None = None) -> CacheStats:
        """The twin of `stats`."""
        rt = current_runtime(runtime)

        async def ask() -> CacheStats:
            stats: CacheStats = await rt.crew.caches.ref_of("answers", self).request(
                AskCacheStats()
            )
            return stats

        return await rt.on_loop(ask())

    async def _forget(self, rt: Runtime, wanted: Invalidate) -> int:
        caches = rt.crew.caches
        forgotten: int = await caches.ref_of("answers", self).request(wanted)
        if self.path is None and self.semantic is None:  # what a tool may have as its own
            forgotten += await caches.ref_of("tools", self).request(wanted)
        if wanted.tool is not None:
            forgotten += await caches.forget_tool(wanted)
        return forgotten


def as_cache(given: CacheSpec | str | float) -> CacheSpec:
    """A cache of what stands for one: itself, or how long it keeps.

    Raises:
        ConfigError: it is neither.
    """
    if isinstance(given, CacheSpec):
        return given
    return Cache(ttl=seconds_of(given, "cache="))


def seconds_of(given: object, where: str) -> float:
    """Seconds of a number or of a text with a unit.

    Raises:
        ConfigError: names `where` it was given.
    """
    if isinstance(given, int | float) and not isinstance(given, bool):
        return float(given)
    try:
        return parse_duration(given)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error.message}") from error


def wanted_of(tool: str | None, tag: str | None, tenant: str | None) -> Invalidate:
    """What is to be forgotten.

    Raises:
        ConfigError: nothing is given.
    """
    if tool is None and tag is None and tenant is None:
        msg = "invalidate(): give tool=, tag= or tenant=; clear() forgets everything"
        raise ConfigError(msg)
    return Invalidate(tool=tool, tag=tag, tenant=tenant)


def _path_of(given: Any) -> str | None:  # Any: what users write
    if given is None:
        return None
    try:
        return os.fsdecode(given)
    except TypeError:
        raise ConfigError(f"Cache(path={given!r}): give a file, as a text or a Path") from None


def _bytes_of(given: object) -> int:
    try:
        return parse_size(given)
    except ConfigError as error:
        raise ConfigError(f"Cache(max_bytes=...): {error.message}") from error


def _tags_of(given: object) -> tuple[str, ...]:
    if isinstance(given, str) or not all(isinstance(each, str) for each in given):  # type: ignore[attr-defined]
        raise ConfigError(f"Cache(tags={given!r}): write a list of texts, such as tags=['prices']")
    return tuple(given)  # type: ignore[arg-type]
