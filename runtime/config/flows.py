"""What a file can say about workflows: `[workflows.NAME]` and its steps.

A step has one target: a function by its import path, an agent or a workflow of the file, a pool of
the runtime, or a choice between such. What Python writes as `on_error=step(...)` is the table
`fallback`; conditions are keys of the table `until`.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from understudy.messages.workflows import Effects, Mode, OnError, OnFailure
from understudy.runtime.config.durations import Duration

Count = Annotated[int, msgspec.Meta(ge=1)]
Whole = Annotated[int, msgspec.Meta(ge=0)]
Share = Annotated[float, msgspec.Meta(gt=0, le=1)]
Positive = Annotated[float, msgspec.Meta(gt=0)]
TARGETS = ("function", "agent", "workflow", "pool", "choose")


class TargetConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A case of a choice: exactly one of `function`, `agent`, `workflow`, `pool`."""

    function: str | None = None
    agent: str | None = None
    workflow: str | None = None
    pool: str | None = None


class StepConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[workflows.NAME.steps]]`: exactly one target, and options; see `StepSpec`.

    Attributes:
        choose: a placeholder; what it gives names one of the `cases`, else it is the `default`.
        when: a placeholder, or the import path of a function of the run's context.
        fallback: a step that is done when this one has failed.
    """

    name: str
    function: str | None = None
    agent: str | None = None
    workflow: str | None = None
    pool: str | None = None
    choose: str | None = None
    cases: dict[str, TargetConfig] = {}
    default: TargetConfig | None = None
    prompt: str | None = None
    after: str | tuple[str, ...] = ()
    when: str | None = None
    each: str | None = None
    max_concurrent: Count | None = None
    timeout: Duration | None = None
    retries: Whole = 0
    on_error: OnError = "fail"
    fallback: StepConfig | None = None
    effects: Effects | None = None
    key: str | None = None

    @property
    def dependencies(self) -> tuple[str, ...]:
        """The steps it waits for; one may be written without brackets."""
        return (self.after,) if isinstance(self.after, str) else self.after


class UntilConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`until`: what ends a loop; of several keys, any.

    Attributes:
        converged: how similar two outputs in a row must be; 1.0 is the same.
        function: the import path of a function of the run's context.
    """

    output_contains: str | None = None
    output_matches: str | None = None
    tokens_over: Whole | None = None
    converged: Share | None = None
    function: str | None = None
    all_of: tuple[UntilConfig, ...] = ()
    any_of: tuple[UntilConfig, ...] = ()
    not_: UntilConfig | None = None


class BudgetConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`budget`: what each run may spend; see `Budget`."""

    usd: Positive | None = None
    tokens: Count | None = None
    calls: Count | None = None
    seconds: Duration | None = None


class WorkflowConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[workflows.NAME]`: the fields of a `WorkflowSpec`."""

    mode: Mode
    steps: tuple[StepConfig, ...]
    max_concurrent: Count = 64
    timeout: Duration | None = None
    join: Literal["all", "any"] | Count = "all"
    on_error: OnFailure = "fail_fast"
    until: UntilConfig | None = None
    max_iterations: Count = 10
    budget: BudgetConfig | None = None
