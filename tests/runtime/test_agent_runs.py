import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from understudy import (
    Agent,
    AssistantMessage,
    ConfigError,
    DeadlineExceededError,
    OverloadedError,
    RunCancelledError,
    Runtime,
    RuntimeStoppedError,
    ServerError,
    SystemMessage,
    UserMessage,
    WouldDeadlockError,
)
from understudy.testing import FakeModel, ProviderServer, assert_quiet

if TYPE_CHECKING:
    from tests.conftest import Gate

pytestmark = pytest.mark.anyio


def test_a_run_gives_everything_a_result_has(runtime: Runtime) -> None:
    """Output, messages to go on with, usage, time and ids."""
    agent = Agent(FakeModel(["Paris.", "Madrid."]), instructions="Be terse.", name="geo")
    first = agent.run("France?", runtime=runtime)
    assert (first.output, first.text, first.finish_reason) == ("Paris.", "Paris.", "stop")
    assert first.messages == (UserMessage(content="France?"), AssistantMessage(content="Paris."))
    assert first.new_messages == first.messages
    assert (first.provider, first.model, first.attempts) == ("fake", "fake", 1)
    assert first.usage.total_tokens > 0
    assert first.duration >= 0
    assert first.time_to_first_token is None
    assert first.run_id
    assert first.trace_id
    second = agent.run("Spain?", history=first.messages, runtime=runtime)
    assert [m.content for m in second.messages] == ["France?", "Paris.", "Spain?", "Madrid."]
    assert [m.content for m in second.new_messages] == ["Spain?", "Madrid."]
    assert second.run_id != first.run_id


def test_instructions_come_first_and_once(runtime: Runtime) -> None:
    """The system message is sent at every run, unless the history brings one."""
    fake = FakeModel.echo()
    agent = Agent(fake, instructions="mine")
    agent.run("a", runtime=runtime)
    agent.run("b", runtime=runtime, history=(SystemMessage(content="other"),))
    systems = [
        [m.content for m in request.messages if isinstance(m, SystemMessage)]
        for request in fake.requests
    ]
    assert systems == [["mine"], ["other"]]


async def test_every_verb_in_both_spellings() -> None:
    """The async verbs give on the runtime's loop what the blocking ones give on a thread."""
    agent = Agent(FakeModel.echo())
    async with Runtime() as rt:
        assert (await agent.arun("a")).output == "echo: a"
        assert (await rt.arun(agent, "b")).output == "echo: b"
        assert (await agent.submit("c")).output == "echo: c"
        results = await agent.amap([str(n) for n in range(10)], max_concurrent=3)
        assert [r.output for r in results] == [f"echo: {n}" for n in range(10)]
        async with agent.astream("d") as stream:
            assert (await stream.await_result()).output == "echo: d"


def test_blocking_verbs(runtime: Runtime) -> None:
    """run, submit and map block the calling thread only as long as they must."""
    agent = Agent(FakeModel.echo())
    run = agent.submit("a", runtime=runtime)
    assert run.get(timeout=10).output == "echo: a"
    assert run.status == "completed"
    results = agent.map((str(n) for n in range(100)), max_concurrent=7, runtime=runtime)
    assert [r.output for r in results] == [f"echo: {n}" for n in range(100)]


def test_a_failure_is_raised_as_it_is(runtime: Runtime) -> None:
    """The error of the provider reaches whoever waits, by every verb, and leaves the rest alone."""
    agent = Agent(FakeModel([ServerError("down", status=503) for _ in range(3)] + ["up"]))
    with pytest.raises(ServerError, match="down") as caught:
        agent.run("?", runtime=runtime)
    assert caught.value.status == 503
    run = agent.submit("?", runtime=runtime)
    with pytest.raises(ServerError):
        run.get(timeout=10)
    assert run.status == "failed"
    with pytest.raises(ServerError):
        agent.map(["?"], runtime=runtime)
    assert agent.run("?", runtime=runtime).output == "up"


