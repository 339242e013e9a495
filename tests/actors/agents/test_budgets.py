import asyncio
import contextlib
from typing import Any

import pytest

from understudy import (
    Agent,
    Budget,
    BudgetExceededError,
    ConfigError,
    Price,
    Result,
    RunCancelledError,
    Runtime,
    Spent,
    ToolMessage,
    Usage,
    Workflow,
    WorkflowError,
    step,
)
from understudy.messages.chat import AssistantMessage
from understudy.messages.models import Complete, Completion
from understudy.testing import FakeModel, call

pytestmark = pytest.mark.anyio

PRICED = {"fake:*": Price(input=1.0, output=2.0, cached=0.5)}


class Measured(FakeModel):
    """A model that always uses the same: 100 tokens in (40 of them cached), 10 out."""

    async def complete(self, request: Complete, *, timeout: float | None = None) -> Completion:
        self.requests.append(request)
        return Completion(
            message=AssistantMessage(content="ok"),
            finish_reason="stop",
            usage=Usage(input_tokens=100, output_tokens=10, cached_tokens=40),
            model=request.model,
            provider="fake",
        )


COST = (60 * 1.0 + 40 * 0.5 + 10 * 2.0) / 1e6


async def nothing() -> str:
    """Do nothing."""
    return "nothing"


async def test_a_result_has_its_cost() -> None:
    """By the prices of the Runtime; None where nobody has said one."""
    async with Runtime(prices=PRICED) as rt:
        assert (await rt.arun(Agent(Measured([])), "q")).cost == pytest.approx(COST)
    async with Runtime() as rt:
        assert (await rt.arun(Agent(Measured([])), "q")).cost is None


async def test_a_budget_object_adds_up_over_runs() -> None:
    """Two runs share what they were given; an equal budget has an account of its own."""
    budget = Budget(tokens=220)
    agent = Agent(Measured([]))
    async with Runtime() as rt:
        await rt.arun(agent, "a", budget=budget)
        await rt.arun(agent, "b", budget=budget)
        with pytest.raises(BudgetExceededError, match="tokens=220"):
            await rt.arun(agent, "c", budget=budget)
        assert budget.spent.tokens == 220
        assert budget.spent.calls == 2
        assert Budget(tokens=220).spent == Spent()
        assert (await rt.arun(agent, "d")).output == "ok"


async def test_the_budget_of_an_agent_is_for_each_of_its_runs() -> None:
    """Every run begins with all of it."""
    agent = Agent(Measured([]), budget=Budget(calls=1))
    async with Runtime() as rt:
        for _ in range(3):
            assert (await rt.arun(agent, "q")).output == "ok"


async def test_what_goes_over_the_edge_is_an_error_with_the_answer() -> None:
    """The call that was too much was made: its answer and its usage are in `.partial`."""
    async with Runtime() as rt:
        with pytest.raises(BudgetExceededError, match="110 spent") as caught:
            await rt.arun(Agent(Measured([])), "q", budget=Budget(tokens=100))
    assert caught.value.partial.text == "ok"
    assert (
        caught.value.usage
        == caught.value.partial.usage
        == Usage(input_tokens=100, output_tokens=10, cached_tokens=40)
    )


async def test_calls_end_a_run_between_its_turns() -> None:
    """The second call is not made; the tool's result is in the partial result."""
    fake = FakeModel(lambda _: [call("nothing")])
    async with Runtime() as rt:
        with pytest.raises(BudgetExceededError, match="calls=1") as caught:
            await rt.arun(Agent(fake, tools=[nothing]), "q", budget=Budget(calls=1))
    assert len(fake.requests) == 1
    assert isinstance(caught.value.partial, Result)
    assert [record.result for record in caught.value.partial.tool_calls] == ["nothing"]
    assert isinstance(caught.value.partial.messages[-1], ToolMessage)


async def test_concurrent_runs_share_calls_exactly() -> None:
    """Of twenty runs beside one another seven may ask."""
    fake = FakeModel.echo(latency=0.001)
    budget = Budget(calls=7)
    async with Runtime() as rt:
        found = await Agent(fake).amap(
            [str(n) for n in range(20)], budget=budget, on_error="collect", runtime=rt
        )
    assert len(fake.requests) == 7
    assert sum(isinstance(each, BudgetExceededError) for each in found) == 13


async def test_dollars_are_counted() -> None:
    """Three calls of 100 micro-dollars fit into 0.0003, the fourth does not."""
    budget = Budget(usd=3.5 * COST)
    async with Runtime(prices=PRICED) as rt:
        for _ in range(3):
            await rt.arun(Agent(Measured([])), "q", budget=budget)
        with pytest.raises(BudgetExceededError, match="usd="):
            await rt.arun(Agent(Measured([])), "q", budget=budget)
    assert budget.spent.usd == pytest.approx(4 * COST)


async def test_dollars_need_a_price() -> None:
    """An unknown price is a mistake that the error helps with, also for a fallback."""
    async with Runtime() as rt:
        with pytest.raises(ConfigError, match=r"prices=\{'fake:fake': Price\("):
            await rt.arun(Agent(FakeModel(["x"])), "q", budget=Budget(usd=1))
        free = Agent("local:extractive", budget=Budget(usd=1))
        assert (await rt.arun(free, "One. Two. Three.")).cost == 0


