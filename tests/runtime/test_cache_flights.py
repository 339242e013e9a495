"""Many who ask the same at once: one call, whoever leaves, dies or may not ask."""

import asyncio
from typing import Any

import pytest
from tests.conftest import Gate, turns

from understudy import (
    Agent,
    Budget,
    BudgetExceededError,
    Cache,
    DeadlineExceededError,
    RunCancelledError,
    Runtime,
    ServerError,
    tool,
)
from understudy.actors.kernel.faults import Fault, Faults
from understudy.messages.chat import Message, UserMessage
from understudy.testing import FakeModel, ManualClock, SimRuntime, call

pytestmark = pytest.mark.anyio


async def test_a_thousand_identical_asks_make_one_call(gate: Gate) -> None:
    """One pays, the others share; all have the answer."""
    async with Runtime() as rt:
        agent = Agent(FakeModel(gate), cache="10m")
        runs = [rt.submit(agent, "q") for _ in range(1000)]
        await gate.auntil(arrived=1)
        await turns()
        gate.open("here")
        results = [await run for run in runs]
        assert gate.arrived == 1
        assert {result.output for result in results} == {"here"}
        paid = [result for result in results if result.cached is None]
        assert len(paid) == 1
        assert sum(result.usage.total_tokens for result in results) == paid[0].usage.total_tokens
        shared = next(result.cached for result in results if result.cached is not None)
        assert shared.layer == "flight"
        stats = (await rt.acaches())["answers-1"]
        assert (stats.shared, stats.misses, stats.in_flight) == (999, 1, 0)


async def test_errors_are_shared_and_asked_for_once() -> None:
    """A failing call fails for all who wait, in their own error objects; the next asks anew."""
    entered = asyncio.Event()
    asked = 0

    async def fail(messages: tuple[Message, ...]) -> str:
        nonlocal asked
        asked += 1
        await entered.wait()
        raise ServerError("down", status=500)

    async with Runtime() as rt:
        agent = Agent(FakeModel(fail), cache="10m", retries=0)
        runs = [rt.submit(agent, "q") for _ in range(20)]
        await turns()
        entered.set()
        errors = []
        for run in runs:
            with pytest.raises(ServerError, match="down") as caught:
                await run
            errors.append(caught.value)
        assert asked == 1
        assert len({id(error) for error in errors}) == 20
        assert len({error.run_id for error in errors}) == 20
        assert sum(error.attempts for error in errors) == 1, "the others have not asked"
        with pytest.raises(ServerError):
            await rt.arun(agent, "q")
        assert asked == 2


async def test_a_follower_that_leaves_ends_the_call_for_nobody(gate: Gate) -> None:
    """Not the follower's cancel, and not that of the one who came first."""
    async with Runtime() as rt:
        agent = Agent(FakeModel(gate), cache="10m")
        first, second, third = (rt.submit(agent, "q") for _ in range(3))
        await gate.auntil(arrived=1)
        await turns()
        second.cancel()
        first.cancel()
        await turns()
        assert (gate.arrived, gate.cancelled) == (1, 0)
        gate.open("here")
        result = await third
        assert result.output == "here"
        assert result.usage.total_tokens > 0, "who is left pays"
        for run in (first, second):
            with pytest.raises(RunCancelledError):
                await run


async def test_the_last_one_to_leave_cancels_the_call(gate: Gate) -> None:
    """Nobody waits, nobody asks; the next one does."""
    async with Runtime() as rt:
        agent = Agent(FakeModel(gate), cache="10m")
        runs = [rt.submit(agent, "q") for _ in range(3)]
        await gate.auntil(arrived=1)
        await turns()
        for run in runs:
            run.cancel()
        await gate.auntil(cancelled=1)
        again = rt.submit(agent, "q")
        await gate.auntil(arrived=2)
        gate.open("again")
        assert (await again).output == "again"


async def test_every_follower_has_its_own_deadline(gate: Gate) -> None:
    """One that is over ends for itself; one that is longer outlives that of the first."""
    clock = ManualClock()
    async with Runtime(clock=clock) as rt:
        agent = Agent(FakeModel(gate), cache="10m")
        first = rt.submit(agent, "q", timeout=5)
        short = rt.submit(agent, "q", timeout=2)
        long = rt.submit(agent, "q", timeout=60)
        await gate.auntil(arrived=1)
        await turns()
        for seconds, run in ((3, short), (3, first)):
            clock.advance(seconds)
            await turns()
            with pytest.raises(DeadlineExceededError):
                await run
        assert not long.reply.done
        gate.open("late")
        assert (await long).output == "late"
        assert gate.arrived == 1


