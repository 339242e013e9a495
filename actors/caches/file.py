"""The file behind the memory of a cache: SQLite, one writer, bytes alone.

Guarantees: an entry comes back exactly as it was stored, or not at all: each has a checksum over
its key and its value, and one that does not fit is deleted and counted. Entries end at the time
that they were stored with; a sweep forgets them, and those used longest ago where there are more
than the bounds allow. Several processes may share a file.

What fails here is never a run's failure: the cache counts it as a miss and says what is wrong.
"""

from __future__ import annotations

from hashlib import blake2b

import msgspec

from understudy.actors.kernel.actor import Actor
from understudy.actors.kernel.sqlite import Database
from understudy.messages.caches import Invalidate
from understudy.messages.chat import Usage
from understudy.messages.codec import MAX_DEPTH
from understudy.messages.depth import msgpack_too_deep
from understudy.messages.errors import StorageError

APPLICATION = 0x75736361  # "usca"
VERSION = 1
SWEEP_EVERY = 60.0
MARGIN = 20
"""Where there is too much, one part in so many more is forgotten, so that it is not so often."""
_ROW = 160
"""Bytes of a row besides its value."""
_TABLES = (
    """CREATE TABLE IF NOT EXISTS entries (
        key BLOB PRIMARY KEY, value BLOB NOT NULL, digest BLOB NOT NULL, at REAL NOT NULL,
        ends REAL NOT NULL, used REAL NOT NULL, size INTEGER NOT NULL, tenant TEXT NOT NULL,
        tags TEXT NOT NULL, usage BLOB, seconds REAL NOT NULL, gate BLOB NOT NULL,
        text TEXT NOT NULL) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS by_gate ON entries (gate) WHERE gate != x''",
    "CREATE INDEX IF NOT EXISTS by_used ON entries (used)",
    "CREATE INDEX IF NOT EXISTS by_end ON entries (ends)",
    """CREATE TABLE IF NOT EXISTS vectors (
        text BLOB PRIMARY KEY, vector BLOB NOT NULL) WITHOUT ROWID""",
)
_INSERT = "INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_OLDEST = "DELETE FROM entries WHERE key IN (SELECT key FROM entries ORDER BY used LIMIT ?)"
_FIELDS = "key, value, digest, at, ends, tenant, tags, usage, seconds, gate, text"
_SEPARATOR = "\x1f"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """An entry in the file; `at` and `ends` in wall time."""

    key: bytes
    value: bytes
    at: float
    ends: float
    tenant: str = ""
    tags: tuple[str, ...] = ()
    usage: Usage | None = None
    seconds: float = 0.0
    gate: bytes = b""
    text: str = ""

    @property
    def digest(self) -> bytes:
        """What changes when a bit of it does."""
        hashed = blake2b(self.key, digest_size=16)
        said = (self.at, self.ends, self.seconds, self.tags, self.usage)
        plain = msgspec.msgpack.encode(said)
        text = self.text.encode("utf-8", "surrogatepass")
        for part in (self.value, self.tenant.encode(), self.gate, text, plain):
            hashed.update(len(part).to_bytes(8, "big") + part)
        return hashed.digest()


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """Ask for an entry, or for those of a gate; the reply is a tuple of rows."""

    key: bytes
    gate: bytes = b""


class Save(msgspec.Struct, frozen=True, kw_only=True):
    """Keep an entry."""

    row: Row


class Drop(msgspec.Struct, frozen=True, kw_only=True):
    """Forget what matches; the reply is how many."""

    wanted: Invalidate


class Vectors(msgspec.Struct, frozen=True, kw_only=True):
    """Ask for the vectors of some texts, by their hashes; the reply is a dictionary."""

    texts: tuple[bytes, ...]


class SaveVectors(msgspec.Struct, frozen=True, kw_only=True):
    """Keep some vectors for ever."""

    vectors: dict[bytes, bytes]


class Sweep(msgspec.Struct, frozen=True):
    """Forget what has ended and what is too much (from the actor to itself)."""


class FileSizes(msgspec.Struct, frozen=True, kw_only=True):
    """Ask how much there is; the reply is (entries, bytes)."""


Asked = Load | Save | Drop | Vectors | SaveVectors | Sweep | FileSizes


class CacheFileActor(Actor):
    """See the module's docstring.

    Args:
        path: of the file.
        max_size, max_bytes: of its entries.
    """

    bulkhead = "files"
    expects = (StorageError,)

    def __init__(self, path: str, max_size: int, max_bytes: int) -> None:
        self._path = path
        self._max_size = max_size
        self._max_bytes = max_bytes
        self._database: Database | None = None
        self._size = self._bytes = 0
        self._swept = -SWEEP_EVERY

    def on_receive(self, message: Asked) -> object:
        """Read or write."""
        database = self._open()
        match message:
            case Load():
                return self._load(database, message)
            case Save():
                self._save(database, message.row)
            case Drop():
                return self._drop(database, message.wanted)
            case Vectors():
                return _vectors(database, message.texts)
            case SaveVectors():
                insert = "INSERT OR REPLACE INTO vectors VALUES (?, ?)"
                database.write(*((insert, pair) for pair in message.vectors.items()))
            case Sweep():
                self._sweep(database)
            case FileSizes():
                return self._size, self._bytes
        return None

    def on_stop(self) -> None:
        """Let go of the file."""
        if self._database is not None:
            self._database.close()

    def _open(self) -> Database:
        database = self._database
        if database is None:
            database = self._database = Database(
                self._path,
                kind="cache of understudy",
                application_id=APPLICATION,
                version=VERSION,
                tables=_TABLES,
                rebuild=("entries", "vectors"),
            )
            self._sweep(database)
            self.timer(Sweep(), every=SWEEP_EVERY)
        return database

    def _load(self, database: Database, asked: Load) -> tuple[Row, ...]:
        now = self._cell.system.clock.wall()
        where = "(key = ? OR gate = ?)" if asked.gate else "key = ?"
        values = (asked.key, asked.gate, now) if asked.gate else (asked.key, now)
        found = database.rows(
            f"SELECT {_FIELDS} FROM entries WHERE {where} AND ends > ? LIMIT 64",  # noqa: S608 - ours
            values,
        )
        rows = []
        for fields in found:
            row = _row(fields)
            if row is None:
                database.write(("DELETE FROM entries WHERE key = ?", (fields[0],)))
                told = f"{self._path}: an entry was damaged, and is deleted"
                raise StorageError(told, retryable=True)
            rows.append(row)
        if rows:
            used = "UPDATE entries SET used = ? WHERE key = ?"
            database.write((used, (now, rows[0].key)))
        return tuple(rows)

    def _save(self, database: Database, row: Row) -> None:
        size = len(row.value) + len(row.text) + _ROW
        if size > self._max_bytes:
            return
        usage = None if row.usage is None else msgspec.msgpack.encode(row.usage)
        tags = _SEPARATOR.join(("", *row.tags, ""))
        values = (row.key, row.value, row.digest, row.at, row.ends, row.at, size, row.tenant)
        database.write((_INSERT, (*values, tags, usage, row.seconds, row.gate, row.text)))
        self._size += 1
        self._bytes += size
        if self._size > self._max_size or self._bytes > self._max_bytes:
            self._sweep(database)

    def _drop(self, database: Database, wanted: Invalidate) -> int:
        conditions, values = [], []
        for tag in (None if wanted.tool is None else f"tool:{wanted.tool}", wanted.tag):
            if tag is not None:
                conditions.append("instr(tags, ?) > 0")
                values.append(f"{_SEPARATOR}{tag}{_SEPARATOR}")
        if wanted.tenant is not None:
            conditions.append("tenant = ?")
            values.append(wanted.tenant)
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        before = self._size
        database.write((f"DELETE FROM entries{where}", values))  # noqa: S608 - ours
        self._count(database)
        return max(0, before - self._size)

    def _sweep(self, database: Database) -> None:
        database.write(
            ("DELETE FROM entries WHERE ends <= ?", (self._cell.system.clock.wall(),)),
        )
        self._count(database)
        while self._size and (self._size > self._max_size or self._bytes > self._max_bytes):
            surplus = max(self._size - self._max_size, self._size // MARGIN, 1)
            database.write((_OLDEST, (surplus,)))
            self._count(database)

    def _count(self, database: Database) -> None:
        found = database.rows("SELECT count(*), coalesce(sum(size), 0) FROM entries")
        self._size, self._bytes = found[0]


def _row(fields: tuple[object, ...]) -> Row | None:
    """The entry, or None where it is damaged."""
    key, value, digest, at, ends, tenant, tags, usage, seconds, gate, text = fields
    try:
        row = msgspec.convert(
            {
                "key": key,
                "value": value,
                "at": at,
                "ends": ends,
                "tenant": tenant,
                "tags": tuple(filter(None, str(tags).split(_SEPARATOR))),
                "usage": None
                if usage is None
                else msgspec.msgpack.decode(bytes(usage), type=Usage),  # type: ignore[call-overload]
                "seconds": seconds,
                "gate": gate,
                "text": text,
            },
            Row,
            builtin_types=(bytes,),
        )
    except (msgspec.MsgspecError, TypeError, ValueError):
        return None
    # A checksum is no proof of who wrote it: nothing that nests too deep is ever decoded.
    return row if row.digest == digest and not msgpack_too_deep(row.value, MAX_DEPTH) else None


def _vectors(database: Database, texts: tuple[bytes, ...]) -> dict[bytes, bytes]:
    marks = ", ".join("?" * len(texts))
    found = database.rows(f"SELECT text, vector FROM vectors WHERE text IN ({marks})", texts)  # noqa: S608 - ours
    return dict(found)
