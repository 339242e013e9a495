"""The tables of a memory, and its sessions in them.

A session is a row, each of its turns another: a turn is written once, as msgpack, and never touched
again. Functions of a connection, run by `Database` in a transaction.

The file says whose it is (`application_id`) and how it is laid out (`user_version`): one of
somebody else, or of a newer version, is refused before anything is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from understudy.actors.memories.database import Connection
from understudy.actors.memories.shelf import Key
from understudy.messages.errors import StorageError

APPLICATION = 0x756E6473
"""`unds`, in the header of the file."""
VERSION = 1

_TABLES = """
CREATE TABLE sessions (
    id INTEGER PRIMARY KEY, tenant TEXT NOT NULL, session TEXT NOT NULL, used REAL NOT NULL,
    UNIQUE (tenant, session));
CREATE INDEX by_use ON sessions (used);
CREATE TABLE turns (
    session INTEGER NOT NULL REFERENCES sessions (id), number INTEGER NOT NULL, data BLOB NOT NULL,
    PRIMARY KEY (session, number)) WITHOUT ROWID;
CREATE TABLE documents (
    tenant TEXT NOT NULL, name TEXT NOT NULL, digest BLOB NOT NULL,
    PRIMARY KEY (tenant, name)) WITHOUT ROWID;
CREATE VIRTUAL TABLE passages USING fts5 (
    body, heading, tenant UNINDEXED, document UNINDEXED,
    tokenize = "porter unicode61 remove_diacritics 2");
CREATE TABLE places (
    passage INTEGER PRIMARY KEY, tenant TEXT NOT NULL, document TEXT NOT NULL, embedder TEXT,
    vector BLOB);
CREATE INDEX by_document ON places (tenant, document);
"""


class Saved(NamedTuple):
    """A session as it is in the file: when its last turn came, and its turns by number."""

    used: float
    turns: list[tuple[int, bytes]]


def check(connection: Connection) -> None:
    """See that a file can be used.

    Raises:
        StorageError: it was made by something else, or by a newer version.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if tables and application != APPLICATION:
        raise StorageError("the file is a database of some other program: give another path")
    if version > VERSION:
        raise StorageError(
            f"the memory was written by a newer version (layout {version}; this one knows "
            f"{VERSION}): upgrade understudy, or give another path"
        )


def prepare(connection: Connection) -> None:
    """Make the tables in a new file."""
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if not tables:
        for statement in _TABLES.split(";")[:-1]:
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute(f"PRAGMA user_version = {VERSION}")


def load(connection: Connection, key: Key) -> Saved | None:
    """A session, whole."""
    row = connection.execute(
        "SELECT id, used FROM sessions WHERE tenant = ? AND session = ?", key
    ).fetchone()
    if row is None:
        return None
    turns = connection.execute(
        "SELECT number, data FROM turns WHERE session = ? ORDER BY number", (row[0],)
    ).fetchall()
    return Saved(row[1], turns)


def save(connection: Connection, key: Key, used: float, turns: Mapping[int, bytes]) -> None:
    """Write turns of a session; those that are there already are the same."""
    (row,) = connection.execute(
        "INSERT INTO sessions (tenant, session, used) VALUES (?, ?, ?) "
        "ON CONFLICT (tenant, session) DO UPDATE SET used = excluded.used RETURNING id",
        (*key, used),
    ).fetchone()
    connection.executemany(
        "INSERT OR REPLACE INTO turns VALUES (?, ?, ?)",
        [(row, number, data) for number, data in turns.items()],
    )


def clear(connection: Connection, key: Key) -> bool:
    """Forget a session; False when there was none."""
    return _forget(connection, "tenant = ? AND session = ?", key) > 0


def sweep(connection: Connection, before: float) -> int:
    """Forget the sessions whose last turn came before; gives how many."""
    return _forget(connection, "used < ?", (before,))


def erase_sessions(connection: Connection, tenant: str) -> int:
    """Forget the sessions of a tenant; gives how many."""
    return _forget(connection, "tenant = ?", (tenant,))


def _forget(connection: Connection, which: str, values: tuple[object, ...]) -> int:
    connection.execute(
        f"DELETE FROM turns WHERE session IN (SELECT id FROM sessions WHERE {which})",  # noqa: S608
        values,
    )
    return connection.execute(f"DELETE FROM sessions WHERE {which}", values).rowcount  # noqa: S608
