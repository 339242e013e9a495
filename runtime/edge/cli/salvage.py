"""What an unfinished run is still good for.

The last step of a workflow is asked to work with what there is, so that an interrupted digest is
still a digest. It is asked only if it can do that and do no harm: a plain function that reads the
run's context and nothing else, says `effects = "none"`, and has not run yet.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from understudy.messages.errors import RunCancelledError
from understudy.runtime.run_context import RunContext, context_parameter, takes_value

if TYPE_CHECKING:
    from understudy.messages.workflows import StepRecord, WorkflowResult, WorkflowSpec

NOT_REACHED = "the run ended before it was done"


def salvage(workflow: WorkflowSpec, result: WorkflowResult) -> Any:  # Any: what the step makes
    """What the last step makes of an unfinished run; None when it cannot make anything."""
    last = workflow.steps[-1]
    target, record = last.target, result.steps.get(last.name)
    if last.effects != "none" or record is None or record.status != "skipped":
        return None
    if not inspect.isfunction(target) or inspect.iscoroutinefunction(target):
        return None
    parameter = context_parameter(target)
    if parameter is None or takes_value(target):
        return None
    outputs = {
        step.name: result.steps[step.name].output
        for step in workflow.steps
        if step.name in result.steps
    }
    context = RunContext(result.run_id, outputs, _errors(result.steps))
    try:
        return target(**{parameter: context})
    except Exception:  # noqa: BLE001 - it needs what is not there: there is nothing to print
        return None


def _errors(steps: dict[str, StepRecord]) -> dict[str, dict[int, BaseException]]:
    """Why there is nothing from an item, as the run's context would say it."""
    errors: dict[str, dict[int, BaseException]] = {}
    for path, record in steps.items():
        name, bracket, index = path.partition("[")
        if not bracket or not index.endswith("]") or not index[:-1].isdigit():
            continue
        error = record.error
        if record.status in ("cancelled", "skipped"):
            error = error or RunCancelledError(NOT_REACHED)
        if error is not None:
            errors.setdefault(name, {})[int(index[:-1])] = error
    return errors
