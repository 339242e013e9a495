"""SQLite files for whatever outlives a process and is more than a few values: caches, memories.

Guarantees
- What was committed survives the end of the process, however it ends (WAL, `synchronous=NORMAL`);
  what was not is gone as a whole.
- A file is opened only if it is what it should be: ours (by its application id), of the same kind,
  of a version that is known, and not damaged. What is wrong is told in a sentence with a remedy.
- Other processes may use the same file: who finds it locked waits for `patience` seconds.

Assumptions: one actor uses it, on whichever thread serves that actor, one message at a time; it
calls `close` in `on_stop`. So there is one writer in this process and no lock in here.

Why not the storage port: what is kept here is looked up by more than its name, changes often, and
is swept by time and size. Why not one file for everything: they have different owners and lives.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from understudy.messages.errors import StorageError

PATIENCE = 2.0
"""Seconds to wait for another process that writes."""
_WITHOUT_A_FILE = (":memory:", "")


class Database:
    """See the module's docstring. Everything in here blocks.

    Args:
        path: of the file; its folder is made when it is not there.
        kind: what it holds, for messages; `application_id` marks the file as that.
        application_id: a number of 32 bits.
        version: of the tables. A file of an older one is emptied (`rebuild`), where the owner can
            make everything in it again, or refused.
        tables: statements that make what is not there yet.
        rebuild: names of the tables to drop when the version is older.

    Raises:
        StorageError: it cannot be opened.
    """

    def __init__(
        self,
        path: str,
        *,
        kind: str,
        application_id: int,
        version: int,
        tables: Sequence[str],
        rebuild: Sequence[str] = (),
        patience: float = PATIENCE,
    ) -> None:
        self.path = path
        self.kind = kind
        if path in _WITHOUT_A_FILE:
            raise StorageError(f"path={path!r}: give the path of a file, or None for none")
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                path, timeout=patience, isolation_level=None, check_same_thread=False
            )
        except (OSError, sqlite3.Error) as error:
            raise self.blamed(error) from error
        try:
            self._set_up(application_id, version, tables, rebuild)
        except BaseException as error:
            self._connection.close()
            if isinstance(error, sqlite3.Error):
                raise self.blamed(error) from error
            raise

    def _set_up(
        self, application_id: int, version: int, tables: Sequence[str], rebuild: Sequence[str]
    ) -> None:
        run = self._connection.execute
        mark = run("PRAGMA application_id").fetchone()[0]
        found = run("PRAGMA user_version").fetchone()[0]
        empty = run("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
        if mark != application_id and not (empty and mark == 0):
            raise StorageError(
                f"{self.path} is a database, but no {self.kind}; give another path, or move it away"
            )
        if found > version:
            raise StorageError(
                f"{self.path} is a {self.kind} of a newer version ({found}; this is {version}); "
                "use another path, or update understudy"
            )
        if not empty and found < version and not rebuild:
            raise StorageError(
                f"{self.path} is a {self.kind} of version {found}, which this one ({version}) "
                "cannot read; use another path"
            )
        run("PRAGMA journal_mode=WAL")
        run("PRAGMA synchronous=NORMAL")
        if not empty and found < version:
            for table in rebuild:
                run(f"DROP TABLE IF EXISTS {table}")
        for statement in tables:
            run(statement)
        if mark != application_id:
            run(f"PRAGMA application_id={application_id}")
        if found != version:
            run(f"PRAGMA user_version={version}")

    def rows(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement and give its rows.

        Raises:
            StorageError: the file is locked, full or damaged.
        """
        try:
            return self._connection.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise self.blamed(error) from error

    def write(self, *statements: tuple[str, Sequence[Any]]) -> None:
        """Run some statements as one transaction: all of them, or none.

        Raises:
            StorageError: as `rows`.
        """
        run = self._connection.execute
        try:
            run("BEGIN IMMEDIATE")
            try:
                for statement, values in statements:
                    run(statement, values)
                run("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    run("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise self.blamed(error) from error

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def blamed(self, error: Exception) -> StorageError:
        """What went wrong, as a sentence with a remedy."""
        what = f"{self.path} ({self.kind})"
        code = getattr(error, "sqlite_errorcode", None)
        name = getattr(error, "sqlite_errorname", "") or ""
        said = str(error).rstrip(".")
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            told = f"{what} is locked by another process: {said}"
            return StorageError(told, retryable=True, retry_after=5.0)
        if name.startswith("SQLITE_FULL"):
            told = f"{what}: the disk is full; make room on it"
            return StorageError(told, retryable=True, retry_after=30.0)
        if name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
            return StorageError(f"{what} is damaged or no database ({said}); move it away")
        if isinstance(error, OSError):
            return StorageError(f"{what} cannot be opened: {said}")
        return StorageError(f"{what}: {said} ({name or code})")
