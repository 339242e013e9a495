"""The documents of a memory: what is done with them beside the actor.

Coroutines that ask the embedder, then the database. An embedder that fails ends an `Ingest` (half
of the documents with vectors would be found differently from the rest), but not a `Recall`: that is
answered by words alone, and counted.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from understudy.actors.kernel.reply import Reply
from understudy.actors.memories import passages, tables
from understudy.actors.memories.database import Connection, Database
from understudy.actors.memories.passages import Question, Vector, vector_of
from understudy.actors.memories.ports import Embedder
from understudy.actors.memories.shelf import Shelf
from understudy.messages.errors import UnderstudyError
from understudy.messages.memories import (
    Document,
    Erased,
    Ingest,
    Ingested,
    Recall,
    Recalled,
)

logger = logging.getLogger("understudy.memories")
AT_A_TIME = 32
"""Documents that are cut and written in one step."""
_COUNTS = Ingested.__struct_fields__


class Library:
    """See the module's docstring.

    Args:
        shelf: counts.
        database: where the documents are.
        embedder: makes vectors; None: words alone decide.
    """

    def __init__(self, shelf: Shelf, database: Database, embedder: Embedder | None) -> None:
        self._shelf = shelf
        self._database = database
        self._embedder = embedder

    async def ingest(self, message: Ingest) -> Ingested:
        """Take documents in, some at a time: turns of sessions are written in between.

        Raises:
            StorageError: they cannot be written.
            UnderstudyError: the embedder's. What was written before it stays, and is unchanged when
                all of it is given again.
        """
        tenant, documents = message.tenant, message.documents
        epoch, done = self._shelf.epoch(tenant), Ingested()
        for start in range(0, len(documents), AT_A_TIME):
            some = await self._take_in(tenant, documents[start : start + AT_A_TIME], epoch)
            done = Ingested(**{each: getattr(done, each) + getattr(some, each) for each in _COUNTS})
        return done

    async def _take_in(self, tenant: str, documents: Sequence[Document], epoch: int) -> Ingested:
        embedder = self._embedder
        plan = await self._database.do(lambda c: passages.plan(c, tenant, documents))
        texts = [
            f"{chunk.heading}\n{chunk.text}".strip() for each in plan.documents for chunk in each[2]
        ]
        vectors: list[Vector | None] = []
        if embedder is not None and texts:
            vectors = await self._vectors(embedder, texts)
        name = None if embedder is None else embedder.name
        if epoch != self._shelf.epoch(tenant):
            raise UnderstudyError(f"tenant {tenant!r} was erased while its documents were read")
        if plan.documents:
            self._shelf.documents = True
            await self._database.do(lambda c: passages.write(c, tenant, plan, vectors, name))
        replaced = sum(each[3] for each in plan.documents)
        return Ingested(
            added=len(plan.documents) - replaced,
            replaced=replaced,
            unchanged=plan.unchanged,
            passages=len(texts),
            without_vector=0 if embedder is None else len(texts) - len([v for v in vectors if v]),
        )

    async def recall(self, message: Recall) -> Recalled:
        """Find passages.

        Raises:
            StorageError: the file cannot be read.
        """
        shelf, embedder = self._shelf, self._embedder
        if shelf.documents is None:
            shelf.documents = await self._database.do(passages.count_documents) > 0
        if not shelf.documents or message.k < 1:
            return Recalled(passages=())
        vector = None
        if embedder is not None:
            try:
                (vector,) = await self._vectors(embedder, [message.query])
            except UnderstudyError as error:
                shelf.bad_vectors += 1
                logger.warning("a question is answered by words alone: %s", error)
        question = Question(
            message.tenant,
            message.query,
            message.k,
            message.min_score,
            vector,
            None if embedder is None else embedder.name,
        )
        found = await self._database.do(lambda connection: passages.search(connection, question))
        shelf.bad_vectors += found.strange
        return Recalled(passages=found.passages)

    def erase(self, tenant: str, sessions: int | None) -> Reply[Erased]:
        """Forget a tenant; `sessions` is how many there were, where the file does not know it."""

        def erase(connection: Connection) -> Erased:
            documents = passages.erase_documents(connection, tenant)
            kept = tables.erase_sessions(connection, tenant)
            return Erased(sessions=kept if sessions is None else sessions, documents=documents)

        return self._database.do(erase, thorough=True)

    async def _vectors(self, embedder: Embedder, texts: Sequence[str]) -> list[Vector | None]:
        """A vector for each text, None for those that are none."""
        given = await embedder.embed(texts)
        if len(given) != len(texts):
            raise UnderstudyError(
                f"embedder {embedder.name} gave {len(given)} vectors for {len(texts)} texts"
            )
        vectors = [vector_of(each) for each in given]
        size = next((len(each) for each in vectors if each is not None), 0)
        checked = [each if each is not None and len(each) == size else None for each in vectors]
        self._shelf.bad_vectors += checked.count(None)
        return checked
