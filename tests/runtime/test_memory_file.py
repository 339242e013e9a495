"""A memory in a file: what it outlives, and what a file can be."""

import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.runtime.said import texts

from understudy import (
    Agent,
    AssistantMessage,
    ConfigError,
    Memory,
    Runtime,
    StorageError,
    SystemMessage,
    UserMessage,
)
from understudy.messages.memories import Erase, History
from understudy.testing import FakeModel, ManualClock

pytestmark = pytest.mark.anyio


def said(text: str) -> tuple[UserMessage, AssistantMessage]:
    """A turn."""
    return UserMessage(content=text), AssistantMessage(content=f"re {text}")


def test_a_file_outlives_the_runtime(tmp_path: Path) -> None:
    """Sessions, system messages and documents."""
    path = tmp_path / "chat.db"
    with Runtime() as rt:
        memory = Memory(path=path)
        memory.append("s", SystemMessage(content="rule"), runtime=rt)
        Agent(FakeModel.echo(), memory=memory).run("hello", session="s", runtime=rt)
        memory.ingest({"cats": "cats purr"}, runtime=rt)
    with Runtime() as rt:
        memory = Memory(path=str(path))
        assert texts(memory.history("s", runtime=rt))[:2] == ["rule", "hello"]
        assert memory.recall("cats", runtime=rt)[0].document == "cats"
        assert memory.ingest({"cats": "cats purr"}, runtime=rt).unchanged == 1
        assert memory.clear("s", runtime=rt)
    with Runtime() as rt:
        assert Memory(path=path).history("s", runtime=rt) == ()


def test_what_leaves_the_process_comes_back(tmp_path: Path) -> None:
    """With a file nothing is forgotten for want of room."""
    with Runtime() as rt:
        memory = Memory(path=tmp_path / "chat.db", max_sessions=2)
        for turn in range(3):
            for session in "abcde":
                memory.append(session, said(f"{turn}"), runtime=rt)
        for session in "abcde":
            found = texts(memory.history(session, runtime=rt))[::2]
            assert found == ["0", "1", "2"]
        stats = rt.crew.memories.find(memory).shelf.stats()
        assert stats.sessions == 2
        assert stats.evicted == 0
        assert stats.passivated >= 13
        assert stats.loaded >= 13


def test_idle_sessions_go_to_the_file_and_old_ones_out_of_it(tmp_path: Path) -> None:
    """By the clock; the next turn of a session that is over begins a new one."""
    clock, path = ManualClock(), tmp_path / "chat.db"
    with Runtime(clock=clock) as rt:
        memory = Memory(path=path, ttl="1h")
        memory.append("s", said("1"), runtime=rt)
        memory.append("t", said("1"), runtime=rt)
        clock.advance(650.0)
        clock.advance(650.0)
        memory.history("other", runtime=rt)
        shelf = rt.crew.memories.find(memory).shelf
        assert (shelf.stats().sessions, shelf.stats().passivated) == (0, 2)
        assert len(memory.history("s", runtime=rt)) == 2
        clock.advance(3000.0)
        memory.append("s", said("2"), runtime=rt)
        assert texts(memory.history("s", runtime=rt)) == ["2", "re 2"]
        for _ in range(3):
            clock.advance(1900.0)
            memory.history("other", runtime=rt)
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM turns").fetchone() == (0,)
    connection.close()


_KILLED = """
import os, sys
from understudy import Agent, Memory, Runtime
from understudy.testing import FakeModel
with Runtime() as rt:
    agent = Agent(FakeModel.echo(), memory=Memory(path=sys.argv[1]))
    for n in range(5):
        agent.run(f"q{n}", session="s", runtime=rt)
    agent.submit("never", session="s", runtime=rt)
    os.kill(os.getpid(), 9)
"""


def test_what_was_answered_survives_a_kill(tmp_path: Path) -> None:
    """Every turn whose run has returned is there, none is half."""
    path = tmp_path / "chat.db"
    done = subprocess.run([sys.executable, "-c", _KILLED, str(path)], timeout=60, check=False)
    assert done.returncode == -9
    with Runtime() as rt:
        kept = texts(Memory(path=path).history("s", runtime=rt))
    assert kept[:10:2] == [f"q{n}" for n in range(5)]
    assert len(kept) % 2 == 0


def _garbage(path: Path) -> None:
    path.write_bytes(b"no database at all " * 1000)


def _foreign(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE things (x)")
    connection.commit()
    connection.close()


def _newer(path: Path) -> None:
    with Runtime() as rt:
        Memory(path=path).append("s", said("x"), runtime=rt)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (_garbage, "not a database; the file is damaged"),
        (_foreign, "some other program"),
        (_newer, r"newer version \(layout 99; this one knows 1\): upgrade"),
        (Path.mkdir, "see that the folder exists"),
    ],
)
def test_a_file_that_is_none_of_ours_is_refused(tmp_path: Path, spoil: Any, told: str) -> None:
    """Before the model is asked; the file stays as it was."""
    path = tmp_path / "chat.db"
    spoil(path)
    before = path.read_bytes() if path.is_file() else None
    fake = FakeModel.echo()
    with Runtime() as rt, pytest.raises(StorageError, match=told):
        Agent(fake, memory=Memory(path=path)).run("x", session="s", runtime=rt)
    assert not fake.requests
    assert before is None or path.read_bytes() == before


