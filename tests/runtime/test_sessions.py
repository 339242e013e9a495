"""Agents with a session: history before, the turn after, one at a time."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from understudy import (
    Agent,
    AssistantMessage,
    Budget,
    BudgetExceededError,
    ConfigError,
    DeadlockError,
    Memory,
    OverloadedError,
    RunCancelledError,
    Runtime,
    ServerError,
    ToolMessage,
    UserMessage,
    Workflow,
    step,
    tool,
)
from understudy.testing import FakeModel, ManualClock, call

pytestmark = pytest.mark.anyio


def texts(messages: Any) -> list[str]:
    """What was said."""
    return [str(each.content) for each in messages]


def test_a_session_knows_what_was_said(runtime: Runtime) -> None:
    """History goes before the prompt; the agent's instructions stay in front; nothing is shared."""
    fake = FakeModel(["1", "2", "3", "4", "5"])
    agent = Agent(fake, instructions="sys")
    for session, tenant in (("a", ""), ("a", ""), ("b", ""), ("a", "acme")):
        result = agent.run("q", session=session, tenant=tenant, runtime=runtime)
        assert result.session == session
    assert agent.run("q", runtime=runtime).session == ""
    assert [texts(each.messages) for each in fake.requests] == [
        ["sys", "q"],
        ["sys", "q", "1", "q"],
        ["sys", "q"],
        ["sys", "q"],
        ["sys", "q"],
    ]
    assert texts(runtime.memory.history("a", runtime=runtime)) == ["q", "1", "q", "2"]


def test_a_scope_names_the_session_too(runtime: Runtime) -> None:
    """For whatever is begun in the block, and no longer."""
    fake = FakeModel.echo()
    agent = Agent(fake)
    with runtime.scope(tenant="acme", session="s"):
        agent.run("one", runtime=runtime)
        assert agent.run("two", runtime=runtime).session == "s"
        assert agent.run("three", session="", runtime=runtime).session == ""
    assert len(fake.requests[1].messages) == 3
    assert texts(runtime.memory.history("s", tenant="acme", runtime=runtime))[::2] == ["one", "two"]


def test_turns_of_one_session_wait_for_each_other(runtime: Runtime, gate: Any) -> None:
    """Other sessions do not."""
    agent = Agent(FakeModel(gate))
    first = agent.submit("1", session="a", runtime=runtime)
    second = agent.submit("2", session="a", runtime=runtime)
    other = agent.submit("3", session="b", runtime=runtime)
    gate.until(arrived=2, waiting=2)
    assert gate.peak == 2
    gate.open(count=2)
    gate.until(arrived=3)
    gate.open()
    assert [run.get(timeout=10).session for run in (first, second, other)] == ["a", "a", "b"]
    assert texts(runtime.memory.history("a", runtime=runtime)) == ["1", "open", "2", "open"]


def test_only_so_many_turns_wait(runtime: Runtime, gate: Any, monkeypatch: Any) -> None:
    """Of one session; the error names it, and others go on."""
    monkeypatch.setattr("understudy.actors.agents.sessions.WAITING", 2)
    agent = Agent(FakeModel(gate))
    runs = [agent.submit("x", session="busy", runtime=runtime) for _ in range(3)]
    with pytest.raises(OverloadedError, match="2 turns of session 'busy' wait already"):
        agent.submit("x", session="busy", runtime=runtime)
    runs.append(agent.submit("x", session="other", runtime=runtime))
    for arrived in (2, 3, 4):
        gate.until(arrived=arrived, waiting=1)
        gate.open(count=gate.waiting)
    assert [run.get(timeout=10).output for run in runs] == ["open"] * 4


def test_a_run_cannot_take_the_session_that_it_holds(runtime: Runtime) -> None:
    """It would wait for itself: the tool that does it is told so, by name."""
    agent = Agent(FakeModel.echo())
    told = []

    @tool
    async def again() -> str:
        """Again."""
        try:
            await agent.arun("inner", session="s", tenant="t")
        except DeadlockError as error:
            told.append(error)
        return (await agent.arun("inner", session="other")).output

    outer = Agent(FakeModel([[call("again")], "done"]), tools=[again])
    assert outer.run("x", session="s", tenant="t", runtime=runtime).output == "done"
    (error,) = told
    assert "session 's' of tenant 't'" in str(error)
    assert error.cycle


