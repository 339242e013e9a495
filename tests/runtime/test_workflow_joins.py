"""Steps that fail: how many are enough, who tries again, who stands in."""

import pytest
from tests.runtime.steps import ECHO, Flaky, broken, never, shout

from understudy import Runtime, ServerError, StepRetried, Workflow, WorkflowError, step


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
