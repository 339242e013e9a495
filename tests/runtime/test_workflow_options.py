import asyncio
from typing import Any

import pytest

from understudy import (
    Agent,
    BudgetExceededError,
    ConfigError,
    RunContext,
    Runtime,
    ServerError,
    StepRetried,
    Workflow,
    WorkflowComplete,
    WorkflowError,
    all_of,
    choose,
    converged,
    not_,
    output_contains,
    output_matches,
    step,
    tokens_over,
)
from understudy.messages.agents import AgentTool
from understudy.messages.budgets import Budget
from understudy.testing import FakeModel, assert_quiet, call

pytestmark = pytest.mark.anyio
ECHO = Agent(FakeModel.echo(), name="echo")


def shout(value: str) -> str:
    """Upper case."""
    return value.upper()


async def never(value: Any) -> None:
    """Wait until it is cancelled."""
    del value
    await asyncio.Event().wait()


async def pass_on(value: Any) -> Any:
    """Give what it was given, a little later."""
    await asyncio.sleep(0)
    return value


def broken(value: Any) -> None:
    """Fail."""
    raise ValueError(str(value))


class Flaky:
    """Fails so many times first."""

    def __init__(self, failures: int, error: Exception | None = None) -> None:
        self.calls = 0
        self.failures = failures
        self.error = error or ServerError("down", retryable=True)

    async def __call__(self, value: Any) -> str:
        self.calls += 1
        if self.calls <= self.failures:
            raise self.error
        return f"{value} after {self.calls}"


# -- joins ------------------------------------------


def test_the_first_is_enough(runtime: Runtime) -> None:
    """join="any": the winner's output, the losers cancelled, a failure beside it no matter."""
    flow = Workflow.parallel(
        "w", step("bad", broken), step("slow", never), step("quick", shout), join="any"
    )
    result = flow.run("x", runtime=runtime)
    assert (result.output, result.status) == ("X", "completed")
    assert result.steps["slow"].status == "cancelled"
    assert "join='any'" in result.steps["slow"].why


def test_a_quorum(runtime: Runtime) -> None:
    """join=2: those that won by name; when too few are left, the run fails at once."""
    flow = Workflow.parallel("w", step("a", shout), step("slow", never), step("b", shout), join=2)
    assert flow.run("x", runtime=runtime).output == {"a": "X", "b": "X"}
    lost = Workflow.parallel("w", step("a", broken), step("slow", never), step("b", broken), join=2)
    with pytest.raises(WorkflowError, match="0 of the 2 steps that are needed") as caught:
        lost.run("x", runtime=runtime)
    assert caught.value.partial.steps["slow"].status == "cancelled"


def test_collect_lets_all_end(runtime: Runtime) -> None:
    """on_error="collect": every step ends, None for what failed, the errors by path."""
    flow = Workflow.parallel("w", step("a", broken), step("b", shout), on_error="collect")
    result = flow.run("x", runtime=runtime)
    assert result.output == {"a": None, "b": "X"}
    assert list(result.failed) == ["a"]
    few = Workflow.parallel("w", step("a", broken), step("b", shout), join=2, on_error="collect")
    with pytest.raises(WorkflowError, match="1 of the 2 steps") as caught:
        few.run("x", runtime=runtime)
    assert caught.value.partial.steps["b"].output == "X"


# -- loops ------------------------------------------


async def add(value: str) -> str:
    """One letter more, at most four."""
    return (value + "x")[:4]


def test_a_loop_ends_for_a_reason(runtime: Runtime) -> None:
    """Rounds have paths of their own, and the result says why there was no further one."""
    flow = Workflow.loop("grow", step("add", add), until=output_contains("xxx"))
    result = flow.run("", runtime=runtime)
    assert (result.output, result.iterations) == ("xxx", 3)
    assert result.reason == "the output contains 'xxx'"
    assert list(result.steps) == ["grow#1/add", "grow#2/add", "grow#3/add"]
    most = Workflow.loop("grow", step("add", add), max_iterations=2).run("", runtime=runtime)
    assert (most.output, most.reason) == ("xx", "max_iterations=2 were done")


