"""Budgets, depth, bounds of one, and cancelling of whole workflows; what runs share."""

import asyncio
from typing import Any

import pytest
from tests.runtime.steps import ECHO, pass_on, shout

from understudy import (
    Agent,
    BudgetExceededError,
    ConfigError,
    RunContext,
    Runtime,
    Workflow,
    WorkflowError,
    step,
)
from understudy.messages.budgets import Budget
from understudy.testing import FakeModel, assert_quiet

pytestmark = pytest.mark.anyio


def test_waits_are_told_apart() -> None:
    """Seconds for a worker, for a limit, and whether an answer came from a cache."""
    asked = FakeModel.echo()
    agent = Agent(asked, name="once", max_concurrent=1, cache="5m")
    flow = Workflow.dag(
        "w",
        step("a", agent, "{input}"),
        step("b", Agent(FakeModel.echo(latency=0.05), name="slow", max_concurrent=1), "b"),
        step("c", Agent(FakeModel.echo(latency=0.05), name="slow", max_concurrent=1), "c"),
        step("again", agent, "{input}", after="a"),
    )
    with Runtime(workers=1) as rt:
        result = flow.run("x", runtime=rt)
    assert result.steps["a"].cached is None
    assert result.steps["again"].cached is not None
    assert len(asked.requests) == 1
    assert result.steps["c"].queued > result.steps["a"].queued
    with Runtime() as rt:
        result = flow.run("x", runtime=rt)
    assert sorted(result.steps[path].limited > 0.01 for path in "bc") == [False, True]


def test_runs_share_nothing_and_nested_ones_everything(runtime: Runtime) -> None:
    """A run's values are its own, also seen in workflows within; their size is accounted for."""

    def count(value: int, ctx: RunContext) -> int:
        del value
        return int(ctx.update("n", lambda n: (n or 0) + 1))

    inner = Workflow.sequential("inner", step("b", count, each="{input}"))
    flow = Workflow.dag(
        "w", step("a", count), step("in", inner, "{input}", after="a"), step("c", count, after="in")
    )
    for _ in range(2):
        result = flow.run([1] * 20, runtime=runtime)
        assert result.output == 22
        assert 20 < result.shared < 200


def test_a_budget_of_the_run(runtime: Runtime) -> None:
    """The workflow's own budget is for each run anew, over all its agents."""
    flow = Workflow.sequential(
        "w", step("a", ECHO), step("b", ECHO), step("c", ECHO), budget=Budget(calls=2)
    )
    for _ in range(2):
        with pytest.raises(WorkflowError, match="step c failed") as caught:
            flow.run("x", runtime=runtime)
        assert isinstance(caught.value.cause, BudgetExceededError)
    shared = Budget(calls=4)
    plain = Workflow.sequential("w", step("a", ECHO), step("b", ECHO), step("c", ECHO))
    plain.run("x", budget=shared, runtime=runtime)
    with pytest.raises(WorkflowError, match="step b failed"):
        plain.run("x", budget=shared, runtime=runtime)


def test_options_that_no_mode_has() -> None:
    """An option of another mode is refused with those that there are."""
    with pytest.raises(ConfigError, match=r"there are max_concurrent=, timeout=, budget=$"):
        Workflow.dag("w", step("a", shout), join="any")
    with pytest.raises(ConfigError, match="until=, max_iterations="):
        Workflow.loop("w", step("a", shout), join="any")


async def test_a_cancel_ends_a_thousand_steps() -> None:
    """Nothing of them is left: no worker is busy, and every record says so."""
    begun = 0
    all_begun = asyncio.Event()

    async def wait(value: int) -> None:
        nonlocal begun
        begun += 1
        if begun == 1_000:
            all_begun.set()
        await asyncio.Event().wait()

    flow = Workflow.sequential("w", step("all", wait, each="{input}"), max_concurrent=1_000)
    async with Runtime() as rt:
        run = flow.submit(list(range(1_000)))
        await all_begun.wait()
        run.cancel()
        with pytest.raises(Exception, match="cancelled") as caught:
            await run
        records = caught.value.partial.steps  # type: ignore[attr-defined]
        assert sum(record.status == "cancelled" for record in records.values()) == 1_001
        await asyncio.sleep(0)  # each worker looks once whether there is more to do
        stats = rt.crew.steps.pools[0].stats
        assert stats.workers == stats.idle
    assert_quiet(rt)


@pytest.mark.parametrize("target", ["async", "blocking", "agent"])
def test_nesting_with_every_bound_set_to_one(target: str) -> None:
    """Eight workflows in each other, four items in each, one worker: nothing waits for itself."""
    leaves: dict[str, Any] = {"async": pass_on, "blocking": str, "agent": ECHO}
    flow = Workflow.sequential("w8", step("leaf", leaves[target]), max_concurrent=1)
    for depth in range(7, 0, -1):
        steps = [step("leaf", leaves[target]), step("deeper", flow)]
        if depth == 1:
            steps.append(step("items", flow, each="{input}", max_concurrent=1))
        flow = Workflow.parallel(f"w{depth}", *steps, max_concurrent=1)
    with Runtime(workers=1, threads=1, max_runs=1) as rt:
        result = flow.run(["x"] * 4, runtime=rt, timeout=30)
        assert result.status == "completed"
        assert "items[3]/deeper/deeper/deeper/deeper/deeper/deeper/leaf" in result.steps
    assert_quiet(rt)


def test_deeper_than_eight_is_refused() -> None:
    """When it is built, and not when it runs."""
    flow = Workflow.sequential("w", step("leaf", shout))
    for _ in range(7):
        flow = Workflow.sequential("w", step("deeper", flow))
    with pytest.raises(ConfigError, match="nests deeper than 8"):
        Workflow.sequential("w", step("deeper", flow))