def test_the_first_failure_of_a_map_cancels_the_rest(runtime: Runtime, gate: "Gate") -> None:
    """Nothing of a map that has failed goes on."""

    async def answer(messages: tuple[UserMessage, ...]) -> str:
        if messages[-1].content == "bad":
            await gate.auntil(waiting=2)
            raise ServerError("bad")
        return await gate()

    agent = Agent(FakeModel(answer))  # type: ignore[arg-type]
    with pytest.raises(ServerError, match="bad"):
        agent.map(["a", "b", "bad", "never"], max_concurrent=3, runtime=runtime)
    gate.until(cancelled=2)
    assert gate.arrived == 2


async def test_a_map_keeps_its_bound(gate: "Gate") -> None:
    """At most `max_concurrent` runs of a map are under way."""
    agent = Agent(FakeModel(gate))
    async with Runtime() as rt:
        task = asyncio.ensure_future(agent.amap([str(n) for n in range(9)], max_concurrent=3))
        for arrived in (3, 6, 9):
            await gate.auntil(arrived=arrived, waiting=3)
            gate.open(count=3)
        assert len(await task) == 9
    assert gate.peak == 3
    assert_quiet(rt)
    with pytest.raises(ConfigError, match="max_concurrent=0"):
        await agent.amap(["x"], max_concurrent=0, runtime=rt)


async def test_two_thousand_runs_at_once() -> None:
    """A burst of runs larger than any mailbox is served, none is refused."""
    agent = Agent(FakeModel.echo())
    async with Runtime() as rt:
        results = await agent.amap([str(n) for n in range(2000)], max_concurrent=2000)
    assert [r.output for r in results] == [f"echo: {n}" for n in range(2000)]
    assert_quiet(rt)


def test_one_agent_used_by_many_threads(runtime: Runtime) -> None:
    """Runs of one agent on many threads do not see each other's history, options or answers."""
    fake = FakeModel.echo()
    agent = Agent(fake, temperature=0.5)
    barrier = threading.Barrier(16)

    def converse(number: int) -> list[str]:
        barrier.wait(timeout=10)
        history: tuple[object, ...] = ()
        heard = []
        for turn in range(10):
            result = agent.run(
                f"{number}/{turn}",
                history=history,
                temperature=float(number),
                runtime=runtime,
            )
            history = result.messages
            heard.append(result.output)
        assert len(history) == 20
        return heard

    with ThreadPoolExecutor(16) as pool:
        heard = list(pool.map(converse, range(16)))
    assert heard == [[f"echo: {number}/{turn}" for turn in range(10)] for number in range(16)]
    for request in fake.requests:
        said = [str(m.content).removeprefix("echo: ").partition("/")[0] for m in request.messages]
        assert set(said) == {said[0]}
        assert request.temperature == float(said[0])
    assert agent.temperature == 0.5


def test_overrides_last_for_one_call(runtime: Runtime) -> None:
    """What one call changes is gone at the next; the agent itself never changes."""
    fake, other = FakeModel.echo(), FakeModel.echo(name="other")
    agent = Agent(fake, temperature=0.7, max_tokens=10)
    agent.run("a", runtime=runtime, temperature=0.0, max_tokens=99, instructions="new", seed=4)
    agent.run("b", runtime=runtime)
    assert agent.run("c", runtime=runtime, model=other).provider == "other"
    assert agent.run("d", runtime=runtime).provider == "fake"
    sent = [(r.temperature, r.max_tokens, r.seed, len(r.messages)) for r in fake.requests]
    assert sent == [(0.0, 99, 4, 2), (0.7, 10, None, 1), (0.7, 10, None, 1)]
    assert agent == Agent(fake, temperature=0.7, max_tokens=10)
    assert agent.with_(seed=1).seed == 1
    assert agent.seed is None


