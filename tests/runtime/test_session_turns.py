"""What is kept of a turn: all of it, or what has happened, or nothing."""

from typing import Any

import pytest
from tests.runtime.said import texts

from understudy import (
    Agent,
    AssistantMessage,
    Budget,
    BudgetExceededError,
    RunCancelledError,
    Runtime,
    ServerError,
    ToolMessage,
    UserMessage,
    tool,
)
from understudy.testing import FakeModel, call


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