def test_a_run_without_a_session_goes_on_without_passages(tmp_path: Path) -> None:
    """They would have helped, but it can be answered; the memory counts it."""
    path = tmp_path / "chat.db"
    _garbage(path)
    with Runtime() as rt:
        memory = Memory(path=path)
        result = Agent(FakeModel.echo(), memory=memory).run("x", runtime=rt)
        assert (result.output, result.passages) == ("echo: x", ())
        stats = rt.crew.memories.find(memory).shelf.stats()
        assert stats.failed_recalls == 1
        assert "not a database" in str(stats.last_error)


def test_a_file_has_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who comes second is told so, and gets it when the first has ended."""
    monkeypatch.setattr("understudy.actors.memories.database.PATIENCE", 0.01)
    memory = Memory(path=tmp_path / "chat.db")
    with Runtime() as second:
        with Runtime() as first:
            memory.append("s", said("x"), runtime=first)
            with pytest.raises(StorageError, match="in use by another process"):
                memory.history("s", runtime=second)
        assert len(memory.history("s", runtime=second)) == 2


def test_a_full_disk_ends_no_run(tmp_path: Path) -> None:
    """The turn stays in the process, is counted, and is written with the next one."""
    path = tmp_path / "chat.db"
    with Runtime() as rt:
        memory = Memory(path=path, max_sessions=1)
        agent = Agent(FakeModel.echo(), memory=memory)
        agent.run("0", session="s", runtime=rt)
        database = rt.crew.memories.find(memory).database

        def bound(pages: int) -> None:
            database.do(lambda c: c.execute(f"PRAGMA max_page_count = {pages}").fetchall()).get()

        bound(1)
        large = "x" * 200_000
        agent.run(large, session="s", runtime=rt)
        agent.run("2", session="s", runtime=rt)
        stats = rt.crew.memories.find(memory).shelf.stats()
        assert stats.failed_writes == 2
        assert "full" in str(stats.last_error)
        memory.append("t", said("small"), runtime=rt)
        assert len(memory.history("s", runtime=rt)) == 6
        bound(10_000)
        agent.run("3", session="s", runtime=rt)
    with Runtime() as rt:
        assert texts(Memory(path=path).history("s", runtime=rt))[::2] == ["0", large, "2", "3"]


def test_a_turn_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """An answer without its history would be an answer to something else; clearing helps."""
    path = tmp_path / "chat.db"
    with Runtime() as rt:
        Memory(path=path).append("s", said("x"), runtime=rt)
        Memory(path=path).append("t", said("x"), runtime=rt)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE turns SET data = x'ff00' WHERE session = 1")
    connection.commit()
    connection.close()
    with Runtime() as rt:
        memory = Memory(path=path)
        with pytest.raises(StorageError, match=r"session 's' cannot be read.*clear it"):
            Agent(FakeModel.echo(), memory=memory).run("x", session="s", runtime=rt)
        assert len(memory.history("t", runtime=rt)) == 2
        assert memory.clear("s", runtime=rt)
        assert memory.history("s", runtime=rt) == ()


def test_one_file_has_one_setting(runtime: Runtime, tmp_path: Path) -> None:
    """Two specs for one file have to be the same."""
    path = tmp_path / "chat.db"
    Memory(path=path).append("s", said("x"), runtime=runtime)
    with pytest.raises(ConfigError, match="open here with other settings"):
        Memory(path=path, ttl="1h").history("s", runtime=runtime)


def test_a_session_that_was_over_before_is_not_read(tmp_path: Path) -> None:
    """Nobody has swept: its time was over while no runtime had the file. A new one begins."""
    path, clock = tmp_path / "chat.db", ManualClock()
    with Runtime(clock=clock) as rt:
        Memory(path=path, ttl=100.0).append("s", said("old"), runtime=rt)
    with Runtime(clock=ManualClock(wall=clock.wall() + 101.0)) as rt:
        memory = Memory(path=path, ttl=100.0)
        assert memory.history("s", runtime=rt) == ()
        memory.append("s", said("new"), runtime=rt)
    with Runtime(clock=ManualClock(wall=clock.wall() + 102.0)) as rt:
        assert texts(Memory(path=path, ttl=100.0).history("s", runtime=rt)) == ["new", "re new"]


async def test_what_is_being_read_when_its_tenant_is_erased_is_gone(tmp_path: Path) -> None:
    """The one who has asked for it gets nothing either; what comes after is kept."""
    path = tmp_path / "chat.db"
    async with Runtime() as rt:
        await Memory(path=path).aappend("s", said("x"), tenant="acme", runtime=rt)
    async with Runtime() as rt:
        memory = Memory(path=path)
        ref = rt.crew.memories.find(memory).ref
        asked = ref.request(History(tenant="acme", session="s"))
        erased = ref.request(Erase(tenant="acme"))
        assert (await asked).messages == ()
        assert (await erased).sessions == 1
        await memory.aappend("s", said("y"), tenant="acme", runtime=rt)
        assert len(await memory.ahistory("s", tenant="acme", runtime=rt)) == 2