@pytest.mark.parametrize(
    ("until", "output"),
    [
        (converged(), "xxxx"),
        (output_matches("^x{2}$"), "xx"),
        (not_(output_matches("^x?$")), "xx"),
        (tokens_over(10_000), "xxxx"),
        (all_of(output_contains("xxx"), converged()), "xxxx"),
        (all_of(output_contains("xx"), not_(converged())), "xx"),
        (lambda ctx: len(ctx["add"]) == 3, "xxx"),
    ],
)
def test_conditions(runtime: Runtime, until: Any, output: str) -> None:
    """Each kind of condition ends a loop, with a memory of its own for every run."""
    flow = Workflow.loop("grow", step("add", add), until=until, max_iterations=6)
    for _ in range(2):
        assert flow.run("", runtime=runtime).output == output


def test_a_loop_in_a_loop_in_items(runtime: Runtime) -> None:
    """Paths follow one grammar, however deep: name, name[i], name#k, and / between them."""
    inner = Workflow.loop("inner", step("one", add), max_iterations=2)
    flow = Workflow.loop("outer", step("all", inner, each="{input}"), max_iterations=1)
    result = flow.run(["", "x"], runtime=runtime)
    assert result.output == ["xx", "xxx"]
    assert set(result.steps) == {
        "outer#1/all",
        "outer#1/all[0]",
        "outer#1/all[0]#1/one",
        "outer#1/all[0]#2/one",
        "outer#1/all[1]",
        "outer#1/all[1]#1/one",
        "outer#1/all[1]#2/one",
    }


def test_a_prompt_in_a_loop_names_the_round_before(runtime: Runtime) -> None:
    """What a later step gave is there in the next round, and empty in the first."""
    flow = Workflow.loop(
        "w", step("draft", ECHO, "<{critic}> {input}"), step("critic", shout), max_iterations=2
    )
    result = flow.run("hm", runtime=runtime)
    assert result.steps["w#1/draft"].output == "echo: <> hm"
    assert result.steps["w#2/draft"].output == "echo: <ECHO: <> HM> hm"


def test_a_condition_that_raises_fails_the_run(runtime: Runtime) -> None:
    """The error says whose condition it was."""
    flow = Workflow.loop("w", step("a", add), until=lambda ctx: ctx["nothing"])
    with pytest.raises(WorkflowError, match="until= of workflow 'w' raised WorkflowError"):
        flow.run("", runtime=runtime)


# -- conditions and choices ------------------------------------------


def test_a_step_is_skipped(runtime: Runtime) -> None:
    """when= gives nothing: the step is skipped, which is said, and the steps behind go on."""
    flow = Workflow.dag(
        "w",
        step("found", shout),
        step("no", ECHO, when=lambda ctx: ctx["found"] == "Y", after="found"),
        step("yes", shout, when="{found}", after="found"),
        step("end", ECHO, "{no}|{yes}", after=("no", "yes")),
    )
    result = flow.run("x", runtime=runtime)
    assert result.output == "echo: |X"
    record = result.steps["no"]
    assert (record.status, record.attempts) == ("skipped", 0)
    assert record.why.startswith("when=")
    assert result.critical_path == ("found", "yes", "end")


def test_a_choice_of_targets(runtime: Runtime) -> None:
    """The case that a value names, else the default, else nothing."""
    kinds = {"bug": shout, "talk": Workflow.sequential("talk", step("say", ECHO))}
    flow = Workflow.dag(
        "w",
        step("kind", lambda value: f" {value} "),
        step("answer", choose("{kind}", kinds, default=ECHO), "{input}", after="kind"),
    )
    assert flow.run("bug", runtime=runtime).output == "BUG"
    nested = flow.run("talk", runtime=runtime)
    assert nested.output == "echo: talk"
    assert "answer/say" in nested.steps
    assert flow.run("other", runtime=runtime).output == "echo: other"
    only = Workflow.sequential("w", step("a", choose("{input}", {"bug": shout})))
    result = only.run("talk", runtime=runtime)
    assert result.output is None
    assert result.steps["a"].why == "there is no case 'talk' and no default"


# -- failures ------------------------------------------


def test_a_step_is_tried_again(runtime: Runtime) -> None:
    """With backoff, as often as it says; the record counts, the events tell."""
    seen: list[StepRetried] = []
    subscription = runtime.events.subscribe(StepRetried, seen.append)
    flaky = Flaky(2)
    result = Workflow.sequential("w", step("a", flaky, retries=2)).run("x", runtime=runtime)
    assert result.output == "x after 3"
    assert result.steps["a"].attempts == 3
    runtime.events.flush(5)
    subscription.cancel()
    assert [(e.path, e.attempt) for e in seen] == [("a", 2), ("a", 3)]


