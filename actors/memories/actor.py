"""The Memory actor: conversations by session, and passages of documents.

Guarantees
- What is appended is kept whole or not at all, and where there is a file the answer comes when it
  is on disk. Where that fails the turn stays in the process, the failure is counted and the next
  turn of the session writes it too: a full disk ends no run.
- What was asked for is done in order, session by session: a session that has to be read from the
  file first keeps nobody else waiting.
- After `Erase` nothing of the tenant is left, also nothing of turns that were being made meanwhile.
- A document that has changed takes the place of the old one in one step, and nobody is answered
  from a recall of before.

It never blocks: the file has a thread of its own, the embedder is asked in the background.
"""

from __future__ import annotations

import logging
from collections.abc import Coroutine
from typing import Any

from cachetools import TTLCache

from understudy.actors.kernel.actor import Actor
from understudy.actors.kernel.context import in_hand
from understudy.actors.kernel.deferred import Deferred
from understudy.actors.kernel.reply import Reply
from understudy.actors.memories import tables
from understudy.actors.memories.database import Connection, Database
from understudy.actors.memories.library import Library
from understudy.actors.memories.shelf import Key, Shelf, Talk
from understudy.actors.memories.steps import Answer, Loaded, Sweep, Written
from understudy.messages.chat import Message
from understudy.messages.codec import decode, encode
from understudy.messages.control import Outcome
from understudy.messages.errors import CodecError, StorageError, UnderstudyError
from understudy.messages.memories import (
    MEBIBYTE,
    Append,
    Clear,
    Erase,
    Erased,
    History,
    Ingest,
    Kept,
    Recall,
    Recalled,
)

logger = logging.getLogger("understudy.memories")
LARGEST_TURN = 64 * MEBIBYTE
IDLE = 600.0
"""Seconds after its last turn when a session leaves the process for the file."""
_CACHED = 1_000
_LATER: Any = object()  # Any: stands for an answer that is given later

OfSession = Append | History | Clear


