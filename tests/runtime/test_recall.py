"""Documents of a memory: passages by words and by meaning, in runs; erasing them."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from understudy import (
    Agent,
    AssistantMessage,
    Document,
    Memory,
    RagOptions,
    Runtime,
    UnderstudyError,
    UserMessage,
)
from understudy.testing import FakeModel, ManualClock

pytestmark = pytest.mark.anyio


def said(text: str) -> tuple[UserMessage, AssistantMessage]:
    """A turn."""
    return UserMessage(content=text), AssistantMessage(content=f"re {text}")


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
    for max_tokens, most in ((0, 0), (110, 110), (2000, 500)):
        memory = Memory(rag=RagOptions(max_tokens=max_tokens))
        memory.ingest([f"cats {n} " + "word " * 30 for n in range(10)], runtime=runtime)
        passages = Agent(fake, memory=memory).run("cats", runtime=runtime).passages
        size = sum(len(p.text) for p in passages) / 4
        assert most / 3 <= size <= most


def test_passages_make_place_for_the_prompt(runtime: Runtime) -> None:
    """In a window they come before history, and after what has to be sent."""
    memory = Memory()
    memory.ingest([f"cats {n} " + "word " * 100 for n in range(5)], runtime=runtime)
    fake = FakeModel(lambda _: "answer " * 40)
    agent = Agent(fake, instructions="sys", memory=memory, context_window=500)
    for n in range(5):
        result = agent.run(f"{n}: cats?", session="s", runtime=runtime)
        trimmed = result.trimmed
        assert trimmed is not None
        assert trimmed.tokens is not None
        assert trimmed.tokens <= 500
        assert (trimmed.dropped > 0) == (n > 0)
    assert len(result.passages) == 3
    long = agent.run("cats " * 340, session="s", runtime=runtime)
    assert long.passages == ()
    assert str(fake.requests[-1].messages[0].content) == "sys"


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


def test_erasing_takes_cached_answers_along(runtime: Runtime) -> None:
    """Of that tenant, and of no other."""
    fake = FakeModel.echo()
    agent = Agent(fake, cache="10m")
    for _ in range(2):
        for tenant in ("acme", "other"):
            agent.run("q", tenant=tenant, runtime=runtime)
    assert len(fake.requests) == 2
    runtime.memory.erase("acme", runtime=runtime)
    cached = [agent.run("q", tenant=t, runtime=runtime).cached for t in ("acme", "other")]
    assert cached[0] is None
    assert cached[1] is not None


def test_many_documents_are_taken_in_some_at_a_time(runtime: Runtime) -> None:
    """Those before a failure are there, at once, and not written again the next time."""
    embedder = Vectors()
    memory = Memory(embedder=embedder)
    memory.ingest({"d0": "cats before"}, runtime=runtime)
    assert [p.text for p in memory.recall("cats", runtime=runtime)] == ["cats before"]
    documents = {f"d{n}": f"cats {n}" for n in range(70)}

    given = embedder.embed

    async def embed(texts: Sequence[str]) -> Sequence[Any]:
        if embedder.asked > 40:
            raise UnderstudyError("enough")
        return await given(texts)

    embedder.embed = embed  # type: ignore[method-assign]
    with pytest.raises(UnderstudyError, match="enough"):
        memory.ingest(documents, runtime=runtime)
    assert "cats before" not in [p.text for p in memory.recall("cats", runtime=runtime)]
    embedder.embed = given  # type: ignore[method-assign]
    made = memory.ingest(documents, runtime=runtime)
    assert (made.added, made.replaced, made.unchanged) == (6, 0, 64)


async def test_documents_of_a_tenant_that_is_erased_meanwhile_are_not_written() -> None:
    """They were with the embedder when it happened; whoever has given them is told."""
    began, go = asyncio.Event(), asyncio.Event()

    class Slow(Vectors):
        async def embed(self, texts: Sequence[str]) -> Sequence[Any]:
            began.set()
            await go.wait()
            return await super().embed(texts)

    async with Runtime() as rt:
        memory = Memory(embedder=Slow())
        work = asyncio.ensure_future(memory.aingest({"d": "cats"}, tenant="acme", runtime=rt))
        await began.wait()
        await memory.aerase("acme", runtime=rt)
        go.set()
        with pytest.raises(UnderstudyError, match="tenant 'acme' was erased"):
            await work
        assert await memory.arecall("cats", tenant="acme", runtime=rt) == ()
