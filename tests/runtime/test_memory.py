"""`Memory`: its verbs, its bounds, its file."""

import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from understudy import (
    Agent,
    AssistantMessage,
    ConfigError,
    Document,
    Memory,
    RagOptions,
    Runtime,
    StorageError,
    SystemMessage,
    UnderstudyError,
    UserMessage,
)
from understudy.testing import FakeModel, ManualClock

pytestmark = pytest.mark.anyio


def said(text: str) -> tuple[UserMessage, AssistantMessage]:
    """A turn."""
    return UserMessage(content=text), AssistantMessage(content=f"re {text}")


def texts(messages: Any) -> list[str]:
    """What was said."""
    return [str(each.content) for each in messages]


# -- sessions ------------------------------------------------------------------------------------


def test_append_history_clear(runtime: Runtime) -> None:
    """By session and tenant; what was not there is empty, and cleared once."""
    memory = Memory()
    memory.append("s", said("one"), runtime=runtime)
    memory.append("s", UserMessage(content="two"), runtime=runtime)
    assert texts(memory.history("s", runtime=runtime)) == ["one", "re one", "two"]
    assert texts(memory.history("s", limit=1, runtime=runtime)) == ["two"]
    assert memory.history("s", tenant="acme", runtime=runtime) == ()
    with runtime.scope(tenant="acme"):
        memory.append("s", said("other"), runtime=runtime)
        assert len(memory.history("s", runtime=runtime)) == 2
    assert memory.clear("s", runtime=runtime) is True
    assert memory.clear("s", runtime=runtime) is False
    assert len(memory.history("s", tenant="acme", runtime=runtime)) == 2


async def test_the_twins_do_the_same() -> None:
    """On the loop, where the others say which twin to use."""
    async with Runtime() as rt:
        memory = Memory()
        await memory.aappend("s", said("one"))
        assert len(await memory.ahistory("s")) == 2
        await memory.aingest(["cats purr"])
        assert (await memory.arecall("cats"))[0].text == "cats purr"
        assert (await memory.astats()).sessions == memory.stats.sessions == 1
        assert await memory.aclear("s")
        assert (await memory.aerase("")).documents == 1
        with pytest.raises(UnderstudyError, match=r"await memory\.ahistory"):
            memory.history("s", runtime=rt)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"ttl": "7"}, "has no unit"),
        ({"ttl": 0}, "more than 0"),
        ({"max_sessions": 0}, "max_sessions=0"),
        ({"max_bytes": 0}, "max_bytes=0"),
        ({"path": ""}, "give a file"),
        ({"path": ":memory:"}, "no path="),
    ],
)
def test_what_no_memory_can_be(options: Any, told: str) -> None:
    """Named when it is made."""
    with pytest.raises(ConfigError, match=told):
        Memory(**options)


def test_wrong_messages_and_questions_are_named(runtime: Runtime) -> None:
    """Before anything is kept."""
    memory = Memory()
    with pytest.raises(ConfigError, match=r"append\('hello'\)"):
        memory.append("s", ["hello"], runtime=runtime)  # type: ignore[list-item]
    with pytest.raises(ConfigError, match="name the conversation"):
        memory.append("", said("x"), runtime=runtime)
    with pytest.raises(ConfigError, match="ask with a text"):
        memory.recall(3, runtime=runtime)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="k=0"):
        memory.recall("x", k=0, runtime=runtime)
    with pytest.raises(ConfigError, match=r"ingest\(int\)"):
        memory.ingest([3], runtime=runtime)  # type: ignore[list-item]
    with pytest.raises(ConfigError, match="embedder="):
        Memory(embedder=object()).recall("x", runtime=runtime)


def test_what_was_used_least_goes_first(runtime: Runtime) -> None:
    """Without a file it is forgotten, and counted."""
    memory = Memory(max_sessions=2)
    for session in "aba":
        memory.append(session, said(session), runtime=runtime)
    memory.append("c", said("c"), runtime=runtime)
    assert memory.history("b", runtime=runtime) == ()
    assert len(memory.history("a", runtime=runtime)) == 4
    stats = runtime.crew.memories.find(memory).shelf.stats()
    assert (stats.sessions, stats.evicted) == (2, 1)


