import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from understudy import (
    Agent,
    ConfigError,
    DeadlineExceededError,
    RunCancelledError,
    RunContext,
    Runtime,
    ServerError,
    Workflow,
    WorkflowError,
    WouldDeadlockError,
    step,
)
from understudy.testing import FakeModel, assert_quiet

if TYPE_CHECKING:
    from tests.conftest import Gate

pytestmark = pytest.mark.anyio
ECHO = Agent(FakeModel.echo(), name="echo")


def shout(value: str) -> str:
    """A function as a step."""
    return value.upper()


async def whisper(value: str) -> str:
    """An async function as a step."""
    await asyncio.sleep(0)
    return value.lower()


def test_every_kind_of_target(runtime: Runtime) -> None:
    """Agents, functions on threads, functions on the loop and workflows are steps."""
    inner = Workflow.sequential("inner", step("low", whisper), step("again", ECHO))
    flow = Workflow.dag(
        "outer",
        step("ask", ECHO, "About {input}"),
        step("loud", shout, after="ask"),
        step("nested", inner, after="loud"),
        step("end", ECHO, "{loud} / {nested}", after=("loud", "nested")),
    )
    result = flow.run("Bonn", runtime=runtime)
    assert result.output == "echo: ECHO: ABOUT BONN / echo: echo: about bonn"
    assert list(result.steps) == ["ask", "loud", "nested", "end", "nested/low", "nested/again"]
    assert {record.status for record in result.steps.values()} == {"completed"}
    assert result.critical_path == ("ask", "loud", "nested", "end")
    assert result.status == "completed"
    assert result.usage.total_tokens == sum(
        result.steps[path].usage.total_tokens for path in ("ask", "nested", "end")
    )
    assert result.steps["nested"].usage == result.steps["nested/again"].usage


async def test_the_async_verbs() -> None:
    """arun, submit and amap on the runtime's own loop."""
    flow = Workflow.sequential("w", step("a", whisper), step("b", ECHO))
    async with Runtime() as rt:
        assert (await flow.arun("X")).output == "echo: x"
        assert (await flow.submit("Y")).output == "echo: y"
        results = await flow.amap(["A", "B", "C"], max_concurrent=2)
        assert [r.output for r in results] == ["echo: a", "echo: b", "echo: c"]
        with pytest.raises(WouldDeadlockError, match="arun"):
            flow.run("X")
        with pytest.raises(WouldDeadlockError, match="amap"):
            flow.map(["X"])
    assert_quiet(rt)


def test_map_runs_once_a_value(runtime: Runtime) -> None:
    """Many runs of one workflow, in the order of their values."""
    flow = Workflow.sequential("w", step("a", shout))
    assert [r.output for r in flow.map("abc", runtime=runtime)] == ["A", "B", "C"]


def test_steps_that_may_run_together_do(runtime: Runtime, gate: "Gate") -> None:
    """Two steps that depend on nothing of each other are under way at the same time."""
    flow = Workflow.dag(
        "w", step("a", gate), step("b", gate), step("c", gate, after="a"), max_concurrent=8
    )
    run = flow.submit(runtime=runtime)
    gate.until(waiting=2)
    gate.open("first")  # a: so c starts, though b still runs
    gate.until(arrived=3, waiting=2)
    gate.open("second", count=2)
    assert run.get(timeout=10).status == "completed"


def test_blocking_steps_run_together_too(runtime: Runtime) -> None:
    """Functions on threads that wait for each other can meet."""
    barrier = threading.Barrier(3)

    def meet() -> int:
        return barrier.wait(timeout=10)

    flow = Workflow.parallel("w", step("a", meet), step("b", meet), step("c", meet))
    assert sorted(flow.run(runtime=runtime).output.values()) == [0, 1, 2]


def test_a_bound_holds_over_the_run(runtime: Runtime, gate: "Gate") -> None:
    """At most `max_concurrent` steps of a run are under way."""
    flow = Workflow.dag("w", step("all", gate, each="{input}"), max_concurrent=3)
    run = flow.submit([str(n) for n in range(9)], runtime=runtime)
    for arrived in (3, 6, 9):
        gate.until(arrived=arrived, waiting=3)
        gate.open(count=3)
    assert run.get(timeout=10).output == ["open"] * 9
    assert gate.peak == 3


