"""The file behind a cache: what outlives a process, and everything that can be wrong with it."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from understudy import Agent, Cache, ConfigError, Runtime
from understudy.actors.caches.file import CacheFileActor, FileSizes, Load, Row, Save, Sweep
from understudy.actors.kernel.options import child
from understudy.actors.kernel.sqlite import Database
from understudy.messages.caches import CacheStats
from understudy.messages.chat import Usage
from understudy.messages.errors import StorageError
from understudy.testing import FakeModel, ManualClock, assert_quiet

pytestmark = pytest.mark.anyio

LOCAL = "local:extractive"
TEXT = "Actors exchange messages. Tea is nice. A cache keeps what was made."


async def ask(path: Path, prompt: str = TEXT, **options: object) -> tuple[str, str | None]:
    """What a fresh runtime with this file answers, and from which layer."""
    async with Runtime() as rt:
        agent = Agent(LOCAL, cache=Cache(path=path, **options))  # type: ignore[arg-type]
        result = await rt.arun(agent, prompt)
        await agent_stats(rt, agent)
    return result.output, None if result.cached is None else result.cached.layer


async def agent_stats(rt: Runtime, agent: Agent) -> CacheStats:
    """Of its cache; the file has done everything that was asked before, then."""
    assert isinstance(agent.cache, Cache)
    return await agent.cache.astats(runtime=rt)


def row(key: str, value: bytes = b"value", *, at: float = 0.0, ends: float = 1e12) -> Row:
    """An entry of a file."""
    return Row(
        key=key.encode(),
        value=value,
        at=at,
        ends=ends,
        tenant="t",
        tags=("a", "tool:b"),
        usage=Usage(input_tokens=3),
        seconds=1.5,
        gate=b"gate",
        text="text",
    )


async def test_answers_outlive_the_process_that_made_them(tmp_path: Path) -> None:
    """The next one finds them in the file, and then in memory."""
    path = tmp_path / "made" / "cache.db"
    said, layer = await ask(path)
    assert layer is None
    assert await ask(path) == (said, "file")
    async with Runtime() as rt:
        agent = Agent(LOCAL, cache=Cache(path=path))
        layers = [(await rt.arun(agent, TEXT)).cached for _ in range(2)]
        assert [each and each.layer for each in layers] == ["file", "memory"]
        stats = await agent_stats(rt, agent)
        assert (stats.file_size, stats.misses, stats.hits) == (1, 0, 2)
        assert stats.file_bytes > 0
        assert await rt.ainvalidate(tenant="") == 1
        assert (await agent_stats(rt, agent)).file_size == 0
    assert (await ask(path))[1] is None


async def test_an_entry_comes_back_as_it_was(tmp_path: Path) -> None:
    """Every field of it."""
    async with Runtime() as rt:
        ref = await rt.aspawn(child(CacheFileActor, str(tmp_path / "c.db"), 10, 10_000))
        await ref.request(Save(row=row("one")))
        assert await ref.request(Load(key=b"one")) == (row("one"),)
        assert await ref.request(Load(key=b"two", gate=b"gate")) == (row("one"),)
        assert await ref.request(Load(key=b"two")) == ()


async def test_an_object_of_this_process_leaves_nothing_in_the_file(tmp_path: Path) -> None:
    """Nobody else could know that it is the same model."""
    async with Runtime() as rt:
        agent = Agent(FakeModel.echo(), cache=Cache(path=tmp_path / "c.db"))
        await rt.arun(agent, "q")
        assert (await agent_stats(rt, agent)).file_size == 0
        assert (await rt.arun(agent, "q")).cached is not None


KILLED = """
import sys, time
from understudy import Agent, Cache, Runtime
with Runtime() as rt:
    cache = Cache(path=sys.argv[1])
    agent = Agent("local:extractive", cache=cache)
    for number in range(1000000):
        rt.run(agent, f"Sentence number {number} is here. Another one follows it.")
        assert cache.stats.problem is None
        print(number, flush=True)