def test_bytes_are_bounded(runtime: Runtime) -> None:
    """Over all sessions; one that alone is too large loses its oldest turns, not its beginning."""
    memory = Memory(max_bytes=5_000)
    for n in range(30):
        memory.append(f"s{n}", said("x" * 400), runtime=runtime)
    stats = runtime.crew.memories.find(memory).shelf.stats()
    assert stats.bytes <= 5_000
    assert stats.evicted == 30 - stats.sessions
    memory.append("long", SystemMessage(content="rule"), runtime=runtime)
    for n in range(30):
        memory.append("long", said(f"{n}" + "x" * 400), runtime=runtime)
    stats = runtime.crew.memories.find(memory).shelf.stats()
    kept = texts(memory.history("long", runtime=runtime))
    assert stats.bytes <= 5_000
    assert stats.dropped_turns > 20
    assert kept[0] == "rule"
    assert kept[-1].startswith("re 29")
    assert kept[1][:2].isdigit()


def test_a_session_is_forgotten_after_its_time() -> None:
    """When it is asked for, and by itself."""
    clock = ManualClock()
    with Runtime(clock=clock) as rt:
        memory = Memory(ttl=100.0)
        memory.append("a", said("a"), runtime=rt)
        clock.advance(60.0)
        memory.append("b", said("b"), runtime=rt)
        clock.advance(41.0)
        assert memory.history("a", runtime=rt) == ()
        assert len(memory.history("b", runtime=rt)) == 2
        clock.advance(200.0)
        memory.history("other", runtime=rt)
        stats = rt.crew.memories.find(memory).shelf.stats()
        assert (stats.sessions, stats.bytes, stats.expired) == (0, 0, 2)


# -- the file ------------------------------------------------------------------------------------


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


# -- documents -----------------------------------------------------------------------------------

BOOK = """# Cats
Cats purr when they are happy.

## Food
They eat mice and fish.

# Dogs
Dogs bark at strangers.
"""


def test_passages_are_found_by_their_words(runtime: Runtime) -> None:
    """With the headings above them, and how much of the question they cover."""
    memory = Memory()
    made = memory.ingest({"book": BOOK, "law": "The contract ends in May."}, runtime=runtime)
    assert (made.added, made.passages) == (2, 4)
    best, *_ = memory.recall("which fish do they eat?", runtime=runtime)
    assert (best.document, best.heading) == ("book", "Cats > Food")
    assert 0.3 < best.score < 1.0
    assert len(memory.recall("cats dogs contract", k=2, runtime=runtime)) == 2
    assert memory.recall("nothing here at all", min_score=0.9, runtime=runtime) == ()
    assert memory.recall('"* OR (', runtime=runtime) == ()
    assert memory.recall("cats", tenant="acme", runtime=runtime) == ()


def test_a_changed_document_takes_the_place_of_the_old(runtime: Runtime) -> None:
    """Also for those who have asked before: what was found then is not told again."""
    memory = Memory()
    memory.ingest([Document(name="d", text="cats purr")], runtime=runtime)
    memory.ingest([Document(name="d", text="cats hiss")], tenant="acme", runtime=runtime)
    for _ in range(2):
        assert [p.text for p in memory.recall("cats", runtime=runtime)] == ["cats purr"]
    stats = runtime.crew.memories.find(memory).shelf.stats()
    assert (stats.recalls, stats.recall_hits) == (2, 1)
    assert memory.ingest({"d": "cats purr"}, runtime=runtime).unchanged == 1
    assert memory.ingest({"d": "cats sleep"}, runtime=runtime).replaced == 1
    assert [p.text for p in memory.recall("cats", runtime=runtime)] == ["cats sleep"]
    assert [p.text for p in memory.recall("cats", tenant="acme", runtime=runtime)] == ["cats hiss"]