async def test_seconds_end_a_call_that_takes_too_long() -> None:
    """The model is not waited for longer than the budget says; the rest of it is no deadline."""
    fake = FakeModel(["late"], latency=30.0)
    async with Runtime() as rt:
        with pytest.raises(BudgetExceededError, match=r"seconds=0\.05") as caught:
            await rt.arun(Agent(fake), "q" * 400, budget=Budget(seconds=0.05))
    assert caught.value.usage.input_tokens >= 100


async def test_seconds_add_up_over_runs() -> None:
    """A second run has what the first has left."""
    budget = Budget(seconds=0.1)
    async with Runtime() as rt:
        with pytest.raises(BudgetExceededError):
            await rt.arun(Agent(FakeModel(["x"], latency=30)), "q", budget=budget)
        assert budget.spent.seconds >= 0.1
        fake = FakeModel(["x"])
        with pytest.raises(BudgetExceededError, match="seconds"):
            await rt.arun(Agent(fake), "q", budget=budget)
    assert fake.requests == []


async def test_agents_that_are_tools_spend_the_same_budget() -> None:
    """A nested agent's calls count; the run around it ends when nothing is left."""
    inner = FakeModel.echo()
    outer = FakeModel([[call("helper", prompt="a")], [call("helper", prompt="b")], "never"])
    agent = Agent(outer, tools=[Agent(inner, name="helper").as_tool()])
    budget = Budget(calls=3)
    async with Runtime() as rt:
        with pytest.raises(BudgetExceededError, match="calls=3") as caught:
            await rt.arun(agent, "q", budget=budget)
    assert (len(inner.requests), len(outer.requests)) == (1, 2)
    assert budget.spent.calls == 3
    assert caught.value.partial.attempts == 3


async def test_a_workflow_spends_one_budget_in_all_its_steps() -> None:
    """What the steps' agents take is added up."""
    budget = Budget(calls=2)
    fake = FakeModel.echo()
    flow = Workflow.sequential("f", *(step(f"s{n}", Agent(fake)) for n in range(3)))
    async with Runtime() as rt:
        with pytest.raises((BudgetExceededError, WorkflowError)):
            await rt.arun(flow, "q", budget=budget)
    assert len(fake.requests) == 2
    assert budget.spent.calls == 2


async def test_a_step_that_fails_has_its_usage_in_the_record() -> None:
    """What was spent on nothing was spent too."""
    agent = Agent(FakeModel(lambda _: [call("nothing")]), tools=[nothing], max_turns=2)
    flow = Workflow.sequential("f", step("s", agent))
    async with Runtime() as rt:
        with pytest.raises(Exception, match="max_turns") as caught:
            await rt.arun(flow, "q" * 400)
    record = caught.value.partial.steps["s"]  # type: ignore[attr-defined]
    assert record.usage.input_tokens > 200


async def test_functions_that_begin_runs_spend_the_budget_around() -> None:
    """A tool that runs an agent by itself is no way out."""
    inner = FakeModel.echo()

    async def ask(q: str) -> str:
        """Ask."""
        return str((await Agent(inner).arun(q)).output)

    budget = Budget(tokens=10_000)
    async with Runtime() as rt:
        outer = FakeModel([call("ask", q="hello"), "done"])
        result = await rt.arun(Agent(outer, tools=[ask]), "q", budget=budget)
    assert result.tool_calls[0].result == "echo: hello"
    assert budget.spent.calls == 3


async def test_a_budget_that_is_handed_on_is_charged_once() -> None:
    """The run inside is charged to the run around already."""
    budget = Budget(calls=100)

    async def ask(q: str) -> str:
        """Ask."""
        return str((await Agent(FakeModel.echo()).arun(q, budget=budget)).output)

    async with Runtime() as rt:
        outer = FakeModel([call("ask", q="hello"), "done"])
        await rt.arun(Agent(outer, tools=[ask]), "q", budget=budget)
    assert budget.spent.calls == 3


def test_mistakes_are_named() -> None:
    """Nothing given, nothing to spend, something that is no Budget, a price that is none."""
    with pytest.raises(ConfigError, match="at least one"):
        Budget()
    with pytest.raises(ConfigError, match="calls=0"):
        Budget(calls=0)
    with pytest.raises(ConfigError, match="input=-1"):
        Price(input=-1, output=1)
    wrong: Any = {"gpt": 3}
    with pytest.raises(ConfigError, match="provider:model"), Runtime(prices=wrong):
        pass
    given: Any = 5
    with Runtime() as rt, pytest.raises(ConfigError, match="give a Budget"):
        rt.run(Agent(FakeModel(["x"])), "q", budget=given)


async def test_a_run_that_is_cancelled_is_charged() -> None:
    """The call that was cut off is in the account, by estimate."""
    budget = Budget(tokens=10_000)
    fake = FakeModel(["x"], latency=30)
    async with Runtime() as rt:
        run = rt.submit(Agent(fake), "q" * 400, budget=budget)
        while not fake.requests:  # noqa: ASYNC110 - the model runs on this loop
            await asyncio.sleep(0)
        run.cancel()
        await asyncio.wait([asyncio.ensure_future(_settled(run))])
    assert budget.spent.tokens >= 100


async def _settled(run: Any) -> None:
    with contextlib.suppress(RunCancelledError):
        await run
