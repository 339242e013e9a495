"""Sessions: what one knows, who waits for whom, and who names it."""

import asyncio
from typing import Any

import pytest
from tests.runtime.said import texts

from understudy import (
    Agent,
    ConfigError,
    DeadlockError,
    Memory,
    OverloadedError,
    Runtime,
    UserMessage,
    Workflow,
    step,
    tool,
)
from understudy.testing import FakeModel, call

pytestmark = pytest.mark.anyio


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


def test_agents_that_share_a_memory_share_a_conversation(runtime: Runtime) -> None:
    """And two memories are two, however alike."""
    shared, other = Memory(), Memory()
    fake = FakeModel.echo()
    one, two = Agent(fake, name="one", memory=shared), Agent(fake, name="two", memory=shared)
    one.run("1", session="s", runtime=runtime)
    two.run("2", session="s", runtime=runtime)
    one.with_(memory=other).run("3", session="s", runtime=runtime)
    assert [len(each.messages) for each in fake.requests] == [1, 3, 1]