def test_recalls_are_cached_for_a_time() -> None:
    """cache_ttl by the clock; not at all where cache_results is False."""
    clock = ManualClock()
    with Runtime(clock=clock) as rt:
        memory = Memory(rag=RagOptions(cache_ttl=10.0))
        plain = Memory(rag=RagOptions(cache_results=False))
        for each in (memory, plain):
            each.ingest(["cats purr"], runtime=rt)
            for seconds in (0.0, 5.0, 6.0):
                clock.advance(seconds)
                each.recall("cats", runtime=rt)
        hits = [rt.crew.memories.find(each).shelf.recall_hits for each in (memory, plain)]
        assert hits == [1, 0]


def test_an_agent_is_shown_what_fits_its_prompt(runtime: Runtime) -> None:
    """Behind its instructions; the result says which; history knows nothing of it."""
    memory = Memory()
    memory.ingest({"book": BOOK}, runtime=runtime)
    fake = FakeModel.echo()
    agent = Agent(fake, instructions="Be kind.", memory=memory)
    result = agent.run("What do dogs do?", session="s", runtime=runtime)
    assert [p.heading for p in result.passages][:1] == ["Dogs"]
    system, prompt = fake.requests[0].messages
    assert str(system.content).startswith("Be kind.")
    assert "[1] book > Dogs\nDogs bark at strangers." in str(system.content)
    assert prompt.content == "What do dogs do?"
    assert len(memory.history("s", runtime=runtime)) == 2
    assert agent.with_(memory=None).run("dogs", runtime=runtime).passages == ()


def test_passages_are_bounded_by_tokens(runtime: Runtime) -> None:
    """max_tokens of `rag`; 0 is none."""
    fake = FakeModel.echo()
    for max_tokens, most in ((0, 0), (60, 60), (2000, 500)):
        memory = Memory(rag=RagOptions(max_tokens=max_tokens))
        memory.ingest([f"cats {n} " + "word " * 30 for n in range(10)], runtime=runtime)
        passages = Agent(fake, memory=memory).run("cats", runtime=runtime).passages
        size = sum(len(p.text) for p in passages) / 4
        assert most / 3 <= size <= most


class Vectors:
    """An embedder that knows two subjects; `vectors` overrides it."""

    name = "two"

    def __init__(self) -> None:
        self.given: list[Any] | None = None
        self.asked = 0

    async def embed(self, texts: Sequence[str]) -> Sequence[Any]:
        self.asked += len(texts)
        if self.given is not None:
            return self.given
        return [[1.0, 0.1] if "cat" in t or "feline" in t else [0.1, 1.0] for t in texts]


def test_vectors_find_what_words_do_not(runtime: Runtime) -> None:
    """Both orders become one; a document that is unchanged is not embedded again."""
    embedder = Vectors()
    memory = Memory(embedder=embedder)
    documents = {"a": "cats purr", "b": "contracts end"}
    memory.ingest(documents, runtime=runtime)
    memory.ingest(documents, runtime=runtime)
    assert embedder.asked == 2
    (first, second) = memory.recall("feline", runtime=runtime)
    assert (first.text, second.text) == ("cats purr", "contracts end")
    assert first.score == pytest.approx(0.5)
    assert len(memory.recall("feline", min_score=0.4, runtime=runtime)) == 1


@pytest.mark.parametrize("bad", [[float("nan"), 1.0], [0.0, 0.0], [float("inf"), 1], ["x"], None])
def test_vectors_that_are_none_are_counted(runtime: Runtime, bad: Any) -> None:
    """The passage is found by its words; so is what a question without a vector asks for."""
    embedder = Vectors()
    memory = Memory(embedder=embedder)
    embedder.given = [bad]
    made = memory.ingest({"a": "cats purr"}, runtime=runtime)
    assert made.without_vector == 1
    assert [p.text for p in memory.recall("cats", runtime=runtime)] == ["cats purr"]
    assert runtime.crew.memories.find(memory).shelf.bad_vectors == 2


