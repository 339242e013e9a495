"""Workflows that a function or a tool completes before their last step."""

from tests.runtime.steps import never, pass_on, shout

from understudy import Agent, Runtime, Workflow, WorkflowComplete, step
from understudy.messages.agents import AgentTool
from understudy.testing import FakeModel, call


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