def test_temperature_zero_reaches_the_provider_and_none_does_not() -> None:
    """0.0 is a temperature; None is silence."""
    with Runtime() as rt, ProviderServer() as server:
        agent = Agent("openai-compatible:m", base_url=server.base_url)
        rt.run(agent, "a", temperature=0.0)
        rt.run(agent, "b")
        bodies = [request.json for request in server.requests]
    assert bodies[0]["temperature"] == 0.0
    assert "temperature" not in bodies[1]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"temprature": 1.0}, r"no option temprature=; did you mean temperature=\?"),
        ({"max_tokens": 0}, "max_tokens=0"),
        ({"timeout": -1.0}, "timeout=-1"),
    ],
)
def test_wrong_options_are_named(runtime: Runtime, options: dict[str, float], match: str) -> None:
    """An option that does not exist or cannot work is refused before anything runs."""
    fake = FakeModel.echo()
    with pytest.raises(ConfigError, match=match):
        Agent(fake).run("x", runtime=runtime, **options)
    assert not fake.requests


@pytest.mark.parametrize(
    ("model", "match"),
    [
        (None, r"no model: name one in the call .*the agent .*\[llm\] model"),
        ("gpt-5", "write it as 'provider:model'"),
        ("opnai:gpt-5", "unknown provider 'opnai': did you mean 'openai'"),
        (object(), "is not a model"),
    ],
)
def test_wrong_models_are_named(runtime: Runtime, model: object, match: str) -> None:
    """A model that cannot be found is a ConfigError that says how to name one."""
    with pytest.raises(ConfigError, match=match):
        runtime.run(Agent(model), "x")


def test_what_is_no_prompt_is_refused(runtime: Runtime) -> None:
    """An agent takes text, and only agents and workflows can be run."""
    with pytest.raises(ConfigError, match="takes a text, not a dict"):
        Agent(FakeModel.echo()).run({"a": 1}, runtime=runtime)  # type: ignore[call-overload]
    with pytest.raises(ConfigError, match="pass an Agent or a Workflow"):
        runtime.run(print, "x")  # type: ignore[arg-type]


def test_a_timeout_ends_the_run_and_the_call(runtime: Runtime, gate: "Gate") -> None:
    """At its timeout a run is answered, and the provider call behind it is cancelled."""
    agent = Agent(FakeModel(gate), timeout=0.05)
    with pytest.raises(DeadlineExceededError, match=r"agent .* took longer than .* 0\.05 s"):
        agent.run("x", runtime=runtime)
    gate.until(cancelled=1)
    run = agent.submit("x", runtime=runtime, timeout=60)
    gate.until(waiting=1)
    gate.open("in time")
    assert run.get(timeout=10).output == "in time"


def test_waiting_with_a_timeout_leaves_the_run_alone(runtime: Runtime, gate: "Gate") -> None:
    """`get(timeout)` gives up waiting, not the run."""
    run = Agent(FakeModel(gate)).submit("x", runtime=runtime)
    gate.until(waiting=1)
    with pytest.raises(DeadlineExceededError):
        run.get(timeout=0.01)
    assert run.status == "running"
    gate.open("late")
    assert run.get(timeout=10).output == "late"


def test_a_cancelled_run_cancels_its_call(runtime: Runtime, gate: "Gate") -> None:
    """`run.cancel()` answers who waits at once, and ends the work behind it."""
    run = Agent(FakeModel(gate)).submit("x", runtime=runtime)
    gate.until(waiting=1)
    run.cancel()
    with pytest.raises(RunCancelledError):
        run.get(timeout=10)
    assert run.status == "cancelled"
    gate.until(cancelled=1)
    run.cancel()
    assert run.status == "cancelled"