async def test_sessions_that_wait_for_each_other_are_told() -> None:
    """Each holds one and wants the other's: the one who closes the circle hears of it."""
    arrived = {"a": asyncio.Event(), "b": asyncio.Event()}
    told = []

    def crossing(mine: str, other: str) -> Agent:
        @tool
        async def cross() -> str:
            """Cross."""
            arrived[mine].set()
            await arrived[other].wait()
            try:
                return (await Agent(FakeModel.echo()).arun("in", session=other)).output
            except DeadlockError as error:
                told.append(error)
                return "no"

        return Agent(FakeModel([[call("cross")], "done"]), tools=[cross])

    async with Runtime() as rt:
        runs = [crossing(*each).arun("x", session=each[0], runtime=rt) for each in ("ab", "ba")]
        results = await asyncio.wait_for(asyncio.gather(*runs), timeout=20)
    assert [result.output for result in results] == ["done", "done"]
    assert len(told) == 1


def test_what_a_run_begins_is_no_turn(runtime: Runtime) -> None:
    """Agents used as tools, steps and their functions inherit the session, but not its history."""
    fake = FakeModel.echo()
    helper = Agent(fake, name="helper")

    outer = Agent(FakeModel([[call("helper", prompt="p")], "done"]), tools=[helper.as_tool()])
    outer.run("x", session="s", runtime=runtime)
    sessions = []

    async def again(text: str) -> str:
        result = await helper.arun(f"in {text}")
        sessions.append(result.session)
        return result.output

    flow = Workflow.sequential("w", step("one", helper), step("two", again))
    runtime.run(flow, "y", session="s")
    assert sessions == [""]
    assert [len(each.messages) for each in fake.requests] == [1, 1, 1]
    assert len(runtime.memory.history("s", runtime=runtime)) == 4


def test_a_scope_in_a_tool_names_no_session_by_itself(runtime: Runtime) -> None:
    """Another tenant is another tenant; the session is inherited there and not named."""
    helper = Agent(FakeModel.echo())

    @tool
    async def look() -> str:
        """Look."""
        with runtime.scope(tenant="other"):
            return (await helper.arun("x")).output

    agent = Agent(FakeModel([[call("look")], "done"]), tools=[look])
    agent.run("x", session="s", tenant="t", runtime=runtime)
    assert runtime.memory.history("s", tenant="other", runtime=runtime) == ()
    assert len(runtime.memory.history("s", tenant="t", runtime=runtime)) == 4


def test_an_actor_of_a_session_serves_nobody_else(runtime: Runtime, gate: Any) -> None:
    """Also after a turn that was cancelled while it waited for it."""
    agent = Agent(FakeModel(gate))
    busy = agent.submit("1", session="s", runtime=runtime)
    waiting = agent.submit("2", session="s", runtime=runtime)
    gate.until(waiting=1)
    waiting.cancel()
    others = [agent.submit("x", runtime=runtime) for _ in range(3)]
    gate.until(waiting=4)
    gate.open(count=4)
    assert [run.get(timeout=10).output for run in (busy, *others)] == ["open"] * 4


def test_a_turn_with_calls_is_kept_whole(runtime: Runtime) -> None:
    """And goes before the next prompt as it was said."""

    def look() -> str:
        """Look."""
        return "seen"

    fake = FakeModel([[call("look")], "done", "again"])
    agent = Agent(fake, tools=[look])
    agent.run("x", session="s", runtime=runtime)
    agent.run("y", session="s", runtime=runtime)
    kinds = [type(each).__name__ for each in fake.requests[-1].messages]
    assert kinds == [
        "UserMessage",
        "AssistantMessage",
        "ToolMessage",
        "AssistantMessage",
        "UserMessage",
    ]


def test_a_turn_that_failed_is_kept_only_if_something_has_happened(runtime: Runtime) -> None:
    """Then with a message that says so; else the prompt can be asked again."""
    happened = []

    def act() -> str:
        """Act."""
        happened.append(1)
        return "acted"

    down = ServerError("down", retryable=False)
    agent = Agent(FakeModel([down, [call("act")], down, "fine"]), tools=[act])
    for _ in range(2):
        with pytest.raises(ServerError):
            agent.run("x", session="s", runtime=runtime)
    kept = runtime.memory.history("s", runtime=runtime)
    assert [type(each) for each in kept] == [
        UserMessage,
        AssistantMessage,
        ToolMessage,
        AssistantMessage,
    ]
    assert kept[-1].content == "[no answer: ServerError]"
    assert agent.run("y", session="s", runtime=runtime).output == "fine"


