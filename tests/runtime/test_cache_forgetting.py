"""How answers are forgotten: by tool, tag and tenant, in time, while they are made."""

import asyncio

import pytest
from tests.conftest import Gate, turns

from understudy import Agent, Cache, ConfigError, Runtime, ToolCall, WouldDeadlockError
from understudy.messages.chat import Message
from understudy.testing import FakeModel, ManualClock, call

pytestmark = pytest.mark.anyio


def test_entries_are_forgotten_by_tool_tag_and_tenant() -> None:
    """All that is given must match; nothing given is an error, `clear` is for that."""

    def look(x: int) -> int:
        """Look."""
        return x

    def think(messages: tuple[Message, ...]) -> str | list[ToolCall]:
        return "done" if len(messages) > 1 else [call("look", x=1)]

    cache = Cache(ttl="10m")
    with Runtime() as rt:
        with_tool = Agent(FakeModel(think), cache=cache, tools=[look])
        tagged = Agent(FakeModel.echo(), cache=Cache(ttl="10m", tags=["prices"]))
        for tenant in ("a", "b"):
            rt.run(with_tool, "q", tenant=tenant)
            rt.run(tagged, "q", tenant=tenant)
        assert cache.stats.size == 6
        assert cache.invalidate(tool="look") == 2, "the answers that rest on it"
        assert cache.invalidate(tag="prices", tenant="a") == 1
        assert rt.invalidate(tenant="b") == 2
        assert cache.invalidate(tenant="nobody") == 0
        with pytest.raises(ConfigError, match=r"invalidate\(\): give tool=, tag= or tenant="):
            cache.invalidate()
        with pytest.raises(ConfigError, match="give tool="):
            rt.invalidate()
        assert cache.clear() == 1
        assert cache.stats.size == 0


async def test_what_is_made_while_it_is_invalidated_is_not_kept(gate: Gate) -> None:
    """Who waits gets it, the next one asks again."""
    async with Runtime() as rt:
        agent = Agent(FakeModel(gate), cache="10m")
        run = rt.submit(agent, "q")
        await gate.auntil(arrived=1)
        await rt.ainvalidate(tenant="other")
        follower = rt.submit(agent, "q")
        await turns()
        assert gate.arrived == 1, "nothing of it was meant"
        await rt.ainvalidate(tenant="")
        later = rt.submit(agent, "q")
        await gate.auntil(arrived=2)
        gate.open("old")
        assert (await run).output == (await follower).output == "old"
        gate.open("new")
        assert (await later).output == "new"
        assert (await rt.arun(agent, "q")).output == "new"


async def test_a_call_that_was_invalidated_is_cancelled_with_its_last_waiter(gate: Gate) -> None:
    """As any other."""
    async with Runtime() as rt:
        run = rt.submit(Agent(FakeModel(gate), cache="10m"), "q")
        await gate.auntil(arrived=1)
        await rt.ainvalidate(tenant="")
        run.cancel()
        await gate.auntil(cancelled=1)


async def test_entries_end_and_not_all_at_once() -> None:
    """Nothing is given after its time; the ends are spread over the last tenth of it."""
    clock, fake = ManualClock(), FakeModel.echo()
    agent = Agent(fake, cache=100.0)
    async with Runtime(clock=clock, seed=1) as rt:
        for number in range(50):
            await rt.arun(agent, str(number))
        clock.advance(89.9)
        assert (await rt.arun(agent, "0")).cached is not None
        clock.advance(5.0)
        size = (await rt.acaches())["answers-1"].size
        assert 0 < size < 50, "some have ended, some have not"
        clock.advance(5.2)
        stats = (await rt.acaches())["answers-1"]
        assert (stats.size, stats.expired, stats.bytes) == (0, 50, 0)
        assert (await rt.arun(agent, "0")).cached is None


def test_blocking_verbs_refuse_the_loop_they_would_wait_for() -> None:
    """They name their twins."""

    async def main() -> None:
        cache = Cache()
        async with Runtime() as rt:
            for verb, twin in (
                (lambda: cache.stats, "cache.astats"),
                (cache.clear, "cache.aclear"),
                (lambda: cache.invalidate(tag="x"), "cache.ainvalidate"),
                (rt.caches, "rt.acaches"),
                (lambda: rt.invalidate(tag="x"), "rt.ainvalidate"),
            ):
                with pytest.raises(WouldDeadlockError, match=twin):
                    verb()
            assert (await cache.astats()).size == 0
            assert await cache.aclear() == 0
            assert await cache.ainvalidate(tag="x") == 0

    asyncio.run(main())
