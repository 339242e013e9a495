"""`rt.health()`: live, ready, and why not."""

import asyncio
import threading

import pytest

from understudy import Actor, ActorParked, Agent, Health, Runtime
from understudy.messages.codec import decode_json, encode_json
from understudy.messages.errors import ServerError
from understudy.runtime.watchdog import Watchdog
from understudy.testing import FakeModel, ProviderServer
from understudy.testing.provider_server import Status

pytestmark = pytest.mark.anyio


class Fragile(Actor):
    async def on_receive(self, message: str) -> None:
        raise ValueError(message)


def test_before_during_and_after() -> None:
    """Not started, ready, stopped: each is said, and nothing of it raises."""
    rt = Runtime(name="h")
    before = rt.health()
    assert (before.live, before.ready, before.why) == (False, False, ("it has not been started",))
    with rt:
        assert rt.health() == Health(
            name="h", live=True, ready=True, why=(), stopping=False,
            parked=(), breakers=(), loop_lag=rt.health().loop_lag, open_runs=0,
        )  # fmt: skip
    after = rt.health()
    assert (after.live, after.ready, after.stopping) == (False, False, True)
    assert after.why == ("it has stopped",)


def test_it_encodes_and_asks_nobody() -> None:
    """It is JSON for a health endpoint, and answers on the loop's own thread too."""

    class Looks(Actor):
        async def on_receive(self, message: Runtime) -> Health:
            return message.health()

    with Runtime() as rt:
        health = rt.spawn(Looks).ask(rt)
        assert health.ready
        assert decode_json(encode_json(health), Health) == health


async def test_a_parked_actor_is_named() -> None:
    """What has failed too often is no longer hidden behind a process that lives."""
    async with Runtime() as rt:
        ref = await rt.aspawn(Fragile, name="fragile", restart="permanent")
        system = rt.system
        system.restart_policy = type(system.restart_policy)(intensity=0)
        parked = asyncio.Event()
        loop = asyncio.get_running_loop()
        rt.events.subscribe(ActorParked, lambda _: loop.call_soon_threadsafe(parked.set))
        ref.tell("x")
        await asyncio.wait_for(parked.wait(), 10)
        health = rt.health()
        assert health.parked == ("/user/fragile",)
        assert health.why == ("/user/fragile is parked: it has failed too often",)
        assert (health.live, health.ready) == (True, False)
        rt.system.failures.clear()


async def test_an_open_breaker_is_named() -> None:
    """A provider that fails is why it is not ready."""
    async with ProviderServer(faults=[Status(status=503)] * 40) as server, Runtime() as rt:
        agent = Agent("openai-compatible:m", base_url=server.base_url, retries=0)
        for _ in range(12):
            with pytest.raises(Exception, match=r".") as caught:
                await rt.arun(agent, "x")
            if not isinstance(caught.value, ServerError):
                break
        health = rt.health()
        assert health.breakers == ("limiter openai-compatible:*",)
        assert health.why == ("the breaker of limiter openai-compatible:* is open",)


def test_a_loop_that_stands_still_is_seen_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lag grows while a handler blocks, and no question has to pass the loop to learn it."""
    release, entered = threading.Event(), threading.Event()

    class Blocks(Actor):
        async def on_receive(self, message: str) -> None:
            entered.set()
            release.wait(10)

    with Runtime() as rt:
        ref = rt.spawn(Blocks)
        reply = ref.request("x")
        assert entered.wait(10)
        monkeypatch.setattr(Watchdog, "lag", property(lambda it: it._system.now() - since))
        since = rt.system.now() - 5.0
        assert not rt.health().ready
        assert rt.health().live
        assert rt.health().why[0].startswith("the loop has not turned for 5.")
        since = rt.system.now() - 20.0
        assert not rt.health().live
        monkeypatch.undo()
        release.set()
        reply.get(timeout=10)


def test_the_watchdog_measures_the_lag() -> None:
    """While a sign of life is outstanding, its age is the lag; then what it took."""

    class Clocked:
        loop = None

        def __init__(self) -> None:
            self.time = 100.0

        def now(self) -> float:
            return self.time

    system = Clocked()
    watchdog = Watchdog("w", system, None)  # type: ignore[arg-type]
    assert watchdog.lag == 0.0
    watchdog._asked = system.now()
    system.time = 103.0
    assert watchdog.lag == 3.0
    watchdog._give_sign()
    system.time = 110.0
    assert watchdog.lag == 3.0


def test_open_runs_and_draining() -> None:
    """Runs under way are counted, and a runtime that drains is live and not ready."""
    begun, go = threading.Event(), threading.Event()

    async def answer(messages: object) -> str:
        begun.set()
        await asyncio.to_thread(go.wait, 10)
        return "done"

    rt = Runtime()
    with rt:
        run = rt.submit(Agent(FakeModel(answer)), "x")
        assert begun.wait(10)
        assert rt.health().open_runs == 1
        rt.begin_stop()
        health = rt.health()
        assert (health.live, health.ready, health.stopping) == (True, False, True)
        assert health.why == ("it is stopping",)
        go.set()
        assert run.get(timeout=10).output == "done"