async def test_a_dead_leader_promotes_one_follower(gate: Gate) -> None:
    """When the model's actor is killed, somebody who is left has the call made again, once."""
    async with Runtime() as rt:
        agent = Agent(FakeModel(gate), cache="10m")
        runs = [rt.submit(agent, "q") for _ in range(4)]
        await gate.auntil(arrived=1)
        await turns()
        await rt.crew.models.find(agent).ref.restart()
        await gate.auntil(arrived=2)
        gate.open("again")
        ended = await asyncio.gather(*(_ended(run) for run in runs))
        assert sorted(map(str, ended))[:3] == ["again"] * 3
        assert gate.arrived == 2


async def _ended(run: Any) -> Any:
    try:
        return (await run).output
    except Exception as error:  # noqa: BLE001 - it is what is looked at
        return f"~{type(error).__name__}"


async def test_a_call_that_asks_itself_does_not_wait_for_itself() -> None:
    """An agent whose tool runs the same agent with the same prompt makes the inner call anew."""
    depth = 0

    async def again() -> str:
        """Ask again."""
        nonlocal depth
        depth += 1
        return str((await rt.arun(inner, "q")).output) if depth < 3 else "deep"

    async def think(messages: tuple[Message, ...]) -> str:
        return await again()

    inner = Agent(FakeModel(think), cache="10m")
    async with Runtime() as rt:
        async with asyncio.timeout(10):
            assert (await rt.arun(inner, "q")).output == "deep"


async def test_one_who_may_not_ask_leaves_it_to_the_next() -> None:
    """A budget that is used up ends its own run; the others have the call made."""
    spent = Budget(calls=1)
    async with Runtime() as rt:
        await rt.arun(Agent(FakeModel.echo()), "other", budget=spent)
        agent = Agent(FakeModel.echo(), cache="10m")
        first, second = rt.submit(agent, "q", budget=spent), rt.submit(agent, "q")
        with pytest.raises(BudgetExceededError):
            await first
        assert (await second).output == "echo: q"


async def test_a_cache_that_dies_takes_no_run_along(gate: Gate) -> None:
    """Whoever waits for it does without; what follows finds it again."""
    async with Runtime() as rt:
        agent = Agent(FakeModel(gate), cache="10m")
        run = rt.submit(agent, "q")
        await gate.auntil(arrived=1)
        ref = rt.crew.caches.ref_of("answers", Cache(ttl="10m"))
        await ref.restart()
        await gate.auntil(arrived=2)
        gate.open("here", count=2)
        assert (await run).output == "here"
        await ref.kill()
        for cached in (False, True):
            again = rt.submit(agent, "again")
            if not cached:
                await gate.auntil(arrived=3)
                gate.open("again")
            assert ((await again).cached is not None) == cached


CACHES = "/system/caches/*"


@pytest.mark.parametrize(
    "plan",
    [
        Faults(),
        Faults(crash=Fault(CACHES, chance=0.2)),
        Faults(crash=Fault("/system/models/*", chance=0.2)),
        Faults(drop_reply=Fault(CACHES, chance=0.1)),
        Faults(slow=Fault("/system/models/*", chance=0.3, seconds=(1, 60))),
        Faults(full_mailbox=Fault(CACHES, chance=0.2)),
    ],
    ids=["none", "crash", "dead models", "drop_reply", "slow", "full"],
)
def test_every_run_ends_whatever_goes_wrong(plan: Faults) -> None:
    """With an answer to its own question or an error; nothing is left behind."""

    @tool(cache="5m", effects="none", timeout=30)
    async def look(x: int) -> int:
        """Look."""
        await asyncio.sleep(x)
        return x

    async def think(messages: tuple[Message, ...]) -> Any:
        await asyncio.sleep(1)
        last = messages[-1]
        if isinstance(last, UserMessage) and str(last.content).startswith("tool"):
            return call("look", x=2)
        return f"-> {messages[0].content}"

    async def main(rt: Runtime) -> list[Any]:
        agent = Agent(FakeModel(think), cache=Cache(semantic="strict"), tools=[look], timeout=100)
        runs = [
            rt.submit(agent, prompt, timeout=None if number % 3 else 2.0 + number)
            for number, prompt in enumerate(["Explain it", "explain it.", "tool", "tool"] * 6)
        ]
        for run in runs[::5]:
            run.cancel()
        return [await _ended(run) for run in runs]

    for seed in range(8):
        outputs = SimRuntime(seed, faults=plan).run(main)
        for number, output in enumerate(outputs):
            prompt = ("Explain it", "explain it.", "tool", "tool")[number % 4]
            if not output.startswith("~"):
                assert output.lower().rstrip(".") == f"-> {prompt}".lower().rstrip(".")
        if plan == Faults():
            assert sum(output.startswith("-> ") for output in outputs) >= 15
