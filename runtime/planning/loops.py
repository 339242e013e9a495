"""A loop: its steps one after the other, round by round, until a condition holds.

Each round is a plan of its own under the path `name#k`, the first is 1. The first step of a round
that has no prompt receives what the round before gave; prompts may also name steps that come later,
and get what those gave in the round before (nothing in the first).
"""

from __future__ import annotations

from typing import Any

from understudy.messages.chat import Usage
from understudy.messages.errors import WorkflowError
from understudy.messages.records import NO_USAGE
from understudy.messages.words import text_of
from understudy.messages.workflows import WorkflowSpec
from understudy.runtime.plan import Launch, Plan
from understudy.runtime.planning.conditions import Round, checker_of
from understudy.runtime.planning.state import SAME, State


class Loop(State):
    """One run of a loop; the same questions as for a `Plan`.

    Attributes:
        iterations: rounds that were begun.
        reason: why it has ended; empty while it goes on, or when it failed.
    """

    def __init__(self, spec: WorkflowSpec, input_: Any, *, path: str = "") -> None:  # Any: as Plan
        super().__init__(spec, input_, path=path)
        self._base = path or spec.name
        self._check = checker_of(spec.until)
        self._plan: Plan | None = None
        self._last: Any = None  # Any: what a step gave

    @property
    def output(self) -> Any:  # Any: what the workflow gave
        """Of the last step, in the last round; the value of an early exit."""
        return self._last

    @property
    def left(self) -> int:
        """Nothing, once it has ended well: rounds that were not begun are no steps."""
        return 0 if self.status == "completed" else super().left

    def waits_for(self, launch: Launch) -> bool:
        """See `Plan`."""
        return self._plan is not None and self._plan.waits_for(launch)

    def launches(self, now: float) -> list[Launch]:
        """See `Plan`."""
        while self.status is None:
            plan = self._plan or self._begin(SAME)
            found = plan.launches(now)
            if found or plan.status is None:
                return found
            self._round_ended(plan, now)
        return []

    def done(
        self,
        path: str,
        now: float,
        *,
        usage: Usage = NO_USAGE,
        cost: float | None = None,
        **facts: Any,  # Any: as for Plan
    ) -> Launch | None:
        """See `Plan`."""
        plan = self._plan
        if plan is None:
            return None
        again = plan.done(path, now, usage=usage, cost=cost, **facts)
        self._spend(usage, cost)
        if plan.status is not None and self.status is None:
            self._round_ended(plan, now)
        return again

    def cancel(self, now: float, why: str = "the run was cancelled") -> None:
        """See `Plan`."""
        if self.status is None:
            self.status = "cancelled"
        plan = self._plan or self._begin(SAME)
        plan.cancel(now, why)

    def critical_path(self) -> tuple[str, ...]:
        """The steps, in order."""
        return () if self._plan is None else self._plan.critical_path()

    # -- private -----------------------------------------------------------------------------------

    def _begin(self, first: Any) -> Plan:  # Any: what the first step receives
        self.iterations += 1
        path = f"{self._base}#{self.iterations}"
        plan = self._plan = Plan(self.spec, self._input, path=path, first=first, around=self)
        return plan

    def _round_ended(self, plan: Plan, now: float) -> None:
        """Once more, or enough."""
        self._last = plan.output
        if plan.completed_early:
            plan.cancel(now, "another step completed the workflow")
            self.completed_early, self.status = plan.completed_early, "completed"
            self.reason = f"{plan.completed_early} completed the workflow"
        elif plan.status != "completed":
            self.status, self.error = plan.status, plan.error
        else:
            self._judge(plan)

    def _judge(self, plan: Plan) -> None:
        tokens = self.usage.total_tokens
        try:
            self.reason = self._check(Round(plan.output, tokens, self.context))
        except Exception as error:  # noqa: BLE001 - a function in until= raises what it likes
            self.status = "failed"
            raised = f"{type(error).__name__}: {text_of(error)}"
            told = f"until= of workflow {self.spec.name!r} raised {raised}"
            self.error = WorkflowError(told, cause=error)
            return
        if not self.reason and self.iterations >= self.spec.max_iterations:
            self.reason = f"max_iterations={self.spec.max_iterations} were done"
        if self.reason:
            self.status = "completed"
        else:
            self._begin(plan.output)


def plan_of(spec: WorkflowSpec, input_: Any, path: str = "") -> Plan | Loop:  # Any: as Plan
    """The plan of one run."""
    if spec.mode == "loop":
        return Loop(spec, input_, path=path)
    return Plan(spec, input_, path=path)
