"""One SQLite file, and the one thread that reads and writes it.

Guarantees: operations happen one after the other, in the order in which they were asked for; each
is done whole or not at all; what was answered is on disk, so that the process may be killed at any
instant; many that wait share one commit. The file belongs to one process at a time: sessions are
kept in memory too, and two writers would not know of each other.

Opened when first needed; where that fails, everybody who asks is told why, and the next one tries
again. A thread of its own and no executor: those keep the process from ending (see `storage`).
"""

from __future__ import annotations

import sqlite3
import threading
from _thread import allocate_lock
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, TypeVar

from understudy.actors.kernel.reply import Reply
from understudy.messages.errors import RuntimeStoppedError, StorageError

T = TypeVar("T")
Connection = sqlite3.Connection

PATIENCE = 2.0
"""Seconds for which another process is waited for that has the file."""
_GROUP = 256


class Job(NamedTuple):
    """An operation: what to do, and who is told. `thorough`: leave nothing in the log behind."""

    work: Callable[[Connection], Any]  # Any: whatever it gives
    reply: Reply[Any]
    thorough: bool


class Database:
    """See the module's docstring.

    Args:
        path: the file; None: in the process alone.
        check: refuses a file that is of somebody else, before it is touched.
        prepare: makes the tables where there are none.
    """

    def __init__(
        self,
        path: str | None,
        check: Callable[[Connection], None],
        prepare: Callable[[Connection], None],
    ) -> None:
        self._path = path
        self._check = check
        self._prepare = prepare
        self._ended: Reply[None] = Reply()
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._lock = allocate_lock()
        self._thread: threading.Thread | None = None
        self._closed = False

    def do(self, work: Callable[[Connection], T], *, thorough: bool = False) -> Reply[T]:
        """Have `work` done in a transaction. Any thread; await the Reply on any loop.

        Where it shares a commit that fails it is done again by itself, so it must not keep
        anything of a first time.

        Raises:
            RuntimeStoppedError: closed.
        """
        reply: Reply[Any] = Reply()  # Any: T; the error goes the same way
        with self._lock:
            if self._closed:
                raise RuntimeStoppedError(f"the memory {self.name} is closed")
            if self._thread is None:
                name = f"understudy-memory-{Path(self._path or 'inmemory').name}"
                self._thread = threading.Thread(target=self._work, name=name, daemon=True)
                self._thread.start()
            self._jobs.put(Job(work, reply, thorough))
        return reply

    async def aclose(self) -> None:
        """Finish what was asked for, then take nothing more."""
        with self._lock:
            thread, closed, self._closed = self._thread, self._closed, True
        if thread is not None and not closed:
            self._jobs.put(None)
            await self._ended

    @property
    def name(self) -> str:
        """For errors."""
        return self._path or "in this process"

    # -- on the thread ---------------------------------------------------------------------------

    def _work(self) -> None:
        connection: Connection | None = None
        while (job := self._jobs.get()) is not None:
            group, last = self._waiting(job)
            try:
                if connection is None:
                    connection = self._open()
            except Exception as error:  # noqa: BLE001 - it is the answer to those who ask
                for each in group:
                    each.reply.set_exception(self._told(error))
            else:
                self._serve(connection, group)
            if last:
                break
        if connection is not None:
            connection.close()
        self._ended.set(None)

    def _waiting(self, first: Job) -> tuple[list[Job], bool]:
        """What waits too; True when it is the last."""
        group = [first]
        while len(group) < _GROUP:
            try:
                job = self._jobs.get_nowait()
            except Empty:
                break
            if job is None:
                return group, True
            group.append(job)
        return group, False

    def _open(self) -> Connection:
        connection = sqlite3.connect(
            self._path or ":memory:", timeout=PATIENCE, isolation_level=None
        )
        try:
            if self._path is not None:
                connection.execute("PRAGMA locking_mode=EXCLUSIVE")
                self._check(connection)
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("PRAGMA synchronous=NORMAL")  # a kill loses nothing in WAL
            connection.execute("PRAGMA secure_delete=ON")  # what is erased shall be gone
            connection.execute("BEGIN IMMEDIATE")
            self._prepare(connection)
            connection.execute("COMMIT")
        except BaseException:
            connection.close()
            raise
        return connection

    def _serve(self, connection: Connection, group: list[Job]) -> None:
        try:
            values = _transact(connection, group)
        except Exception as error:  # noqa: BLE001 - it is the answer to those who ask
            if len(group) == 1:
                group[0].reply.set_exception(self._told(error))
            else:
                for job in group:
                    self._serve(connection, [job])
            return
        if self._path is not None and any(job.thorough for job in group):
            with suppress(sqlite3.Error):  # the disk is full: what was deleted waits in the log
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        for job, value in zip(group, values, strict=True):
            job.reply.set(value)

    def _told(self, error: Exception) -> Exception:
        """What SQLite says, with the file and a remedy."""
        if not isinstance(error, sqlite3.Error):
            return error
        said, remedy = str(error), "see that the folder exists and can be written"
        retryable = "locked" in said or "full" in said
        if "locked" in said:
            remedy = "it is in use by another process, or another runtime of this one"
        elif "full" in said:
            remedy = "make room on the disk; what was not written is kept in the process"
        elif "not a database" in said or "malformed" in said:
            remedy = "the file is damaged or something else: move it away, a new one is made"
        elif "fts5" in said:
            remedy = "this Python's SQLite has no full-text search (FTS5), which memories need"
        return StorageError(f"memory {self.name}: {said}; {remedy}", retryable=retryable)


def _transact(connection: Connection, group: list[Job]) -> list[Any]:
    """All of them in one transaction, or none."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        values = [job.work(connection) for job in group]
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return values
