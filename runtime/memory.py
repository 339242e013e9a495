"""`Memory`: what agents remember, as a spec with verbs.

    memory = Memory(path="chat.db", ttl="7d")
    agent = Agent("openai:gpt-5-mini", memory=memory)
    agent.run("My name is Ada.", session="alice")
    memory.history("alice")

Frozen and cheap like an `Agent`. Without a path it is kept by the runtime that uses it and gone
with that; two memories without a path are two, however alike they are. Which runtime serves a verb
is decided at each call (see `current`), and so is the tenant: that of the scope, unless it is
given.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Self

import msgspec
from msgspec.structs import force_setattr

from understudy.messages.chat import (
    Message,
)
from understudy.messages.errors import ConfigError
from understudy.messages.memories import (
    WEEK,
    Append,
    Clear,
    Embedder,
    Erased,
    History,
    Ingest,
    Ingested,
    Kept,
    MemorySpec,
    MemoryStats,
    Passage,
    RagOptions,
    Recall,
    Recalled,
    check_name,
)
from understudy.runtime.config.durations import parse_duration
from understudy.runtime.current import current_runtime
from understudy.runtime.memory_given import (
    Documents,
    documents_of,
    messages_of,
    session_of,
    tenant_of,
)

if TYPE_CHECKING:
    import os

    from understudy.runtime.runtime import Runtime

_INGEST = 600.0
"""Seconds for taking documents in: an embedder may have much to do."""


class Memory(MemorySpec, frozen=True, kw_only=True):
    """Conversations by session, and passages of documents; fields as in `MemorySpec`.

    `ttl` is seconds, a text such as `"7d"`, or None for ever. All verbs take `tenant=` and
    `runtime=`.
    """

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            path: str | os.PathLike[str] | None = None,
            ttl: float | str | None = WEEK,
            max_sessions: int = 10_000,
            max_bytes: int = 256 * 1024 * 1024,
            embedder: Embedder = None,
            rag: RagOptions = RagOptions(),  # noqa: B008 - frozen
        ) -> None: ...

    def __post_init__(self) -> None:
        given: Any = self.ttl  # Any: what users write
        if isinstance(given, str):
            force_setattr(self, "ttl", parse_duration(given))
        if self.ttl is not None and self.ttl <= 0:
            raise ConfigError(f"Memory(ttl={given!r}): more than 0 seconds, or None for ever")
        for name in ("max_sessions", "max_bytes"):
            if getattr(self, name) < 1:
                raise ConfigError(f"Memory({name}={getattr(self, name)}): at least 1 is needed")
        if self.path is not None:
            path: Any = self.path  # Any: what users write
            force_setattr(self, "path", str(path))
            if not self.path or self.path == ":memory:":
                raise ConfigError(
                    f"Memory(path={self.path!r}): give a file, or no path= for one in the process"
                )

    # -- sessions --------------------------------------------------------------------------------

    def history(
        self,
        session: str,
        *,
        limit: int | None = None,
        tenant: str | None = None,
        runtime: Runtime | None = None,
    ) -> tuple[Message, ...]:
        """The messages of a session, oldest first; blocks.

        Args:
            session: whose.
            limit: the last so many, without cutting a turn where that can be helped.
            tenant: of which tenant; None: of the scope.
            runtime: which one keeps it.
        """
        rt = current_runtime(runtime)
        work = self.ahistory(session, limit=limit, tenant=tenant_of(tenant), runtime=rt)
        return rt.complete(work, "memory.ahistory")

    async def ahistory(
        self,
        session: str,
        *,
        limit: int | None = None,
        tenant: str | None = None,
        runtime: Runtime | None = None,
    ) -> tuple[Message, ...]:
        """The twin of `history`."""
        asked = History(tenant=tenant_of(tenant), session=session_of(session), limit=limit)
        kept: Kept = await self._ask(runtime, asked)
        return kept.messages

    def append(
        self,
        session: str,
        messages: Iterable[Message] | Message,
        *,
        tenant: str | None = None,
        runtime: Runtime | None = None,
    ) -> None:
        """Add messages to a session, all or none; returns when they are safe. Blocks."""
        rt = current_runtime(runtime)
        work = self.aappend(session, messages, tenant=tenant_of(tenant), runtime=rt)
        rt.complete(work, "memory.aappend")

    async def aappend(
        self,
        session: str,
        messages: Iterable[Message] | Message,
        *,
        tenant: str | None = None,
        runtime: Runtime | None = None,
    ) -> None:
        """The twin of `append`."""
        given = messages_of(messages)
        asked = Append(tenant=tenant_of(tenant), session=session_of(session), messages=given)
        await self._ask(runtime, asked)

    def clear(
        self, session: str, *, tenant: str | None = None, runtime: Runtime | None = None
    ) -> bool:
        """Forget a session; False when there was none. Blocks."""
        rt = current_runtime(runtime)
        work = self.aclear(session, tenant=tenant_of(tenant), runtime=rt)
        return rt.complete(work, "memory.aclear")

    async def aclear(
        self, session: str, *, tenant: str | None = None, runtime: Runtime | None = None
    ) -> bool:
        """The twin of `clear`."""
        asked = Clear(tenant=tenant_of(tenant), session=session_of(session))
        return bool(await self._ask(runtime, asked))

    def erase(self, tenant: str, *, runtime: Runtime | None = None) -> Erased:
        """Forget everything of a tenant: sessions, documents, vectors, cached answers. Blocks.

        Nothing of it is left in the file either; turns that are under way are not kept.
        """
        rt = current_runtime(runtime)
        return rt.complete(self.aerase(tenant, runtime=rt), "memory.aerase")

    async def aerase(self, tenant: str, *, runtime: Runtime | None = None) -> Erased:
        """The twin of `erase`."""
        name = check_name("tenant", tenant)
        return await current_runtime(runtime).crew.memories.erase(self, name)

    # -- documents -------------------------------------------------------------------------------

    def ingest(
        self,
        documents: Documents,
        *,
        tenant: str | None = None,
        runtime: Runtime | None = None,
    ) -> Ingested:
        """Take documents in, so that agents with this memory are shown what fits a prompt. Blocks.

        Args:
            documents: texts by name, `Document`s, or texts (their name is then a digest).
                A document of a known name takes the place of the one before.
            tenant: for which tenant.
            runtime: which one keeps them.
        """
        rt = current_runtime(runtime)
        return rt.complete(
            self.aingest(documents, tenant=tenant_of(tenant), runtime=rt), "memory.aingest"
        )

    async def aingest(
        self,
        documents: Documents,
        *,
        tenant: str | None = None,
        runtime: Runtime | None = None,
    ) -> Ingested:
        """The twin of `ingest`."""
        asked = Ingest(tenant=tenant_of(tenant), documents=documents_of(documents))
        made: Ingested = await self._ask(runtime, asked, timeout=_INGEST)
        return made

    def recall(
        self,
        query: str,
        *,
        k: int = 5,
        min_score: float = 0.0,
        tenant: str | None = None,
        runtime: Runtime | None = None,
    ) -> tuple[Passage, ...]:
        """The passages that answer a question best, the best first. Blocks.

        Args:
            query: in words as they come.
            k: passages, at most.
            min_score: 0 to 1; see `Passage`.
            tenant: of which tenant's documents.
            runtime: which one keeps them.
        """
        rt = current_runtime(runtime)
        work = self.arecall(query, k=k, min_score=min_score, tenant=tenant_of(tenant), runtime=rt)
        return rt.complete(work, "memory.arecall")

    async def arecall(
        self,
        query: str,
        *,
        k: int = 5,
        min_score: float = 0.0,
        tenant: str | None = None,
        runtime: Runtime | None = None,
    ) -> tuple[Passage, ...]:
        """The twin of `recall`."""
        given: object = query
        if not isinstance(given, str):
            raise ConfigError(f"recall({type(query).__name__}): ask with a text")
        if k < 1 or not 0 <= min_score <= 1:
            raise ConfigError(f"recall(k={k}, min_score={min_score}): k >= 1, min_score 0 to 1")
        asked = Recall(tenant=tenant_of(tenant), query=query, k=k, min_score=min_score)
        found: Recalled = await self._ask(runtime, asked)
        return found.passages

    # -- looking ---------------------------------------------------------------------------------

    @property
    def stats(self) -> MemoryStats:
        """What it holds and has done, in the current runtime; never blocks."""
        return current_runtime().crew.memories.find(self).shelf.stats()

    async def astats(self, *, runtime: Runtime | None = None) -> MemoryStats:
        """The twin of `stats`, of any runtime."""
        return current_runtime(runtime).crew.memories.find(self).shelf.stats()

    @classmethod
    def of(cls, spec: MemorySpec) -> Self:
        """A spec with verbs."""
        return cls(**{name: getattr(spec, name) for name in spec.__struct_fields__})

    async def _ask(
        self, runtime: Runtime | None, message: msgspec.Struct, timeout: float | None = None
    ) -> Any:  # Any: the reply of the message
        found = current_runtime(runtime).crew.memories.find(self)
        return await found.ref.request(message, timeout=timeout)
