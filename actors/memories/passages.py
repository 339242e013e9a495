"""Documents and their passages in a memory's tables: writing, finding, erasing.

A document is known by its name and the digest of its text: the same text again costs nothing, a
changed one takes the place of the old. Passages are found by their words (BM25, SQLite's FTS5) and,
where there are vectors, by their meaning (cosine); see `rules.ranking` for how the two become one
order. Vectors of another embedder, or of another dimension, are never compared: they are left out
and counted.

Functions of a connection, run by `Database` in a transaction, on its thread.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from hashlib import blake2b
from math import isfinite, sqrt
from operator import mul
from typing import TYPE_CHECKING, NamedTuple

from understudy.actors.memories.database import Connection
from understudy.actors.rules.chunking import Chunk, chunks
from understudy.actors.rules.ranking import coverage, fuse, query_words
from understudy.messages.memories import Document, Passage

if TYPE_CHECKING:
    Vector = array[float]
else:
    Vector = array  # generic for type checkers alone, before Python 3.12
_CANDIDATES = 50
MAX_VECTORS = 50_000
"""Passages of one tenant that a question is compared with, at most."""


class Piece(NamedTuple):
    """A passage that is to be written."""

    chunk: Chunk
    vector: Vector | None


class Plan(NamedTuple):
    """What has to be written: documents that are new or have changed, with their passages."""

    documents: list[tuple[Document, bytes, list[Chunk], bool]]
    """The document, its digest, its passages, whether it is there already."""
    unchanged: int


class Question(NamedTuple):
    """What is looked for: its words, and its vector by that embedder."""

    tenant: str
    text: str
    k: int
    min_score: float
    vector: Vector | None
    embedder: str | None


class Found(NamedTuple):
    """What was found, and how many vectors could not be compared."""

    passages: tuple[Passage, ...]
    strange: int


def plan(connection: Connection, tenant: str, documents: Sequence[Document]) -> Plan:
    """Cut what is new or has changed into passages."""
    wanted, unchanged = [], 0
    for document in documents:
        digest = blake2b(document.text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        row = connection.execute(
            "SELECT digest FROM documents WHERE tenant = ? AND name = ?", (tenant, document.name)
        ).fetchone()
        if row is not None and row[0] == digest:
            unchanged += 1
        else:
            clean = document.text.encode("utf-8", "replace").decode().replace("\0", " ")
            wanted.append((document, digest, list(chunks(clean)), row is not None))
    return Plan(wanted, unchanged)


def write(
    connection: Connection,
    tenant: str,
    planned: Plan,
    vectors: Sequence[Vector | None],
    embedder: str | None,
) -> None:
    """Put the documents of a plan in the place of what was there."""
    at = 0
    for document, digest, parts, _ in planned.documents:
        _remove(connection, tenant, document.name)
        connection.execute(
            "INSERT OR REPLACE INTO documents VALUES (?, ?, ?)", (tenant, document.name, digest)
        )
        for chunk in parts:
            vector = vectors[at] if at < len(vectors) else None
            at += 1
            row = connection.execute(
                "INSERT INTO passages (body, heading, tenant, document) VALUES (?, ?, ?, ?)",
                (chunk.text, chunk.heading, tenant, document.name),
            ).lastrowid
            data = None if vector is None else vector.tobytes()
            values = (row, tenant, document.name, embedder if data is not None else None, data)
            connection.execute("INSERT INTO places VALUES (?, ?, ?, ?, ?)", values)


def count_documents(connection: Connection) -> int:
    """How many documents there are, of all tenants."""
    (count,) = connection.execute("SELECT count(*) FROM documents").fetchone()
    return int(count)


def search(connection: Connection, question: Question) -> Found:
    """The passages that answer the question best."""
    tenant = question.tenant
    found: dict[str, set[int]] = {}
    for word in query_words(question.text):
        rows = connection.execute(
            "SELECT rowid FROM passages WHERE passages MATCH ? AND tenant = ?",
            (f'"{word}"', tenant),
        )
        found[word] = {row for (row,) in rows}
    by_words: list[int] = []
    if any(found.values()):
        either = " OR ".join(f'"{word}"' for word, rows in found.items() if rows)
        by_words = [
            row
            for (row,) in connection.execute(
                "SELECT rowid FROM passages WHERE passages MATCH ? AND tenant = ? "
                "ORDER BY rank LIMIT ?",
                (either, tenant, max(_CANDIDATES, question.k)),
            )
        ]
    cosines, strange = _cosines(connection, question)
    by_meaning = sorted(cosines, key=lambda row: -cosines[row])[: max(_CANDIDATES, question.k)]
    (total,) = connection.execute(
        "SELECT count(*) FROM places WHERE tenant = ?", (tenant,)
    ).fetchone()
    order = fuse([by_words, by_meaning]) if by_meaning else by_words
    scores = coverage(found, total, order)
    if by_meaning:
        scores = {row: (scores[row] + max(0.0, cosines.get(row, 0.0))) / 2 for row in order}
    best = [row for row in order if scores[row] >= question.min_score][: question.k]
    return Found(tuple(_passage(connection, row, min(1.0, scores[row])) for row in best), strange)


def erase_documents(connection: Connection, tenant: str) -> int:
    """Forget the documents of a tenant, with what their words left in the index."""
    names = connection.execute("SELECT name FROM documents WHERE tenant = ?", (tenant,)).fetchall()
    for (name,) in names:
        _remove(connection, tenant, name)
    connection.execute("DELETE FROM documents WHERE tenant = ?", (tenant,))
    if names:  # the index keeps words of deleted rows until it is merged
        connection.execute("INSERT INTO passages (passages) VALUES ('optimize')")
    return len(names)


def vector_of(values: object) -> Vector | None:
    """A vector of length 1, from packed 32-bit floats or from numbers; None for what is none."""
    vector: Vector = array("f")
    try:
        if isinstance(values, bytes):
            vector.frombytes(values)
        else:
            vector.extend(values)  # type: ignore[arg-type]  # whatever an embedder has given
    except (TypeError, ValueError, OverflowError):
        return None
    length = sqrt(sum(map(mul, vector, vector)))
    if not isfinite(length) or not length:
        return None
    return array("f", [value / length for value in vector])


def _cosines(connection: Connection, question: Question) -> tuple[dict[int, float], int]:
    vector = question.vector
    if vector is None:
        return {}, 0
    size, strange = len(vector) * vector.itemsize, 0
    cosines: dict[int, float] = {}
    for row, embedder, data in connection.execute(
        "SELECT passage, embedder, vector FROM places WHERE tenant = ? AND vector IS NOT NULL "
        "LIMIT ?",
        (question.tenant, MAX_VECTORS),
    ):
        if embedder != question.embedder or len(data) != size:
            strange += 1
            continue
        other: Vector = array("f")
        other.frombytes(data)
        cosines[row] = sum(map(mul, vector, other))
    return cosines, strange


def _passage(connection: Connection, row: int, score: float) -> Passage:
    body, heading, document = connection.execute(
        "SELECT body, heading, document FROM passages WHERE rowid = ?", (row,)
    ).fetchone()
    return Passage(document=document, heading=heading, text=body, score=score)


def _remove(connection: Connection, tenant: str, name: str) -> None:
    """Forget the passages of a document."""
    where = "tenant = ? AND document = ?"
    connection.execute(
        f"DELETE FROM passages WHERE rowid IN (SELECT passage FROM places WHERE {where})",  # noqa: S608
        (tenant, name),
    )
    connection.execute(f"DELETE FROM places WHERE {where}", (tenant, name))  # noqa: S608
