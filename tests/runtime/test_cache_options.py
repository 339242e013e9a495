"""What can be said of a cache, in Python and in the file, and what is refused."""

from typing import Any

import pytest

from understudy import Agent, Cache, ConfigError, Runtime
from understudy.messages.agents import AgentSpec
from understudy.messages.caches import CacheSpec
from understudy.messages.codec import decode, encode
from understudy.runtime.config.load import load_config
from understudy.testing import FakeModel, ManualClock

pytestmark = pytest.mark.anyio


def test_a_cache_is_data() -> None:
    """Its sizes and times are written as people write them, and it travels with its agent."""
    cache = Cache(ttl="90s", max_bytes="2MiB", tags=["a"])
    assert (cache.ttl, cache.max_bytes, cache.tags) == (90.0, 2 * 1024 * 1024, ("a",))
    agent = Agent("local:extractive", cache=cache)
    back = decode(encode(agent), AgentSpec)
    assert back.cache == CacheSpec(ttl=90.0, max_bytes=2 * 1024 * 1024, tags=("a",))
    assert Agent("local:extractive", cache="1h").cache == Cache(ttl=3600.0)
    assert Agent("local:extractive", cache=30).cache == Cache(ttl=30.0)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"ttl": "500"}, r'Cache\(ttl=...\): "500" has no unit'),
        ({"ttl": 0}, r"Cache\(ttl=0.0\): more than 0"),
        ({"ttl": float("nan")}, r"Cache\(ttl=nan\): more than 0"),
        ({"max_size": 0}, r"Cache\(max_size=0\): more than 0"),
        ({"max_bytes": "64 megs"}, r"Cache\(max_bytes=...\): '64 megs' is not a size"),
        ({"semantic": "fuzzy"}, r"Cache\(semantic='fuzzy'\): 'strict', 'embedding' or None"),
        ({"semantic": "embedding", "threshold": 1.5}, r"threshold=1.5"),
        ({"embedder": "openai:x"}, r"Cache\(embedder=...\) needs semantic='embedding'"),
        (
            {"semantic": "embedding", "embedder": "openai"},
            r"embedder='openai'\): write 'provider:m",
        ),
        ({"semantic": "embedding", "embedder": 3}, r"embedder=3\): write 'provider:model'"),
        ({"path": ""}, r"Cache\(path=''\): give a file, or no path="),
        ({"path": ":memory:"}, r"Cache\(path=':memory:'\): give a file, or no path="),
        ({"path": 3}, r"Cache\(path=3\): give a file, as a text or a Path"),
        ({"tags": "prices"}, r"write a list of texts"),
    ],
)
def test_a_cache_that_cannot_be_is_refused(options: dict[str, Any], told: str) -> None:
    """The error names the option and the remedy."""
    with pytest.raises(ConfigError, match=told):
        Cache(**options)


@pytest.mark.parametrize("bad", ["soon", "5", True])
def test_an_agent_says_what_is_wrong_with_its_cache(bad: Any) -> None:
    """A text without a unit, and no time at all."""
    if bad is True:
        assert Agent("local:extractive", cache=bad).cache is True
        return
    with pytest.raises(ConfigError, match="cache="):
        Agent("local:extractive", cache=bad)


def test_the_file_turns_it_on_for_temperature_zero_alone() -> None:
    """Others need the agent's own `cache=`; `True` covers them with what the file says."""
    config = load_config('[llm.cache]\nttl = "5m"\nmax_size = 2\nsemantic = "strict"', {})
    fake = FakeModel.echo()
    with Runtime(config=config) as rt:
        zero, warm, unset = (Agent(fake, temperature=t) for t in (0.0, 0.5, None))
        for agent, hit in ((zero, True), (warm, False), (unset, False)):
            rt.run(agent, "What is the time?")
            assert (rt.run(agent, "What is the time?").cached is not None) == hit
        assert rt.run(zero, "what's the time").cached is not None, "semantic"
        for prompt in ("a", "b"):
            rt.run(zero, prompt)
        assert rt.run(zero, "What is the time?").cached is None, "max_size"
        rt.run(warm, "again", cache=True)
        assert rt.run(warm, "again", cache=True).cached is not None
    assert config.llm.default_cache == CacheSpec(ttl=300.0, max_size=2, semantic="strict")


async def test_how_long_the_file_keeps_it() -> None:
    """`ttl` of `[llm.cache]` and of an agent's table."""
    text = '[llm.cache]\nttl = "10s"\n[agents.a]\ncache = "100s"'
    config, clock, fake = load_config(text, {}), ManualClock(), FakeModel.echo()
    async with Runtime(config=config, clock=clock) as rt:
        own = config.agents["a"]
        for _ in range(2):
            await rt.arun(Agent(fake, temperature=0.0), "q")
            await rt.arun(own, "q", model=fake)
        assert len(fake.requests) == 2
        clock.advance(11)
        assert (await rt.arun(Agent(fake, temperature=0.0), "q")).cached is None
        assert (await rt.arun(own, "q", model=fake)).cached is not None


def test_the_file_can_leave_it_off_and_the_environment_turn_it_on() -> None:
    """`enabled` counts, wherever it stands."""
    text = "[llm.cache]\nenabled = false"
    assert load_config(text, {}).llm.default_cache is None
    on = load_config(text, {"UNDERSTUDY_LLM__CACHE__ENABLED": "true"})
    assert on.llm.default_cache == CacheSpec()
