"""Loops and conditions: when a loop ends, what is skipped, what is chosen."""

from typing import Any

import pytest
from tests.runtime.steps import ECHO, add, shout

from understudy import (
    Runtime,
    Workflow,
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