async def test_cancelling_who_awaits_arun_cancels_the_run(gate: "Gate") -> None:
    """Whoever awaits `arun` owns the run: cancelled together."""
    agent = Agent(FakeModel(gate))
    async with Runtime() as rt:
        task = asyncio.ensure_future(agent.arun("x"))
        await gate.auntil(waiting=1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await gate.auntil(cancelled=1)
    assert_quiet(rt)


async def test_cancelling_who_awaits_a_submitted_run_leaves_it(gate: "Gate") -> None:
    """Whoever awaits a `Run` from `submit` does not own it."""
    agent = Agent(FakeModel(gate))
    async with Runtime():
        run = agent.submit("x")
        waiting = asyncio.ensure_future(_wait(run))
        await gate.auntil(waiting=1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert run.status == "running"
        gate.open("goes on")
        assert (await run).output == "goes on"
        assert (await run).output == "goes on"


async def _wait(run: object) -> object:
    return await run  # type: ignore[misc]


def test_more_runs_than_max_runs_are_refused() -> None:
    """Beyond `max_runs` a run is refused at once, with what to do; places come back."""
    with Runtime(max_runs=2) as rt:
        slow = Agent(FakeModel.echo(latency=60))
        runs = [rt.submit(slow, "x") for _ in range(2)]
        with pytest.raises(OverloadedError, match=r"2 agent runs are under way \(max_runs\)"):
            rt.run(slow, "y")
        for run in runs:
            run.cancel()
        for _ in range(5):
            assert rt.run(Agent(FakeModel.echo()), "z").output == "echo: z"
    assert_quiet(rt)


def test_runs_cancelled_before_they_begin_give_their_place_back() -> None:
    """However early a run is cancelled, it does not use up `max_runs`."""
    agent = Agent(FakeModel.echo())
    with Runtime(max_runs=3) as rt:
        for _ in range(50):
            rt.submit(agent, "x").cancel()
        assert rt.run(agent, "still").output == "echo: still"
        actors = [n for n in rt.tree().children[1].children if n.path == "/system/agents"]
        assert len(actors[0].children) <= 3
    assert_quiet(rt)


@pytest.mark.unquiet(failures=(ZeroDivisionError,))
def test_an_agent_that_fails_is_not_lent_again(runtime: Runtime) -> None:
    """A bug in a model object is the caller's error; the runs after it are not touched."""

    def answer(messages: tuple[UserMessage, ...]) -> str:
        if messages[-1].content == "bug":
            raise ZeroDivisionError
        return "fine"

    agent = Agent(FakeModel(answer))  # type: ignore[arg-type]
    for _ in range(8):
        with pytest.raises(ZeroDivisionError):
            runtime.run(agent, "bug")
        assert runtime.run(agent, "x").output == "fine"


async def test_blocking_verbs_on_the_loop_name_their_twin() -> None:
    """On the loop that has to do the work, a blocking verb fails at once and says what to await."""
    agent = Agent(FakeModel.echo())
    async with Runtime() as rt:
        with pytest.raises(WouldDeadlockError, match="arun"):
            agent.run("x")
        with pytest.raises(WouldDeadlockError, match="amap"):
            agent.map(["x"])
        with pytest.raises(WouldDeadlockError, match="astream"):
            agent.stream("x")
        run = agent.submit("x")
        with pytest.raises(WouldDeadlockError, match="await"):
            run.get()
        with pytest.raises(WouldDeadlockError, match="astop"):
            rt.stop()
        assert (await run).output == "echo: x"


def test_a_stopped_runtime_takes_no_runs() -> None:
    """Before the start and after the end, running something is an error that says so."""
    rt = Runtime(name="late")
    agent = Agent(FakeModel.echo())
    with pytest.raises(RuntimeStoppedError, match="'late' has not been started"):
        rt.run(agent, "x")
    with rt:
        rt.run(agent, "x")
    with pytest.raises(RuntimeStoppedError, match="'late' "):
        rt.run(agent, "x")
    with pytest.raises(RuntimeStoppedError, match="make a new one"):
        rt.start()
