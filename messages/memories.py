"""What is said to and by memories: conversations by session, and passages of documents.

A memory keeps one conversation for each session of a tenant, and the documents that were ingested
for a tenant. `MemorySpec` says what a memory is, as data; which actor serves it is the runtime's
business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from understudy.messages.chat import Message
from understudy.messages.errors import ConfigError

WEEK = 7 * 86_400.0
MEBIBYTE = 1024 * 1024
LONGEST_NAME = 1024
"""Bytes that the name of a session, a tenant or a document may have."""

if TYPE_CHECKING:
    Embedder = Any  # Any: "provider:model", or an object with `name` and `async embed(texts)`
else:
    Embedder = str | None


class RagOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How passages of documents come into runs (`[memory.rag]`).

    Attributes:
        max_tokens: of the passages that are put before one prompt; 0 for none.
        cache_results: answer the same question from what was found for it before.
        cache_ttl: seconds for which that is done; a document that changes ends it at once.
        history_limit: messages of the session that are sent where the agent does not say.
        k: passages for one prompt, at most.
        min_score: passages below it are left out.
    """

    max_tokens: int = 2000
    cache_results: bool = True
    cache_ttl: float = 600.0
    history_limit: int | None = None
    k: int = 5
    min_score: float = 0.0


class MemorySpec(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="memory"):
    """What a memory is.

    Attributes:
        path: a SQLite file; None: in the process, and gone with the runtime.
        ttl: seconds after its last turn when a session is forgotten; None: never.
        max_sessions: sessions in the process; what was used least goes to the file, or is
            forgotten where there is none.
        max_bytes: of the sessions in the process.
        embedder: makes vectors of passages and questions; None: words alone decide.
        rag: how passages come into runs.
    """

    path: str | None = None
    ttl: float | None = WEEK
    max_sessions: int = 10_000
    max_bytes: int = 256 * MEBIBYTE
    embedder: Embedder = None
    rag: RagOptions = RagOptions()


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """Something to be ingested: its text, under a name by which it is replaced later."""

    name: str
    text: str


class Passage(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of a document that was found.

    Attributes:
        document: the name of the document.
        heading: the headings above it, the outermost first, parted by " > ".
        score: 0 to 1: how much of the question it covers; where vectors are compared too, the mean
            of that and of their cosine.
    """

    document: str
    heading: str
    text: str
    score: float


class Append(msgspec.Struct, frozen=True, kw_only=True):
    """Add messages to a session, all or none; the reply (None) comes when they are on disk.

    Attributes:
        epoch: as `Kept` said it when the turn began; None: whatever it is. What began before the
            tenant was erased is not kept.
    """

    tenant: str
    session: str
    messages: tuple[Message, ...]
    epoch: int | None = None


class History(msgspec.Struct, frozen=True, kw_only=True):
    """Ask for a session's messages: all of them, or the last `limit` as `rules.trimming` has it."""

    tenant: str
    session: str
    limit: int | None = None
    keep_first: bool = False


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What a session holds.

    Attributes:
        messages: oldest first.
        total: messages of the whole session.
        epoch: for `Append`.
    """

    messages: tuple[Message, ...]
    total: int
    epoch: int


class Clear(msgspec.Struct, frozen=True, kw_only=True):
    """Forget a session; the reply says whether there was one."""

    tenant: str
    session: str


class Erase(msgspec.Struct, frozen=True, kw_only=True):
    """Forget everything of a tenant: sessions, documents, vectors; the reply is `Erased`."""

    tenant: str


class Erased(msgspec.Struct, frozen=True, kw_only=True):
    """What was forgotten."""

    sessions: int
    documents: int


class Ingest(msgspec.Struct, frozen=True, kw_only=True):
    """Take documents in; one of a known name replaces what was there. The reply is `Ingested`."""

    tenant: str
    documents: tuple[Document, ...]


class Ingested(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the documents.

    Attributes:
        added, replaced, unchanged: documents.
        passages: that were written.
        without_vector: of those, the ones whose vector was none (not finite, or nothing came):
            they are found by their words alone.
    """

    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    passages: int = 0
    without_vector: int = 0


class Recall(msgspec.Struct, frozen=True, kw_only=True):
    """Ask for the passages that answer a question best; the reply is `Recalled`."""

    tenant: str
    query: str
    k: int = 5
    min_score: float = 0.0


class Recalled(msgspec.Struct, frozen=True, kw_only=True):
    """What was found, best first; `cached` when it was found before."""

    passages: tuple[Passage, ...]
    cached: bool = False


class MemoryStats(msgspec.Struct, frozen=True, kw_only=True):
    """What a memory holds and has done, at one instant.

    Attributes:
        sessions, bytes: in the process at this moment.
        loaded, passivated: sessions that came from the file, and that left the process for it.
        evicted: sessions that were forgotten for want of room (no file to go to).
        expired: sessions whose time was over.
        dropped_turns: oldest turns of a session that was larger than all the room there is, turns
            whose tenant was erased while they were made.
        failed_writes: turns that could not be written (the disk is full, ...); they stay in the
            process and are written with the next turn of their session.
        failed_recalls: runs that went on without passages, because they could not be asked for.
        last_error: of the last failure.
        recalls, recall_hits: questions, and how many of them were answered from the cache.
        bad_vectors: vectors of passages and questions that were none, or had another dimension.
    """

    sessions: int
    bytes: int
    loaded: int
    passivated: int
    evicted: int
    expired: int
    dropped_turns: int
    failed_writes: int
    failed_recalls: int
    last_error: str | None
    recalls: int
    recall_hits: int
    bad_vectors: int


class Trimmed(msgspec.Struct, frozen=True, kw_only=True):
    """How the history of a run was cut.

    Attributes:
        kept, dropped: messages of the history.
        tokens: of the whole request as it was begun; None where no window was asked for.
        tokenizer: who counted them: `estimate`, or for example `tiktoken:o200k_base`.
    """

    kept: int
    dropped: int
    tokens: int | None = None
    tokenizer: str | None = None


def check_name(what: str, name: str) -> str:
    """A name that can be kept.

    Raises:
        ConfigError: it is no text, cannot be written as UTF-8, or is too long.
    """
    given: object = name
    if not isinstance(given, str):
        raise ConfigError(f"{what}={name!r}: give it as a text")
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise ConfigError(f"{what}={name[:40]!r} is no text: it has lone surrogates") from None
    if size > LONGEST_NAME:
        raise ConfigError(
            f"{what}={name[:20]!r}... has {size} bytes, at most {LONGEST_NAME} are possible: "
            "use an id or a digest"
        )
    return name
