"""`Memory`: its verbs and its bounds."""

from pathlib import Path
from typing import Any

import pytest
from tests.runtime.said import texts

from understudy import (
    Agent,
    AgentSpec,
    AssistantMessage,
    CodecError,
    ConfigError,
    Memory,
    MemorySpec,
    Runtime,
    SystemMessage,
    UnderstudyError,
    UserMessage,
)
from understudy.messages.codec import decode, encode
from understudy.runtime.config.schema import Config, LlmConfig
from understudy.testing import ManualClock, ProviderServer

pytestmark = pytest.mark.anyio


def said(text: str) -> tuple[UserMessage, AssistantMessage]:
    """A turn."""
    return UserMessage(content=text), AssistantMessage(content=f"re {text}")


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


@pytest.mark.parametrize("in_file", [False, True])
def test_a_memory_that_begins_again_has_forgotten_nothing(
    runtime: Runtime, tmp_path: Path, in_file: bool
) -> None:
    """What is in the process outlives its actor."""
    memory = Memory(path=tmp_path / "chat.db") if in_file else Memory()
    memory.append("s", said("one"), runtime=runtime)
    memory.ingest({"d": "cats purr"}, runtime=runtime)
    ref = runtime.crew.memories.find(memory).ref
    ref.restart().get(timeout=10)
    assert ref.incarnation == 1
    memory.append("s", said("two"), runtime=runtime)
    assert texts(memory.history("s", runtime=runtime))[::2] == ["one", "two"]
    assert memory.recall("cats", runtime=runtime)


def test_a_runtime_that_is_left_by_an_error_lets_go_of_the_file(tmp_path: Path) -> None:
    """The next one can have it at once; what was answered is there."""
    path = tmp_path / "chat.db"

    def fail() -> None:
        with Runtime() as rt:
            Memory(path=path).append("s", said("x"), runtime=rt)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with Runtime() as rt:
        assert len(Memory(path=path).history("s", runtime=rt)) == 2


def test_a_spec_with_a_memory_travels() -> None:
    """As data; an embedder that is an object does not, and is named."""
    agent = Agent("m", memory=Memory(path="chat.db", ttl="7d", embedder="openai:e"))
    back = decode(encode(agent), AgentSpec)
    assert back.memory == MemorySpec(path="chat.db", ttl=7 * 86_400.0, embedder="openai:e")

    class Vectors:
        name = "mine"

        async def embed(self, texts: list[str]) -> list[list[float]]:
            return [[1.0] for _ in texts]

    with pytest.raises((CodecError, ConfigError), match="Vectors"):
        encode(agent.with_(memory=Memory(embedder=Vectors())))


async def test_an_embedder_by_name_is_a_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its vectors come over the same transport as answers do."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    async with ProviderServer() as server, Runtime(config=config_of(server)) as rt:
        memory = Memory(embedder="openai:text-embedding-3-small")
        made = await memory.aingest({"a": "cats purr", "b": "dogs bark"}, runtime=rt)
        assert made.without_vector == 0
        found = await memory.arecall("cats purr", runtime=rt)
        assert found[0].document == "a"
        assert found[0].score > 0.9
        asked = [each.path for each in server.requests]
        assert asked == ["/v1/embeddings"] * 2


def config_of(server: ProviderServer) -> Config:
    """Where the provider is."""
    return Config(llm=LlmConfig(base_url=server.base_url))
