"""The database of a memory: one thread, whole operations, many in one commit."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from understudy.actors.memories.database import Connection, Database
from understudy.messages.errors import RuntimeStoppedError, StorageError

pytestmark = pytest.mark.anyio


def prepare(connection: Connection) -> None:
    """A table, where there is none."""
    connection.execute("CREATE TABLE IF NOT EXISTS things (x UNIQUE)")


def nothing(connection: Connection) -> None:
    """Every file will do."""
    del connection


def add(x: int) -> Any:
    """Write one thing."""
    return lambda connection: connection.execute("INSERT INTO things VALUES (?)", (x,)).lastrowid


def things(connection: Connection) -> list[int]:
    """All of them."""
    return [x for (x,) in connection.execute("SELECT x FROM things ORDER BY x")]


@pytest.mark.parametrize("in_file", [False, True])
async def test_one_that_fails_takes_nobody_along(tmp_path: Path, in_file: bool) -> None:
    """Of many that share a commit; what it had done itself is undone."""
    database = Database(str(tmp_path / "x.db") if in_file else None, nothing, prepare)

    def half(connection: Connection) -> None:
        connection.execute("INSERT INTO things VALUES (99)")
        raise ValueError("half")

    first = database.do(lambda _: list(range(300_000)))  # the others wait together meanwhile
    replies = [database.do(add(n)) for n in (1, 2, 2, 3)]
    failing = database.do(half)
    after = database.do(things)
    await first
    results = []
    for reply in replies:
        try:
            results.append(await reply > 0)
        except StorageError as error:
            results.append("UNIQUE" in str(error))
    with pytest.raises(ValueError, match="half"):
        await failing
    assert results == [True] * 4
    assert await after == [1, 2, 3]
    await database.aclose()


async def test_many_share_a_commit(tmp_path: Path) -> None:
    """Writing a thousand things takes far fewer than a thousand transactions."""
    path = tmp_path / "x.db"
    database = Database(str(path), nothing, prepare)
    begun: list[str] = []

    def watch(connection: Connection) -> None:
        connection.set_trace_callback(
            lambda told: begun.append(told) if told.startswith("BEGIN") else None
        )
        sum(range(2_000_000))  # the others wait together meanwhile

    await database.do(nothing)
    replies = [database.do(watch), *(database.do(add(n)) for n in range(1000))]
    for reply in replies:
        await reply
    assert len(begun) < 50
    await database.aclose()
    connection = sqlite3.connect(path)
    assert len(things(connection)) == 1000
    connection.close()


async def test_what_was_asked_before_the_end_is_done() -> None:
    """What is asked after it is refused; closing twice is closing once."""
    database = Database(None, nothing, prepare)
    replies = [database.do(add(n)) for n in range(10)]
    await database.aclose()
    assert [await reply for reply in replies] == list(range(1, 11))
    with pytest.raises(RuntimeStoppedError, match="closed"):
        database.do(things)
    await database.aclose()


async def test_a_database_that_cannot_be_opened_tries_again(tmp_path: Path) -> None:
    """Everybody who asks meanwhile is told why."""
    path = tmp_path / "not yet" / "x.db"
    database = Database(str(path), nothing, prepare)
    for _ in range(2):
        with pytest.raises(StorageError, match="see that the folder exists"):
            await database.do(things)
    path.parent.mkdir()
    assert await database.do(things) == []
    await database.aclose()