def test_calls_that_were_cut_off_have_no_result(runtime: Runtime, gate: Any) -> None:
    """Nobody knows whether they were done: that is what is kept of them."""
    agent = Agent(FakeModel([[call("wait"), call("wait")], "ok"]), tools=[waiter(gate)])
    run = agent.submit("x", session="s", runtime=runtime)
    gate.until(waiting=2)
    run.cancel()
    with pytest.raises(RunCancelledError):
        run.get(timeout=10)
    agent.run("y", session="s", runtime=runtime)  # behind it
    said = texts(runtime.memory.history("s", runtime=runtime))[:-2]
    no_result = "[no result: RunCancelledError]"
    assert said == ["x", "", no_result, no_result, "[no answer: RunCancelledError]"]


def test_a_resumed_turn_that_is_cut_off_keeps_what_was_done(runtime: Runtime, gate: Any) -> None:
    """Results of before the approval are known, that of the approved call is not."""

    def look() -> str:
        """Look."""
        return "seen"

    wait = tool(requires_approval=True)(waiter(gate))
    agent = Agent(FakeModel([[call("look"), call("wait")], "ok"]), tools=[look, wait])
    pending = agent.run("x", session="s", runtime=runtime).pending
    assert pending is not None
    run = agent.submit(resume=pending.approve(), session="s", runtime=runtime)
    gate.until(waiting=1)
    run.cancel()
    with pytest.raises(RunCancelledError):
        run.get(timeout=10)
    agent.run("y", session="s", runtime=runtime)  # behind it
    said = texts(runtime.memory.history("s", runtime=runtime))[:-2]
    no_result = "[no result: RunCancelledError]"
    assert said == ["x", "", "seen", no_result, "[no answer: RunCancelledError]"]


def waiter(gate: Any) -> Any:
    """A tool that waits at the gate."""

    async def wait() -> str:
        """Wait."""
        return str(await gate())

    return wait


def test_an_answer_that_was_refused_is_no_turn(runtime: Runtime) -> None:
    """The budget was spent by it; no tool was called, so it can be asked again."""
    agent = Agent(FakeModel(["word " * 100, "ok"]))
    with pytest.raises(BudgetExceededError):
        agent.run("x", session="s", budget=Budget(tokens=50), runtime=runtime)
    assert runtime.memory.history("s", runtime=runtime) == ()
    agent.run("x", session="s", runtime=runtime)
    assert texts(runtime.memory.history("s", runtime=runtime)) == ["x", "ok"]


def test_a_cancelled_turn_leaves_nothing_half(runtime: Runtime, gate: Any) -> None:
    """The next one of the session goes on at once."""
    agent = Agent(FakeModel(gate))
    run = agent.submit("1", session="s", runtime=runtime)
    waiting = agent.submit("2", session="s", runtime=runtime)
    last = agent.submit("3", session="s", runtime=runtime)
    gate.until(waiting=1)
    waiting.cancel()
    run.cancel()
    gate.until(arrived=2, waiting=1)
    gate.open("three")
    assert last.get(timeout=10).output == "three"
    for each in (run, waiting):
        with pytest.raises(RunCancelledError):
            each.get(timeout=10)
    assert texts(runtime.memory.history("s", runtime=runtime)) == ["3", "three"]


def test_a_turn_that_was_resumed_is_one_turn(runtime: Runtime) -> None:
    """Nothing of it is kept while it waits for approval."""

    @tool(requires_approval=True)
    def act() -> str:
        """Act."""
        return "acted"

    fake = FakeModel(["hi", [call("act")], "done"])
    agent = Agent(fake, tools=[act], history_limit=2)
    agent.run("hello", session="s", runtime=runtime)
    pending = agent.run("x", session="s", runtime=runtime).pending
    assert pending is not None
    assert texts(runtime.memory.history("s", runtime=runtime)) == ["hello", "hi"]
    result = agent.run(resume=pending.approve(), session="s", runtime=runtime)
    assert result.output == "done"
    said = texts(runtime.memory.history("s", runtime=runtime))
    assert said == ["hello", "hi", "x", "", "acted", "done"]
    assert texts(fake.requests[-1].messages) == ["hello", "hi", "x", "", "acted"]