def test_a_failure_is_named_and_ends_the_run_at_once(runtime: Runtime, gate: "Gate") -> None:
    """An instant failure does not wait for the slowest branch, which is cancelled."""

    async def fail() -> None:
        await gate.auntil(waiting=1)
        raise ServerError("down")

    flow = Workflow.dag(
        "w", step("slow", gate), step("bad", fail), step("never", shout, after="slow")
    )
    with pytest.raises(WorkflowError, match="step bad failed: down") as caught:
        flow.run(runtime=runtime)
    error = caught.value
    assert error.step == "bad"
    assert isinstance(error.cause, ServerError)
    gate.until(cancelled=1)
    partial = error.partial
    assert partial.status == "failed"
    assert error.run_id == partial.run_id
    assert {path: record.status for path, record in partial.steps.items()} == {
        "slow": "cancelled",
        "bad": "failed",
        "never": "skipped",
    }


def test_what_was_finished_is_kept(runtime: Runtime) -> None:
    """The error carries every output that there was before it."""

    def half(value: str) -> str:
        if value == "bad":
            raise ValueError(value)
        return value.upper()

    flow = Workflow.dag("w", step("all", half, each="{input}", max_concurrent=1))
    with pytest.raises(WorkflowError, match=r"step all\[1\] failed: bad") as caught:
        flow.run(["good", "bad", "later"], runtime=runtime)
    steps = caught.value.partial.steps
    assert steps["all[0]"].output == "GOOD"
    assert steps["all[2]"].status == "skipped"
    assert steps["all"].status == "failed"


def test_a_step_that_may_fail(runtime: Runtime) -> None:
    """`on_error="continue"` records the failure and goes on with nothing in its place."""
    flow = Workflow.dag(
        "w",
        step("bad", lambda: 1 / 0, on_error="continue"),
        step("good", ECHO, "[{bad}]", after="bad"),
    )
    result = flow.run(runtime=runtime)
    assert result.output == "echo: []"
    assert isinstance(result.steps["bad"].error, ZeroDivisionError)


def test_a_step_has_a_timeout(runtime: Runtime, gate: "Gate") -> None:
    """A step that takes too long fails with its name and its time; its work is cancelled."""
    flow = Workflow.dag("w", step("slow", gate, timeout=0.05))
    with pytest.raises(WorkflowError, match=r"slow took longer than its timeout of 0\.05 s") as got:
        flow.run(runtime=runtime)
    assert isinstance(got.value.cause, DeadlineExceededError)
    gate.until(cancelled=1)


def test_a_timeout_may_be_survived(runtime: Runtime, gate: "Gate") -> None:
    """Together with `on_error="continue"` the run goes on."""
    flow = Workflow.dag(
        "w",
        step("slow", gate, timeout=0.05, on_error="continue"),
        step("b", ECHO, "x{slow}", after="slow"),
    )
    assert flow.run(runtime=runtime).output == "echo: x"


@pytest.mark.parametrize("where", ["workflow", "call"])
def test_a_run_has_a_timeout(runtime: Runtime, gate: "Gate", where: str) -> None:
    """At the end of its time a run is over, with what there is; the workflow's or the call's."""
    flow = Workflow.sequential(
        "w", step("a", shout), step("b", gate), timeout=0.1 if where == "workflow" else None
    )
    options = {"timeout": 0.1} if where == "call" else {}
    with pytest.raises(DeadlineExceededError, match=r"w: the run took longer than 0\.1 s") as got:
        flow.run("x", runtime=runtime, **options)
    steps = got.value.partial.steps
    assert steps["a"].output == "X"
    assert steps["b"].status == "cancelled"
    gate.until(cancelled=1)


def test_a_cancelled_run_keeps_what_is_finished(runtime: Runtime, gate: "Gate") -> None:
    """`run.cancel()` ends the steps, and the error says what is done and what is not."""
    flow = Workflow.sequential("w", step("a", shout), step("b", gate), step("c", shout))
    run = flow.submit("x", runtime=runtime)
    gate.until(waiting=1)
    run.cancel()
    with pytest.raises(RunCancelledError, match="w: the run was cancelled") as caught:
        run.get(timeout=10)
    assert run.status == "cancelled"
    steps = caught.value.partial.steps
    assert [steps[name].status for name in "abc"] == ["completed", "cancelled", "skipped"]
    gate.until(cancelled=1)