def test_what_somebody_has_tried_again_is_not(runtime: Runtime) -> None:
    """One owner a failure: an error whose owner has given up is final here."""
    given_up = Flaky(9, ServerError("down", attempts=3, retryable=False))
    with pytest.raises(WorkflowError):
        Workflow.sequential("w", step("a", given_up, retries=5)).run("x", runtime=runtime)
    assert given_up.calls == 1
    inner = Flaky(9)
    nested = Workflow.sequential("n", step("a", inner, retries=1))
    with pytest.raises(WorkflowError):
        Workflow.sequential("w", step("b", nested, retries=1)).run("x", runtime=runtime)
    assert inner.calls == 2


def test_another_step_stands_in(runtime: Runtime) -> None:
    """on_error=step: its output is the step's, the record says what happened; items have theirs."""
    flow = Workflow.dag(
        "w",
        step("get", broken, on_error=step("cached", shout)),
        step("end", ECHO, "{get}", after="get"),
    )
    result = flow.run("x", runtime=runtime)
    assert result.output == "echo: X"
    assert result.steps["get"].status == "failed"
    assert result.steps["get"].why == "cached was done instead"
    assert result.steps["cached"].output == "X"
    items = Workflow.sequential(
        "w", step("all", broken, each="{input}", on_error=step("other", shout, "{item}{index}"))
    )
    result = items.run(["a", "b"], runtime=runtime)
    assert result.output == ["A0", "B1"]
    assert {"all[0]", "other[0]", "all[1]", "other[1]", "all"} == set(result.steps)
    chain = Workflow.sequential(
        "w", step("a", broken, on_error=step("b", broken, on_error=step("c", broken)))
    )
    with pytest.raises(WorkflowError, match="step c failed"):
        chain.run("x", runtime=runtime)


# -- early exits ------------------------------------------


def test_a_function_completes_the_workflow(runtime: Runtime) -> None:
    """Siblings are cancelled, later steps are skipped, the result names the step."""

    def enough(value: str) -> None:
        raise WorkflowComplete({"found": value})

    flow = Workflow.dag(
        "w", step("slow", never), step("found", enough), step("later", shout, after="found")
    )
    result = flow.run("x", runtime=runtime)
    assert (result.status, result.output) == ("completed", {"found": "x"})
    assert result.completed_early == "found"
    assert {path: record.status for path, record in result.steps.items()} == {
        "slow": "cancelled",
        "found": "completed",
        "later": "skipped",
    }
    assert "found completed the workflow" in result.steps["later"].why


def test_a_tool_completes_the_workflow(runtime: Runtime) -> None:
    """Also from a tool of an agent that another agent calls; nothing is told to the model."""

    def finish(answer: str) -> str:
        """End it.

        Args:
            answer: the answer
        """
        raise WorkflowComplete(answer)

    model = FakeModel([[call("finish", answer="42")], "never"])
    inner = Agent(model, name="inner", tools=(finish,))
    outer = Agent(
        FakeModel([[call("ask", prompt="?")], "never"]),
        tools=(AgentTool(name="ask", description="asks", agent=inner),),
    )
    flow = Workflow.sequential("w", step("a", outer), step("b", shout))
    result = flow.run("x", runtime=runtime)
    assert (result.output, result.completed_early) == ("42", "a")
    assert result.steps["b"].status == "skipped"
    assert len(model.requests) == 1


def test_the_innermost_workflow_is_completed(runtime: Runtime) -> None:
    """A loop that is left goes no further; the workflow around it goes on."""

    def enough(value: str) -> str:
        if len(value) == 2:
            raise WorkflowComplete("left")
        return value + "x"

    inner = Workflow.loop("inner", step("grow", enough), step("later", pass_on))
    result = Workflow.sequential("w", step("loop", inner), step("end", shout)).run(
        "", runtime=runtime
    )
    assert result.output == "LEFT"
    assert result.completed_early == ""
    assert result.steps["loop#3/grow"].why == "it completed the workflow"
    assert result.steps["loop#3/later"].status == "skipped"


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


# -- shared context and budgets ------------------------------------------


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