def test_history_and_session_are_one_too_many(runtime: Runtime) -> None:
    """The error says how to bring messages in."""
    agent = Agent(FakeModel.echo())
    with pytest.raises(ConfigError, match=r"session='s' with history=.*memory\.append"):
        agent.run("x", session="s", history=(UserMessage(content="y"),), runtime=runtime)


@pytest.mark.parametrize("name", ["x" * 10_000_000, "a" * 1025, "\ud800", 7])
def test_a_session_has_a_name_that_can_be_kept(runtime: Runtime, name: Any) -> None:
    """Ten megabytes are refused before anything is begun."""
    agent = Agent(FakeModel.echo())
    for given in ({"session": name}, {"tenant": name, "session": "s"}):
        with pytest.raises(ConfigError, match=r"session=|tenant=") as caught:
            agent.run("x", runtime=runtime, **given)
        assert len(str(caught.value)) < 200
    with pytest.raises(ConfigError, match="session="):
        runtime.memory.history(name, runtime=runtime)


@pytest.fixture
def clock() -> ManualClock:
    """Time that passes when a test says so."""
    return ManualClock()


@pytest.fixture
def timed(clock: ManualClock) -> Iterator[Runtime]:
    """A runtime in that time."""
    with Runtime(clock=clock) as rt:
        yield rt


def seats(rt: Runtime) -> list[str]:
    """The actors of sessions."""
    nodes = [rt.tree()]
    while nodes:
        node = nodes.pop()
        if node.path == "/system/sessions":
            return [each.path for each in node.children]
        nodes += node.children
    return []


def test_an_idle_actor_is_let_go_and_made_again(timed: Runtime, clock: ManualClock) -> None:
    """After 60 seconds without a run; its history stays."""
    fake = FakeModel.echo()
    agent = Agent(fake)
    agent.run("1", session="a", runtime=timed)
    (seat,) = seats(timed)
    clock.advance(59.0)
    agent.run("2", session="a", runtime=timed)
    assert seats(timed) == [seat]
    clock.advance(59.0)
    agent.run("3", session="b", runtime=timed)
    assert seat in seats(timed)
    clock.advance(1.5)
    agent.run("4", session="b", runtime=timed)
    assert seat not in seats(timed)
    agent.run("5", session="a", runtime=timed)
    assert len(fake.requests[-1].messages) == 5
    assert len(seats(timed)) == 2


def test_a_busy_actor_is_not_idle(timed: Runtime, clock: ManualClock, gate: Any) -> None:
    """However long its run takes."""
    agent = Agent(FakeModel(gate))
    done = agent.submit("0", session="b", runtime=timed)
    gate.until(waiting=1)
    gate.open()
    done.get(timeout=10)
    run = agent.submit("1", session="a", runtime=timed)
    gate.until(waiting=1)
    clock.advance(200.0)
    gate.open()
    assert run.get(timeout=10).output == "open"


async def test_messages_that_meet_actors_that_leave_are_answered(clock: ManualClock) -> None:
    """Whichever comes first: every run has its answer and its turn."""
    async with Runtime(clock=clock) as rt:
        agent = Agent(FakeModel.echo())
        for _ in range(20):
            clock.advance(60.0)
            runs = [agent.arun("x", session=s, runtime=rt) for s in "ab" for _ in range(3)]
            await asyncio.gather(*runs)
        for session in "ab":
            assert len(await rt.memory.ahistory(session, runtime=rt)) == 20 * 3 * 2


def test_agents_that_share_a_memory_share_a_conversation(runtime: Runtime) -> None:
    """And two memories are two, however alike."""
    shared, other = Memory(), Memory()
    fake = FakeModel.echo()
    one, two = Agent(fake, name="one", memory=shared), Agent(fake, name="two", memory=shared)
    one.run("1", session="s", runtime=runtime)
    two.run("2", session="s", runtime=runtime)
    one.with_(memory=other).run("3", session="s", runtime=runtime)
    assert [len(each.messages) for each in fake.requests] == [1, 3, 1]


def test_a_stream_is_a_turn_too(runtime: Runtime) -> None:
    """Also where only its tail was kept, which a marker says."""
    agent = Agent(FakeModel(lambda _: iter(["abc "] * 30_000)))
    with agent.stream("q", session="s", retain="tail", runtime=runtime) as stream:
        for _ in stream:
            pass
    kept = runtime.memory.history("s", runtime=runtime)
    assert len(kept) == 2
    assert len(str(kept[1].content)) < 70_000
    assert not str(kept[1].content).startswith("abc")