async def test_cancelling_who_awaits_arun_cancels_everything_below(gate: "Gate") -> None:
    """The task that awaits `arun` owns the run, nested workflows and their agents included."""
    agent = Agent(FakeModel(gate))
    inner = Workflow.parallel("inner", step("x", agent), step("y", gate))
    flow = Workflow.parallel("outer", step("deep", inner), step("wide", gate))
    async with Runtime() as rt:
        task = asyncio.ensure_future(flow.arun("?"))
        await gate.auntil(waiting=3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await gate.auntil(cancelled=3)
    assert_quiet(rt)


async def test_cancelling_who_awaits_a_submitted_run_leaves_it(gate: "Gate") -> None:
    """Whoever awaits a `Run` from `submit` does not own it."""
    flow = Workflow.sequential("w", step("a", gate))
    async with Runtime():
        run = flow.submit()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await run
        await gate.auntil(waiting=1)
        gate.open("done")
        assert (await run).output == "done"


def test_a_nested_run_ends_with_the_one_around_it(runtime: Runtime, gate: "Gate") -> None:
    """A failure beside a nested workflow cancels what runs inside it."""

    async def fail() -> None:
        await gate.auntil(waiting=2)
        raise ValueError("boom")

    inner = Workflow.parallel("inner", step("x", gate), step("y", gate))
    flow = Workflow.parallel("outer", step("nested", inner), step("bad", fail))
    with pytest.raises(WorkflowError, match="step bad failed: boom"):
        flow.run(runtime=runtime)
    gate.until(cancelled=2)


def test_a_failure_inside_names_the_whole_path(runtime: Runtime) -> None:
    """A step that fails in a nested run is found by its path, and recorded by it."""
    inner = Workflow.sequential("inner", step("bad", lambda: 1 / 0))
    flow = Workflow.dag("outer", step("nested", inner, each="{input}"))
    with pytest.raises(WorkflowError) as caught:
        flow.run([1], runtime=runtime)
    assert caught.value.step == "nested[0]"
    cause = caught.value.cause
    assert isinstance(cause, WorkflowError)
    assert cause.step == "nested[0]/bad"
    assert caught.value.partial.steps["nested[0]/bad"].status == "failed"


@pytest.mark.parametrize("workers", [1, 2])
def test_nested_workflows_hold_no_worker(workers: int) -> None:
    """With a single worker and a single thread, nesting eight deep and four wide still ends."""
    flow = Workflow.parallel("w1", *(step(f"s{n}", shout if n % 2 else ECHO) for n in range(4)))
    for level in range(2, 9):
        flow = Workflow.dag(f"w{level}", step("a", flow), step("b", shout, "{input}"))
    with Runtime(workers=workers, threads=workers) as rt:
        assert flow.run("x", runtime=rt).status == "completed"
    assert_quiet(rt)


def test_the_context_is_shared_by_one_run_only(runtime: Runtime) -> None:
    """Steps of a run share values and outputs by the RunContext, whatever its name and place."""

    def first(value: str, shared: RunContext) -> str:
        assert "kept" not in shared
        shared["kept"] = value
        shared.update("count", lambda old: (old or 0) + 1)
        return value.upper()

    async def second(ctx: RunContext) -> list[object]:
        count = ctx.update("count", lambda old: old + 1)
        return [ctx["kept"], ctx["first"], ctx["may"], count, ctx.get("nothing", "default")]

    flow = Workflow.dag(
        "w",
        step("first", first),
        step("may", lambda: 1 / 0, on_error="continue"),
        step("second", second, after=("first", "may")),
    )
    runs = [flow.submit(f"run {n}", runtime=runtime) for n in range(8)]
    outputs = [run.get(timeout=10).output for run in runs]
    assert outputs == [[f"run {n}", f"RUN {n}", None, 2, "default"] for n in range(8)]


def test_the_context_says_what_there_is(runtime: Runtime) -> None:
    """A key that does not exist is an error that lists those that do."""

    def look(ctx: RunContext) -> object:
        return ctx["plam"]

    flow = Workflow.dag("w", step("plan", shout), step("b", look, after="plan"))
    with pytest.raises(WorkflowError, match="no 'plam'; there is plan"):
        flow.run("x", runtime=runtime)


def test_a_workflow_is_shared_by_many_threads(runtime: Runtime) -> None:
    """One workflow serves any number of runs at once, each with its own input."""
    flow = Workflow.sequential("w", step("a", whisper), step("b", shout), step("c", ECHO))
    results: dict[int, str] = {}

    def go(number: int) -> None:
        results[number] = flow.run(f"v{number}", runtime=runtime).output

    threads = [threading.Thread(target=go, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=10)
    assert results == {n: f"echo: V{n}" for n in range(16)}


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"history": (1,)}, "takes no history="),
        ({"max_concurent": 3}, r"did you mean max_concurrent=\?"),
        ({"timeout": 0}, "timeout=0"),
    ],
)
def test_wrong_options_are_named(runtime: Runtime, options: dict[str, object], match: str) -> None:
    """What a workflow does not take is refused."""
    flow = Workflow.sequential("w", step("a", shout))
    with pytest.raises(ConfigError, match=match):
        flow.run("x", runtime=runtime, **options)