def test_another_dimension_is_never_compared(runtime: Runtime) -> None:
    """Words decide then; the vectors that could not be used are counted."""
    embedder = Vectors()
    memory = Memory(embedder=embedder)
    memory.ingest({"a": "cats purr", "b": "dogs bark"}, runtime=runtime)
    embedder.given = [[1.0, 0.0, 0.0]]
    assert [p.text for p in memory.recall("dogs", runtime=runtime)] == ["dogs bark"]
    assert runtime.crew.memories.find(memory).shelf.bad_vectors == 2


def test_an_embedder_that_fails(runtime: Runtime) -> None:
    """Ends an ingest, but not a question."""

    class Broken(Vectors):
        async def embed(self, texts: Sequence[str]) -> Sequence[Any]:
            if self.given is None:
                return await super().embed(texts)
            raise UnderstudyError("no vectors today")

    embedder = Broken()
    memory = Memory(embedder=embedder)
    memory.ingest({"a": "cats purr"}, runtime=runtime)
    embedder.given = []
    assert [p.text for p in memory.recall("cats", runtime=runtime)] == ["cats purr"]
    with pytest.raises(UnderstudyError, match="no vectors today"):
        memory.ingest({"b": "dogs bark"}, runtime=runtime)
    assert memory.recall("dogs", runtime=runtime) == ()


# -- erasing -------------------------------------------------------------------------------------


def test_a_tenant_that_is_erased_leaves_nothing(tmp_path: Path) -> None:
    """Sessions, documents, vectors, in the process and in the bytes of the file; others stay."""
    path = tmp_path / "chat.db"
    with Runtime() as rt:
        memory = Memory(path=path, embedder=Vectors())
        for tenant in ("acme", "other"):
            memory.append("s", said(f"secretword {tenant}"), tenant=tenant, runtime=rt)
            memory.ingest({"d": f"{tenant}paragraph"}, tenant=tenant, runtime=rt)
            assert memory.recall(f"{tenant}paragraph", tenant=tenant, runtime=rt)
        erased = memory.erase("acme", runtime=rt)
        assert (erased.sessions, erased.documents) == (1, 1)
        assert memory.history("s", tenant="acme", runtime=rt) == ()
        assert memory.recall("acmeparagraph", tenant="acme", runtime=rt) == ()
        files = [p for p in tmp_path.iterdir() if p.name.startswith("chat.db")]
        everything = b"".join(p.read_bytes() for p in files)
        assert b"acme" not in everything
        assert b"other" in everything
        assert len(memory.history("s", tenant="other", runtime=rt)) == 2
        assert memory.recall("otherparagraph", tenant="other", runtime=rt)


@pytest.mark.parametrize("in_file", [False, True])
def test_a_turn_of_an_erased_tenant_is_not_kept(
    tmp_path: Path, runtime: Runtime, gate: Any, in_file: bool
) -> None:
    """It was under way when the tenant was erased."""
    memory = Memory(path=tmp_path / "chat.db") if in_file else Memory()
    agent = Agent(FakeModel(gate), memory=memory)
    run = agent.submit("x", session="s", tenant="acme", runtime=runtime)
    gate.until(waiting=1)
    memory.erase("acme", runtime=runtime)
    gate.open()
    run.get(timeout=10)
    assert memory.history("s", tenant="acme", runtime=runtime) == ()
    assert runtime.crew.memories.find(memory).shelf.dropped_turns == 1


def test_whoever_keeps_something_of_tenants_is_told(runtime: Runtime) -> None:
    """Once for each tenant that is erased."""
    told = []

    async def eraser(tenant: str) -> None:
        told.append(tenant)

    runtime.crew.memories.erasers.append(eraser)
    runtime.memory.erase("acme", runtime=runtime)
    assert told == ["acme"]
