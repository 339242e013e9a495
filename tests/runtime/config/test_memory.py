"""`[memory]`: every key has an effect."""

from pathlib import Path
from typing import Any

import pytest

from understudy import Agent, ConfigError, Memory, Runtime, UserMessage
from understudy.runtime.config.load import load_config
from understudy.testing import FakeModel, ManualClock

SEED = '[memory]\nprovider = "memory"\nconnection = "inmemory"\n'


def started(tmp_path: Path, text: str, **options: Any) -> Runtime:
    """A runtime with such a file."""
    path = tmp_path / "understudy.toml"
    path.write_text(text)
    return Runtime.from_toml(path, **options)


def test_as_the_seed_writes_it(tmp_path: Path) -> None:
    """A memory in the process, which runs without a session have too."""
    with started(tmp_path, SEED) as rt:
        assert rt.memory.path is None
        agent = Agent(FakeModel.echo())
        agent.run("hello", session="s", runtime=rt)
        assert len(rt.memory.history("s", runtime=rt)) == 2
        rt.memory.ingest(["cats purr"], runtime=rt)
        assert agent.run("cats", runtime=rt).passages
    with Runtime() as rt:
        rt.memory.ingest(["cats purr"], runtime=rt)
        assert not agent.run("cats", runtime=rt).passages


def test_a_connection_is_a_file(tmp_path: Path) -> None:
    """Where it says."""
    path = tmp_path / "chat.db"
    text = f'[memory]\nprovider = "memory"\nconnection = "{path}"\n'
    for expected in (2, 4):
        with started(tmp_path, text) as rt:
            Agent(FakeModel.echo()).run("hello", session="s", runtime=rt)
            assert len(rt.memory.history("s", runtime=rt)) == expected


def test_sessions_and_their_time(tmp_path: Path) -> None:
    """Ttl and max_sessions."""
    clock = ManualClock()
    with started(tmp_path, SEED + 'ttl = "10s"\nmax_sessions = 2\n', clock=clock) as rt:
        for session in "abc":
            rt.memory.append(session, UserMessage(content="x"), runtime=rt)
        assert [len(rt.memory.history(s, runtime=rt)) for s in "abc"] == [0, 1, 1]
        clock.advance(11.0)
        assert rt.memory.history("c", runtime=rt) == ()


def test_how_many_messages_are_sent(tmp_path: Path) -> None:
    """history_limit, where the agent does not say."""
    fake = FakeModel.echo()
    agent = Agent(fake)
    with started(tmp_path, SEED + "[memory.rag]\nhistory_limit = 2\n") as rt:
        for _ in range(4):
            result = agent.run("x", session="s", runtime=rt)
        assert len(fake.requests[-1].messages) == 3
        assert result.trimmed is not None
        assert (result.trimmed.kept, result.trimmed.dropped) == (2, 4)
        agent.run("x", session="s", history_limit=4, runtime=rt)
        assert len(fake.requests[-1].messages) == 5


@pytest.mark.parametrize(("max_tokens", "count"), [(0, 0), (65, 1), (2000, 5)])
def test_how_much_is_shown(tmp_path: Path, max_tokens: int, count: int) -> None:
    """max_tokens of the passages."""
    with started(tmp_path, f"{SEED}[memory.rag]\nmax_tokens = {max_tokens}\n") as rt:
        rt.memory.ingest([f"cats {n} are animals that purr" for n in range(9)], runtime=rt)
        passages = Agent(FakeModel.echo()).run("cats", runtime=rt).passages
        assert len(passages) == count


@pytest.mark.parametrize(
    ("rag", "hits"), [("cache_results = false", 0), ('cache_ttl = "10s"', 1), ("", 2)]
)
def test_what_was_found_before(tmp_path: Path, rag: str, hits: int) -> None:
    """cache_results and cache_ttl."""
    clock = ManualClock()
    with started(tmp_path, f"{SEED}[memory.rag]\n{rag}\n", clock=clock) as rt:
        rt.memory.ingest(["cats purr"], runtime=rt)
        for seconds in (0.0, 5.0, 6.0):
            clock.advance(seconds)
            rt.memory.recall("cats", runtime=rt)
        assert rt.crew.memories.find(rt.memory).shelf.recall_hits == hits


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[memory]\nprovider = "redis"', "line 2: memory.provider: 'redis' is not one of memory"),
        ("[memory]\nttl = 7", 'line 2: memory.ttl: 7 has no unit; write "7s"'),
        ("[memory]\nconection = 1", "line 2: memory.conection: .*did you mean 'connection'"),
        ("[memory.rag]\nmax_tokens = -1", "line 2: memory.rag.max_tokens"),
    ],
)
def test_mistakes_have_a_line(tmp_path: Path, text: str, told: str) -> None:
    """As everywhere in the file."""
    with pytest.raises(ConfigError, match=told):
        started(tmp_path, text)


def test_a_memory_does_not_change_live() -> None:
    """Sessions are in it: a restart does; and what code has given stays."""
    changed = load_config(SEED + 'ttl = "1h"', {})
    with Runtime() as rt:
        assert "memory.ttl" in rt.reload(changed).restart
    with Runtime(memory=Memory()) as rt:
        assert "memory.ttl" in rt.reload(changed).overruled


def test_an_agent_of_the_file(tmp_path: Path) -> None:
    """history_limit, context_window and keep_first are keys of its table."""
    text = "[agents.a]\nhistory_limit = 10\ncontext_window = 4000\nkeep_first = true\n"
    agent = started(tmp_path, text).config.agents["a"]
    assert (agent.history_limit, agent.context_window, agent.keep_first) == (10, 4000, True)
