"""Limits of a Runtime, over real sockets and from the configuration."""

import asyncio
from pathlib import Path

import pytest

from understudy import (
    Agent,
    Limit,
    OverloadedError,
    RateLimitError,
    Runtime,
    WouldDeadlockError,
)
from understudy.messages.events import GateClosed, ModelRetried
from understudy.testing import FakeModel, ProviderServer
from understudy.testing.provider_server import Limits, Status

pytestmark = pytest.mark.anyio


async def test_a_provider_that_limits_is_obeyed() -> None:
    """Nobody configured anything: what its answers say is left paces everybody after the first."""
    limits = Limits(requests_per_minute=2_400, burst=1.0)
    async with ProviderServer(limits=limits) as server, Runtime() as rt:
        agent = Agent("openai-compatible:m", base_url=server.base_url)
        await rt.arun(agent, "first")
        results = await asyncio.gather(*(rt.arun(agent, f"n{i}") for i in range(60)))
        assert {result.output for result in results} == {f"echo: n{i}" for i in range(60)}
        stats = (await rt.alimiters())["openai-compatible:*"]
        assert stats.granted >= 61
        assert (stats.in_flight, stats.waiting, stats.breaker) == (0, 0, "closed")
        assert server.stats.limited == stats.limited <= 10, "without headers no retry would be left"


async def test_retry_after_closes_the_gate_and_is_waited_for() -> None:
    """A 429 with Retry-After is one retry, behind a gate that everybody sees closed."""
    events: list[object] = []
    limited = Status(status=429, retry_after=0.2)
    async with ProviderServer(faults=[limited]) as server, Runtime() as rt:
        for kind in (GateClosed, ModelRetried):
            rt.events.subscribe(kind, events.append)
        agent = Agent("openai-compatible:m", base_url=server.base_url)
        assert (await rt.arun(agent, "hello")).attempts == 2
        assert (await rt.alimiters())["openai-compatible:*"].limited == 1
    (closed,) = [event for event in events if isinstance(event, GateClosed)]
    (retried,) = [event for event in events if isinstance(event, ModelRetried)]
    assert 0.2 <= closed.seconds <= 0.22
    assert 0.2 <= retried.delay <= 0.22


async def test_a_spend_cap_is_told_once_and_closes_nothing() -> None:
    """One request a run, no gate, and the error says what it is."""
    async with ProviderServer(limits=Limits(spend_cap=1)) as server, Runtime() as rt:
        agent = Agent("openai-compatible:m", base_url=server.base_url)
        await rt.arun(agent, "what uses it up")
        for _ in range(2):
            with pytest.raises(RateLimitError) as caught:
                await rt.arun(agent, "hello")
            assert (caught.value.spent, caught.value.attempts) == (True, 1)
        assert (await rt.alimiters())["openai-compatible:*"].closed_for == 0.0


def test_a_file_sets_every_field(tmp_path: Path) -> None:
    """`[limits]` reaches the limiter, its queue too."""
    path = tmp_path / "understudy.toml"
    path.write_text('[limits."fake:*"]\nmax_concurrent = 1\nqueue = 1\nburst = 0.5\n')
    with Runtime.from_toml(path) as rt:
        assert rt.config.limits == {"fake:*": Limit(max_concurrent=1, queue=1, burst=0.5)}
        slow = Agent(FakeModel(["a", "b", "c"], latency=0.2))
        runs = [rt.submit(slow, "x") for _ in range(3)]
        outcomes = []
        for run in runs:
            try:
                outcomes.append(run.get().output)
            except OverloadedError:
                outcomes.append("full")
        assert sorted(outcomes)[2] == "full"
        assert rt.limiters()["fake:*"].refused == 1


async def test_asking_on_the_loop_names_the_twin() -> None:
    """The blocking spelling is refused where it would stop the loop."""
    async with Runtime() as rt:
        with pytest.raises(WouldDeadlockError, match="alimiters"):
            rt.limiters()
        assert await rt.alimiters() == {}