"""


async def test_it_survives_kill_9(tmp_path: Path) -> None:
    """Whatever was said to be stored is there, whole, after the process was killed."""
    path = tmp_path / "c.db"
    process = subprocess.Popen(  # noqa: ASYNC220 - nothing else runs here
        [sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    stored = [int(process.stdout.readline()) for _ in range(25)][-1]
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    async with Runtime() as rt:
        agent = Agent(LOCAL, cache=Cache(path=path))
        for number in range(stored + 1):
            prompt = f"Sentence number {number} is here. Another one follows it."
            cached = (await rt.arun(agent, prompt)).cached
            assert cached is not None
            assert cached.layer == "file"


async def test_two_processes_may_use_one_file(tmp_path: Path) -> None:
    """What one has made the other finds, while both run."""
    path = tmp_path / "c.db"
    async with Runtime(name="a") as one, Runtime(name="b") as two:
        agent = Agent(LOCAL, cache=Cache(path=path))
        await one.arun(agent, TEXT)
        await agent_stats(one, agent)
        cached = (await two.arun(agent, TEXT)).cached
        assert cached is not None
        assert cached.layer == "file"


# -- what can be wrong with it ---------------------------------------------------------------------


def spoil_with_text(path: Path) -> None:
    """No database at all."""
    path.write_text("this is a diary, and no database " * 100)


def spoil_pages(path: Path) -> None:
    """A database whose pages were overwritten."""
    Database(
        str(path), kind="x", application_id=0x75736361, version=1, tables=("CREATE TABLE t (a)",)
    ).close()
    with path.open("r+b") as file:
        file.seek(100)
        file.write(os.urandom(4000))


def make_newer(path: Path) -> None:
    """A cache of a version to come."""
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE entries (other)")
    connection.execute("PRAGMA application_id=0x75736361")
    connection.execute("PRAGMA user_version=99")
    connection.commit()
    connection.close()


def make_foreign(path: Path) -> None:
    """Somebody else's database."""
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE customers (name)")
    connection.execute("INSERT INTO customers VALUES ('Ada')")
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (spoil_with_text, "is damaged or no database .* move it away"),
        (spoil_pages, "is damaged or no database .* move it away"),
        (make_newer, r"newer version \(99; this is 1\); use another path, or update understudy"),
        (make_foreign, "is a database, but no cache of understudy; give another path"),
        (Path.mkdir, "unable to open"),
    ],
)
async def test_a_file_that_cannot_be_used_is_a_counted_miss(
    spoil: object, told: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The run goes on, the memory works, the log says it once, and the file stays as it was."""
    path = tmp_path / "c.db"
    spoil(path)  # type: ignore[operator]
    before = path.read_bytes() if path.is_file() else b""
    async with Runtime() as rt:
        agent = Agent(LOCAL, cache=Cache(path=path))
        assert (await rt.arun(agent, TEXT)).cached is None
        assert (await rt.arun(agent, TEXT)).cached is not None
        assert (await rt.arun(agent, TEXT + " More.")).cached is None
        stats = await agent_stats(rt, agent)
        assert stats.errors == 1, "it is left alone for a while"
        assert stats.problem is not None
        assert_quiet(rt)
    with pytest.raises(StorageError, match=told):
        raise StorageError(stats.problem)
    assert sum("goes on without its file" in each for each in caplog.messages) == 1
    assert (path.read_bytes() if path.is_file() else b"") == before


async def test_an_older_version_is_made_anew(tmp_path: Path) -> None:
    """A cache can always be made again: what it held is forgotten, not misread."""
    path = tmp_path / "c.db"
    make_newer(path)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version=0")
    connection.commit()
    connection.close()
    assert (await ask(path))[1] is None
    assert (await ask(path))[1] == "file"


async def test_a_damaged_entry_is_never_given(tmp_path: Path) -> None:
    """One changed bit, and it is deleted, counted, and made again."""
    path = tmp_path / "c.db"
    said, _ = await ask(path)
    connection = sqlite3.connect(path)
    (value,) = connection.execute("SELECT value FROM entries").fetchone()
    at = value.index(b"messages")
    connection.execute(
        "UPDATE entries SET value = ?", (value[:at] + b"massages" + value[at + 8 :],)
    )
    connection.commit()
    connection.close()
    async with Runtime() as rt:
        agent = Agent(LOCAL, cache=Cache(path=path))
        result = await rt.arun(agent, TEXT)
        assert (result.output, result.cached) == (said, None)
        assert (await agent_stats(rt, agent)).errors == 1
    assert await ask(path) == (said, "file")


async def test_a_file_that_is_locked_is_a_miss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process that writes for too long holds up no run; later it is used again."""
    monkeypatch.setattr("understudy.actors.kernel.sqlite.PATIENCE", 0.0)
    path, clock = tmp_path / "c.db", ManualClock()
    await ask(path, "First. It is there.")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    async with Runtime(clock=clock) as rt:
        agent = Agent(LOCAL, cache=Cache(path=path))
        assert (await rt.arun(agent, TEXT)).cached is None
        stats = await agent_stats(rt, agent)
        assert stats.errors == 1
        assert "is locked by another process" in (stats.problem or "")
        other.execute("COMMIT")
        clock.advance(6)
        assert (await rt.arun(agent, "First. It is there.")).cached is not None
        assert (await agent_stats(rt, agent)).problem is None
    other.close()


async def test_a_full_disk_is_a_counted_miss(tmp_path: Path) -> None:
    """What could not be written is not there; the runs had their answers."""
    path = tmp_path / "c.db"
    await ask(path, "First. It is there.")
    async with Runtime() as rt:
        agent = Agent(LOCAL, cache=Cache(path=path))
        cached = (await rt.arun(agent, "First. It is there.")).cached
        assert cached is not None
        (actor,) = [
            cell.actor for cell in rt.system.cells() if isinstance(cell.actor, CacheFileActor)
        ]
        assert actor._database is not None
        pages = actor._database.rows("PRAGMA page_count")[0][0]
        actor._database.rows(f"PRAGMA max_page_count={pages}")
        for number in range(30):
            prompt = f"Number {number} is said here. {'And some more of it is said. ' * 100}"
            assert (await rt.arun(agent, prompt)).cached is None
        stats = await agent_stats(rt, agent)
        assert stats.errors >= 1
        assert "the disk is full; make room" in (stats.problem or "")
        assert stats.size == 31
    assert (await ask(path, "First. It is there."))[1] == "file"


# -- its bounds ------------------------------------------------------------------------------------


async def test_it_keeps_within_its_bounds(tmp_path: Path) -> None:
    """In number and in bytes; what was used longest ago goes."""
    async with Runtime() as rt:
        many = await rt.aspawn(child(CacheFileActor, str(tmp_path / "a.db"), 50, 1_000_000))
        large = await rt.aspawn(child(CacheFileActor, str(tmp_path / "b.db"), 10_000, 50_000))
        for number in range(200):
            await many.request(Save(row=row(str(number), at=float(number))))
            await large.request(Save(row=row(str(number), b"x" * 2000, at=float(number))))
            if number == 30:
                assert await many.request(Load(key=b"0")), "used now: the others leave before it"
        assert (await many.request(FileSizes()))[0] <= 50
        assert (await large.request(FileSizes()))[1] <= 50_000
        assert await many.request(Load(key=b"0"))
        assert await many.request(Load(key=b"199"))
        assert not await many.request(Load(key=b"1"))
        await large.request(Save(row=row("huge", b"x" * 60_000)))
        assert not await large.request(Load(key=b"huge"))


async def test_a_sweep_forgets_what_has_ended(tmp_path: Path) -> None:
    """And until then it is not given."""
    clock = ManualClock()
    async with Runtime(clock=clock) as rt:
        ref = await rt.aspawn(child(CacheFileActor, str(tmp_path / "a.db"), 50, 1_000_000))
        await ref.request(Save(row=row("old", ends=clock.wall() + 10)))
        clock.advance(11)
        assert await ref.request(Load(key=b"old")) == ()
        assert await ref.request(FileSizes()) == (1, pytest.approx(169, abs=20))
        await ref.request(Sweep())
        assert await ref.request(FileSizes()) == (0, 0)


async def test_two_caches_with_one_file_have_its_bounds(tmp_path: Path) -> None:
    """Equal ones share it, others are told."""
    path = tmp_path / "c.db"
    async with Runtime() as rt:
        await rt.arun(Agent(LOCAL, cache=Cache(path=path, ttl="1h")), TEXT)
        await agent_stats(rt, Agent(LOCAL, cache=Cache(path=path, ttl="1h")))
        other = await rt.arun(Agent(LOCAL, cache=Cache(path=path, ttl="2h")), TEXT)
        assert other.cached is not None
        with pytest.raises(ConfigError, match="another cache with this file has max_size=1000"):
            await rt.arun(Agent(LOCAL, cache=Cache(path=path, max_size=5)), TEXT)


async def test_a_cache_gives_nothing_that_it_would_not_have_kept_so_long(tmp_path: Path) -> None:
    """Another one may have written it for longer."""
    path, clock = tmp_path / "c.db", ManualClock()
    async with Runtime(clock=clock) as rt:
        long, short = (Agent(LOCAL, cache=Cache(path=path, ttl=ttl)) for ttl in ("1h", "5m"))
        await rt.arun(long, TEXT)
        await agent_stats(rt, long)
        clock.advance(600)
        assert (await rt.arun(short, TEXT)).cached is None


def test_a_database_needs_a_file(tmp_path: Path) -> None:
    """`:memory:` is no file, and a version that nobody can read is refused where data matters."""
    with pytest.raises(StorageError, match="give the path of a file"):
        Database(":memory:", kind="x", application_id=1, version=1, tables=())
    path = tmp_path / "m.db"
    Database(
        str(path), kind="memory", application_id=7, version=1, tables=("CREATE TABLE t (a)",)
    ).close()
    with pytest.raises(StorageError, match="is a memory of version 1, which this one"):
        Database(str(path), kind="memory", application_id=7, version=2, tables=())


def test_a_transaction_is_whole_or_not_at_all(tmp_path: Path) -> None:
    """One statement fails, and nothing of the others is there."""
    database = Database(
        str(tmp_path / "m.db"),
        kind="x",
        application_id=7,
        version=1,
        tables=("CREATE TABLE IF NOT EXISTS t (a UNIQUE)",),
    )
    insert = "INSERT INTO t VALUES (?)"
    with pytest.raises(StorageError, match="UNIQUE"):
        database.write((insert, (1,)), (insert, (2,)), (insert, (1,)))
    assert database.rows("SELECT * FROM t") == []
    database.write((insert, (1,)))
    assert database.rows("SELECT a FROM t") == [(1,)]
    database.close()


async def test_asking_a_file_holds_up_no_loop(tmp_path: Path) -> None:
    """The file is asked in the background: other runs go on meanwhile."""
    path = tmp_path / "c.db"
    async with Runtime() as rt:
        slow = Agent(LOCAL, cache=Cache(path=path))
        quick = Agent(FakeModel.echo())
        runs = [rt.submit(slow, f"{TEXT} {number}.") for number in range(20)]
        assert (await rt.arun(quick, "q")).output == "echo: q"
        await asyncio.gather(*runs)
        assert (await agent_stats(rt, slow)).misses == 20
