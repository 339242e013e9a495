"""`agent.override(...)`: who is asked in a block instead, and who is not."""

import threading
from typing import Any

import pytest

from understudy import Agent, ConfigError, RunContext, Runtime, ServerError, Workflow, step
from understudy.testing import FakeModel, SimRuntime, call

pytestmark = pytest.mark.anyio


def real(name: str = "real") -> Agent:
    """An agent whose model must not be asked."""
    return Agent(FakeModel([], name="real"), name=name, fallback=(FakeModel([], name="other"),))


def test_runs_in_the_block_use_the_fake(runtime: Runtime) -> None:
    """All verbs do, and afterwards none does; other agents are as they were."""
    agent, other = Agent(FakeModel.echo()), Agent(FakeModel.echo(name="second"))
    with agent.override(model=FakeModel(["1", "2", "3", "4", "5", "6"])) as changed:
        assert agent.run("x").output == "1"
        assert runtime.run(agent, "x", session="alice").output == "2"
        with agent.stream("x") as stream:
            assert stream.collect() == "3"
        assert agent.submit("x").get().output == "4"
        assert [each.output for each in agent.map(["x"])] == ["5"]
        assert other.run("x").output == "echo: x"
        assert changed.run("x").output == "6"
    assert agent.run("x").output == "echo: x"


def test_a_batch_uses_it_too(runtime: Runtime) -> None:
    """The shared request as the ones that are asked again."""
    fake = FakeModel(lambda _: "no list")
    agent = real()
    with agent.override(model=fake):
        results = agent.batch(["a", "b"], runtime=runtime)
    assert [each.output for each in results] == ["no list", "no list"]
    assert len(fake.requests) >= 3


def test_it_wins_over_the_call_and_the_fallback_is_gone(runtime: Runtime) -> None:
    """What the code under test says does not wake up a real model; other fields it may give."""
    fake = FakeModel(["fake", ServerError("down", retryable=False)])
    agent = real()
    with agent.override(model=fake):
        result = agent.run("x", model=FakeModel(["called"]), temperature=0.5, runtime=runtime)
        assert result.output == "fake"
        assert fake.requests[0].temperature == 0.5
        with pytest.raises(ServerError, match="down"):
            agent.run("x", runtime=runtime)


def test_blocks_nest(runtime: Runtime) -> None:
    """The inner one adds to the outer one, and wins."""
    outer, inner, agent = FakeModel.echo(name="outer"), FakeModel.echo(name="inner"), real()
    with agent.override(model=outer):
        with agent.override(temperature=0.0):
            agent.run("x", runtime=runtime)
        with agent.override(model=inner):
            agent.run("x", runtime=runtime)
        agent.run("x", runtime=runtime)
    assert [each.temperature for each in outer.requests] == [0.0, None]
    assert len(inner.requests) == 1


def test_steps_nested_workflows_and_functions_use_it(runtime: Runtime) -> None:
    """Whatever a workflow begins in the block: on the loop, on threads, in workflows of its own."""
    agent = real()

    def in_a_thread(value: str) -> str:
        return agent.run(value).output

    async def on_the_loop(value: str) -> str:
        return (await agent.arun(value)).output

    flow = Workflow.sequential(
        "flow",
        step("step", agent),
        step("inner", Workflow.sequential("inner", step("deep", agent))),
        step("thread", in_a_thread),
        step("loop", on_the_loop),
    )
    fake = FakeModel(lambda messages: f"{messages[-1].content}!")
    with agent.override(model=fake):
        assert flow.run("x", runtime=runtime).output == "x!!!!"


def test_agents_as_tools_and_tools_use_it(runtime: Runtime) -> None:
    """What another agent begins in the block is overridden as well."""
    agent = real("helper")

    def ask(question: str, ctx: RunContext) -> str:
        """Ask."""
        return agent.run(question).output

    chief = Agent(
        FakeModel([call("helper", prompt="a"), call("ask", question="b"), "done"]),
        tools=[agent.as_tool("helper"), ask],
    )
    fake = FakeModel.echo()
    with agent.override(model=fake):
        result = chief.run("x", runtime=runtime)
    assert [each.result for each in result.tool_calls] == ["echo: a", "echo: b"]


def test_other_threads_do_not_see_it(runtime: Runtime) -> None:
    """It holds for what the block begins, not for whoever runs beside it."""
    agent = Agent(FakeModel.echo())
    said: list[Any] = []
    with agent.override(model=FakeModel(["fake"])):
        other = threading.Thread(target=lambda: said.append(agent.run("x", runtime=runtime).output))
        other.start()
        other.join()
        said.append(agent.run("x", runtime=runtime).output)
    assert said == ["echo: x", "fake"]


async def test_hosted_and_with_an_address_of_a_real_one() -> None:
    """On the caller's loop too; `base_url` and key of the agent do not matter to a fake."""
    agent = Agent("openai:gpt-5-mini", base_url="http://localhost:1", api_key="none")
    async with Runtime():
        with agent.override(model=FakeModel(["fake"])):
            assert (await agent.arun("x")).output == "fake"


def test_in_a_simulation() -> None:
    """Virtual time or not."""
    agent = real()

    async def main(rt: Runtime) -> str:
        with agent.override(model=FakeModel(["fake"], latency=60.0)):
            return str((await rt.arun(agent, "x")).output)

    assert SimRuntime(1).run(main) == "fake"


def test_what_cannot_be_is_said_when_the_block_begins() -> None:
    """A field that there is not is named with its neighbour."""
    with pytest.raises(ConfigError, match="did you mean model="), real().override(modle="x"):
        pass
