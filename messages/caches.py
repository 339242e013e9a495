"""Caches as data: what one is asked, what it answers, how it is doing.

A spec says how long and how much is kept and where; it holds no entries, so it encodes, and equal
specs in one runtime are one cache. What is looked up is described by a `Question`, an object of the
family that asks (see `actors.caches`): it knows how to make the value, and how to keep a copy that
nobody can change.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from understudy.messages.chat import Usage
from understudy.messages.errors import ConfigError

Semantic = Literal["strict", "embedding"]
Layer = Literal["memory", "file", "flight", "strict", "embedding"]
"""Where a value was found; `flight`: another caller was having it made at that moment."""
MAX_BYTES = 64 * 1024 * 1024


class CacheSpec(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="cache"):
    """What a cache is.

    Attributes:
        ttl: seconds that an entry lives at most; entries end in the last tenth of it, each at a
            moment of its own, so that they are not all made anew at once.
        max_size: entries, of each layer.
        max_bytes: of all entries together with what it takes to keep them, of each layer.
        path: of a SQLite file behind the memory; None: memory alone.
        semantic: whether an answer to a question that says the same in other words is taken.
        threshold: for `embedding`, the least cosine of two texts that mean the same.
        embedder: for `embedding`, whose vectors: `openai:text-embedding-3-small`; None: hashed
            n-grams, which need no network.
        tags: names to invalidate by what is kept through this spec; no part of its identity.
    """

    ttl: float = 600.0
    max_size: int = 1000
    max_bytes: int = MAX_BYTES
    path: str | None = None
    semantic: Semantic | None = None
    threshold: float = 0.95
    embedder: str | None = None
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("ttl", "max_size", "max_bytes"):
            value = getattr(self, name)
            if not _is_positive(value):
                raise ConfigError(f"Cache({name}={value!r}): more than 0 is needed")
        if self.semantic not in (None, "strict", "embedding"):
            raise ConfigError(f"Cache(semantic={self.semantic!r}): 'strict', 'embedding' or None")
        if not 0 < self.threshold <= 1:
            raise ConfigError(f"Cache(threshold={self.threshold!r}): a cosine above 0, at most 1")
        if self.embedder is not None and self.semantic != "embedding":
            raise ConfigError("Cache(embedder=...) needs semantic='embedding'")
        if self.embedder is not None and not _is_model(self.embedder):
            raise ConfigError(f"Cache(embedder={self.embedder!r}): write 'provider:model'")
        if self.path is not None and (not self.path or self.path == ":memory:"):
            msg = f"Cache(path={self.path!r}): give a file, or no path= for memory alone"
            raise ConfigError(msg)


def _is_model(name: object) -> bool:
    return isinstance(name, str) and all(name.partition(":"))


class Cached(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """That a value was not made for whoever got it.

    Attributes:
        age: seconds since it was made.
        layer: where it was found.
        why: for an answer to another wording, what made it the same: the entry, the score.
    """

    age: float
    layer: Layer
    why: str = ""


class Lookup(msgspec.Struct, frozen=True, kw_only=True):
    """Ask for a value; the reply is a `Hit`, a `Made`, or a `Miss`.

    Attributes:
        key: everything that shapes the value, hashed.
        question: how to have it made where it is not there (a `Question`); None: only look.
    """

    key: bytes
    question: Any = None  # Any: see the module's docstring; never encoded


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """The value was there, or somebody else was having it made."""

    value: Any  # Any: whatever is kept
    cached: Cached


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """The value was made for this caller, who pays for it."""

    value: Any  # Any: whatever is kept


class Miss(msgspec.Struct, frozen=True, kw_only=True):
    """It is not there, and is not being made for this caller."""


class Store(msgspec.Struct, frozen=True, kw_only=True):
    """Keep a value that was made elsewhere; the reply says whether it is kept."""

    key: bytes
    value: Any  # Any: whatever is kept
    question: Any  # Any: see the module's docstring; never encoded


class Invalidate(msgspec.Struct, frozen=True, kw_only=True):
    """Forget what matches all that is given, everything when nothing is; the reply is how many.

    What is being made at this moment is given to those who wait, and not kept.
    """

    tool: str | None = None
    tag: str | None = None
    tenant: str | None = None


class AskCacheStats(msgspec.Struct, frozen=True, kw_only=True):
    """Ask a cache how it is doing; the reply is `CacheStats`."""


class CacheStats(msgspec.Struct, frozen=True, kw_only=True):
    """How a cache is doing.

    Attributes:
        hits: lookups that were answered from an entry, the semantic ones included.
        semantic_hits: those to another wording.
        shared: lookups that waited for a call of another caller.
        misses: lookups that made a call.
        stored, evicted, expired, invalidated: entries of the memory.
        refused: values that were not kept: truncated, empty, failed, or without a copy.
        too_large: values above the bound of all entries together.
        errors: what went wrong with the file or the embedder; each was a miss.
        size, bytes: entries in memory, and their bytes.
        file_size, file_bytes: those of the file.
        in_flight: calls under way.
        saved: tokens that hits did not cost.
        saved_seconds: how long the calls took that were not made again.
        problem: what is wrong with the file or the embedder at present; None: nothing.
    """

    hits: int = 0
    semantic_hits: int = 0
    shared: int = 0
    misses: int = 0
    stored: int = 0
    evicted: int = 0
    expired: int = 0
    invalidated: int = 0
    refused: int = 0
    too_large: int = 0
    errors: int = 0
    size: int = 0
    bytes: int = 0
    file_size: int = 0
    file_bytes: int = 0
    in_flight: int = 0
    saved: Usage = Usage()
    saved_seconds: float = 0.0
    problem: str | None = None

    @property
    def hit_rate(self) -> float:
        """The share of lookups that made no call; 0 before the first."""
        total = self.hits + self.shared + self.misses
        return (self.hits + self.shared) / total if total else 0.0


def _is_positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < _INFINITE


_INFINITE = float("inf")