class MemoryActor(Actor):
    """See the module's docstring.

    Args:
        shelf: what is in the process; it survives this actor.
        database: the file, or in its place one in the process for passages.
        library: the documents.
    """

    blocking = False
    expects = (UnderstudyError,)
    max_outstanding = 1_000_000

    def __init__(self, shelf: Shelf, database: Database, library: Library) -> None:
        self._shelf = shelf
        self._database = database
        self._library = library
        self._durable = shelf.spec.path is not None
        self._wall = self._cell.system.clock.wall
        self._loading: dict[Key, list[tuple[Deferred, OfSession]]] = {}
        self._editions: dict[str, int] = {}
        """How often the documents of each tenant have changed."""
        rag = shelf.spec.rag
        self._found: TTLCache[Any, Recalled] | None = None  # Any: tenant, edition and question
        if rag.cache_results:
            self._found = TTLCache(_CACHED, rag.cache_ttl, timer=self._cell.system.now)
        self._sweeping = False

    def on_receive(
        self,
        message: Append
        | History
        | Clear
        | Erase
        | Ingest
        | Recall
        | Loaded
        | Written
        | Answer
        | Sweep,
    ) -> Any:  # Any: what belongs to each request, see messages.memories
        """Serve one request, or go on with one."""
        match message:
            case Append() | History() | Clear():
                return self._of_session(message)
            case Loaded():
                self._loaded(message)
            case Written():
                self._written(message)
            case Recall():
                return self._recall(message)
            case Ingest():
                self._later(message, self._library.ingest(message))
            case Erase():
                return self._erase(message)
            case Answer():
                self._answer(message)
            case Sweep():
                self._sweep()
        return None

    # -- sessions --------------------------------------------------------------------------------

    def _of_session(self, message: OfSession) -> Any:  # Any: the answer
        key = (message.tenant, message.session)
        waiting = self._loading.get(key)
        if waiting is not None:
            waiting.append((self.defer(), message))
            return None
        talk = self._shelf.find(key, self._wall())
        if talk is None and self._durable:
            read, epoch = self._load(key), self._shelf.epoch(message.tenant)
            self._loading[key] = [(self.defer(), message)]
            self._beside(_awaited(read), lambda outcome: Loaded(key, epoch, outcome))
            return None
        answer = self._serve(key, talk, message, None)
        return None if answer is _LATER else answer

    def _serve(
        self, key: Key, talk: Talk | None, message: OfSession, deferred: Deferred | None
    ) -> Any:  # Any: the answer, or _LATER
        match message:
            case History():
                kept: tuple[Message, ...] = ()
                if talk is not None:
                    kept = talk.tail(message.limit, keep_first=message.keep_first)
                total = 0 if talk is None else len(talk.messages)
                return Kept(messages=kept, total=total, epoch=self._shelf.epoch(message.tenant))
            case Clear():
                existed = self._shelf.remove(key)
                if not self._durable:
                    return existed
                self._later(message, _awaited(self._clear(key)), deferred)
                return _LATER
            case Append():
                return self._append(key, talk, message, deferred)

    def _append(
        self, key: Key, talk: Talk | None, message: Append, deferred: Deferred | None
    ) -> Any:  # Any: None, or _LATER
        shelf, now = self._shelf, self._wall()
        if message.epoch is not None and message.epoch != shelf.epoch(message.tenant):
            shelf.dropped_turns += 1
            return None
        if not message.messages:
            return None
        data = encode(message.messages, max_size=LARGEST_TURN)
        if talk is None:
            talk = Talk(now)
            shelf.put(key, talk)
        number = shelf.append(key, talk, message.messages, data)
        talk.used = now
        self._keep_sweeping()
        if not self._durable:
            shelf.make_room(durable=False)
            return None
        talk.unsaved[number] = data
        self._save(key, talk, deferred or self.defer())
        return _LATER

    def _save(self, key: Key, talk: Talk, deferred: Deferred) -> None:
        turns, used = dict(talk.unsaved), talk.used
        work = self._database.do(lambda connection: tables.save(connection, key, used, turns))
        self._beside(_awaited(work), lambda outcome: Written(key, tuple(turns), deferred, outcome))

    def _written(self, message: Written) -> None:
        shelf, error = self._shelf, message.outcome.error
        if error is not None:
            shelf.failed(error)
            logger.warning("a turn could not be written and is kept in the process: %s", error)
        else:
            talk = shelf.talks.get(message.key)
            if talk is not None:
                for number in message.numbers:
                    talk.unsaved.pop(number, None)
        shelf.make_room(durable=True)
        message.deferred.set(None)

    def _load(self, key: Key) -> Reply[Talk | None]:
        """Read a session; one whose time is over is removed."""
        now, ttl = self._wall(), self._shelf.spec.ttl

        def read(connection: Connection) -> Talk | None:
            saved = tables.load(connection, key)
            if saved is None:
                return None
            if ttl is not None and now - saved.used > ttl:
                tables.clear(connection, key)
                return None
            talk = Talk(saved.used)
            for number, data in saved.turns:
                talk.add(number, _decoded(key, data), len(data))
            return talk

        return self._database.do(read)

    def _loaded(self, message: Loaded) -> None:
        key, outcome, shelf = message.key, message.outcome, self._shelf
        waiting = self._loading.pop(key, [])
        if outcome.error is not None:
            for deferred, asked in waiting:
                if isinstance(asked, Clear):
                    self._serve(key, None, asked, deferred)
                else:
                    deferred.set_exception(outcome.error)
            return
        talk: Talk | None = outcome.value
        if message.epoch != shelf.epoch(key[0]):
            talk = None  # its tenant was erased meanwhile
        if talk is not None:
            shelf.put(key, talk)
            shelf.loaded += 1
        for deferred, asked in waiting:
            try:
                answer = self._serve(key, shelf.talks.get(key), asked, deferred)
            except UnderstudyError as error:
                deferred.set_exception(error)
                continue
            if answer is not _LATER:
                deferred.set(answer)
        shelf.make_room(durable=True)
        self._keep_sweeping()

    def _clear(self, key: Key) -> Reply[bool]:
        return self._database.do(lambda connection: tables.clear(connection, key), thorough=True)

    # -- documents, and tenants as a whole ---------------------------------------------------------

    def _recall(self, message: Recall) -> Recalled | None:
        shelf = self._shelf
        shelf.recalls += 1
        if shelf.documents is False:
            return Recalled(passages=())
        edition = self._editions.get(message.tenant, 0)
        found = None if self._found is None else self._found.get((edition, message))
        if found is not None:
            shelf.recall_hits += 1
            return found
        self._later(message, self._library.recall(message))
        return None

    def _erase(self, message: Erase) -> Erased | None:
        tenant = message.tenant
        gone = len(self._shelf.erase(tenant))
        self._editions[tenant] = self._editions.get(tenant, 0) + 1
        if self._found is not None:
            for key in [key for key in self._found if key[1].tenant == tenant]:
                self._found.pop(key, None)
        if not self._durable and not self._shelf.documents:
            return Erased(sessions=gone, documents=0)
        erased = self._library.erase(tenant, None if self._durable else gone)
        self._later(message, _awaited(erased))
        return None

    def _answer(self, message: Answer) -> None:
        asked, outcome = message.asked, message.outcome
        value, tenant = outcome.value, asked.tenant
        if isinstance(asked, Ingest) and (value is None or value.added or value.replaced):
            self._editions[tenant] = self._editions.get(tenant, 0) + 1  # one that failed, too
        if outcome.error is not None:
            message.deferred.set_exception(outcome.error)
            return
        if isinstance(asked, Recall) and self._found is not None:
            # Under the edition it was asked in: what has changed meanwhile is another.
            self._found[message.edition, asked] = Recalled(passages=value.passages, cached=True)
        message.deferred.set(value)

    # -- time ------------------------------------------------------------------------------------

    def _keep_sweeping(self) -> None:
        ttl = self._shelf.spec.ttl
        outside = self._durable and ttl is not None  # the file has sessions that are over, too
        if self._sweeping or not (outside or (self._shelf.talks and (ttl or self._durable))):
            return
        self._sweeping = True
        self.timer(Sweep(), after=min(IDLE, IDLE if ttl is None else max(ttl / 2, 0.01)))

    def _sweep(self) -> None:
        now, ttl = self._wall(), self._shelf.spec.ttl
        self._sweeping = False
        self._shelf.sweep(now, IDLE if self._durable else None)
        if self._durable and ttl is not None:
            before = now - ttl
            work = self._database.do(lambda connection: tables.sweep(connection, before))
            self._beside(_awaited(work), self._swept)
        self._keep_sweeping()

    def _swept(self, outcome: Outcome) -> None:
        if outcome.error is not None:
            self._shelf.failed(outcome.error)

    # -- in the background -------------------------------------------------------------------------

    def _later(
        self,
        asked: Clear | Erase | Ingest | Recall,
        work: Coroutine[Any, Any, Any],  # Any: what coroutines yield and give
        deferred: Deferred | None = None,
    ) -> None:
        """Answer when `work` is done, which ends with whoever has asked."""
        deferred = deferred or self.defer()
        owed, edition = deferred, self._editions.get(asked.tenant, 0)
        self.background(
            work, then=lambda outcome: Answer(asked, owed, outcome, edition), of=deferred
        )

    def _beside(self, work: Coroutine[Any, Any, Any], then: Any) -> None:  # Any: as background
        """Work that goes on when whoever has asked is gone: others wait for it, or it is a duty."""
        token = in_hand.set(None)
        try:
            self.background(work, then=then)
        finally:
            in_hand.reset(token)


async def _awaited(reply: Any) -> Any:  # Any: a Reply
    return await reply


def _decoded(key: Key, data: bytes) -> tuple[Message, ...]:
    try:
        messages: tuple[Message, ...] = decode(
            data, tuple[Message, ...], max_size=LARGEST_TURN + 1024
        )
    except CodecError as error:
        raise StorageError(
            f"session {key[1]!r} cannot be read from the file ({error.message}): clear it, or "
            "restore the file"
        ) from error
    return messages
