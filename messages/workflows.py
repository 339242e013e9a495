"""Workflows as data: steps, specs, the messages of a run, the record of what ran.

Paths of steps are stable: `name` for a step, `name[i]` for item i of `each`, `name#k` for iteration
k of a loop (the first is 1), `/` for nesting: `review#2/summarise[14]`. They are the same at every
run of the same spec, so that a journal can be keyed by them. What ran is in `records`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

from understudy.messages.agents import AgentSpec
from understudy.messages.budgets import Budget
from understudy.messages.caches import Cached
from understudy.messages.chat import Usage
from understudy.messages.conditions import Condition
from understudy.messages.functions import FunctionRef
from understudy.messages.records import NO_USAGE
from understudy.messages.records import RunStatus as RunStatus  # noqa: PLC0414 - runs say it
from understudy.messages.records import StepRecord as StepRecord  # noqa: PLC0414 - as above
from understudy.messages.records import StepStatus as StepStatus  # noqa: PLC0414 - as above
from understudy.messages.records import WorkflowResult as WorkflowResult  # noqa: PLC0414 - as above
from understudy.messages.tools import Effects as Effects  # noqa: PLC0414 - steps say it too

Mode = Literal["sequential", "parallel", "dag", "loop"]
OnError = Literal["fail", "continue"]
OnFailure = Literal["fail_fast", "collect"]


class StepSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One step.

    Attributes:
        target: an AgentSpec, a WorkflowSpec, a pool (`PoolRef`), a `Choice` of these, or a
            function; a `FunctionRef` in a spec that was decoded, until `specs.load_functions` puts
            the function in its place.
        prompt: template with `{name}`, `{name.field}`, `{input}`, `{item}`, `{index}`.
        after: names of the steps it waits for.
        when: a placeholder, or a function of the run's context; the step is skipped where it
            gives nothing (false, empty, None).
        each: a placeholder naming a list; the step runs once per item.
        max_concurrent: for `each`: items in flight at a time.
        timeout: seconds for each attempt.
        retries: how often it is done again after a failure.
        on_error: `continue` records the failure and gives `None` to the steps behind; a step that
            is done in the place of this one when it has failed.
        effects: what happens outside when it runs; `none` and `idempotent` may run again
            after the worker that had started them was lost, `at_most_once` is never done again.
        key: template; steps of one key are done by one worker of a keyed pool.
    """

    name: str
    target: Target
    prompt: str | None = None
    after: tuple[str, ...] = ()
    when: When | None = None
    each: str | None = None
    max_concurrent: int | None = None
    timeout: float | None = None
    retries: int = 0
    on_error: OnError | StepSpec = "fail"
    effects: Effects | None = None
    key: str | None = None


class WorkflowSpec(
    msgspec.Struct, frozen=True, kw_only=True, dict=True, tag_field="kind", tag="workflow"
):
    """A named graph of steps with its bounds.

    Attributes:
        max_concurrent: steps of a run that are under way at a time.
        timeout: seconds for the whole run.
        join: parallel: how many steps must be done, `all`, `any` or a number; the others are
            cancelled then.
        on_error: parallel: `fail_fast` ends the run when it cannot succeed any more; `collect` lets
            all steps end, whatever they do.
        until: loop: what ends it; a condition, or a function of the run's context.
        max_iterations: loop: how often it goes round at most.
        budget: what each run may spend, on an account of its own.
    """

    name: str
    mode: Mode
    steps: tuple[StepSpec, ...]
    max_concurrent: int = 64
    timeout: float | None = None
    join: Literal["all", "any"] | int = "all"
    on_error: OnFailure = "fail_fast"
    until: Condition | None = None
    max_iterations: int = 10
    budget: Budget | None = None


class Choice(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="choice"):
    """A target that is chosen when the step begins: the case that `on` names, or the default.

    Attributes:
        on: template, usually one placeholder; its text, without spaces around it, is the case.
        cases: what is done, by text.
        default: what is done in any other case; None: the step is skipped then.
    """

    on: str
    cases: dict[str, Target]
    default: Target | None = None


class PoolRef(msgspec.Struct, frozen=True, tag_field="kind", tag="pool"):
    """A pool of the Runtime by its name: its workers receive what the step would."""

    name: str


if TYPE_CHECKING:
    # Any: a step function takes and gives what it likes, and the context is defined above us
    Target: TypeAlias = (
        AgentSpec | WorkflowSpec | FunctionRef | Choice | PoolRef | Callable[..., Any]
    )
    When: TypeAlias = str | FunctionRef | Callable[[Any], Any]
else:
    # What may come off the wire: functions travel as their import path.
    Target = AgentSpec | WorkflowSpec | FunctionRef | Choice | PoolRef
    When = str | FunctionRef


class RunWorkflow(msgspec.Struct, frozen=True, kw_only=True):
    """Run `spec` once; the reply is a `WorkflowResult`.

    Attributes:
        path: the step around it, or empty.
        timeout: seconds for the run besides those of the spec, or None.
        context: the RunContext of the run around it, whose values it shares, or None.
        sink: where chunks go while the run lasts, or None.
    """

    spec: WorkflowSpec
    input: Any = None  # Any: whatever the first steps take
    path: str = ""
    timeout: float | None = None
    context: Any = None  # Any: a RunContext, which is defined above us; never encoded
    sink: Any = None  # Any: a stream's producer side; never encoded


class CancelRun(msgspec.Struct, frozen=True, kw_only=True):
    """End a run now: it is answered with an error that carries what there is so far.

    Attributes:
        of: the Reply of the run that is meant; another one's is left alone.
    """

    why: str
    expired: bool = False
    of: Any = None  # Any: the kernel's Reply; never encoded


class RunStep(msgspec.Struct, frozen=True, kw_only=True):
    """Do one step: call the function, or run the agent, with `value`; `sent` is when."""

    path: str
    target: Target
    value: Any  # Any: the rendered prompt, or the object a placeholder named
    context: Any = None  # Any: the run's RunContext, by reference
    effects: Effects | None = None
    attempt: int = 1
    sent: float = 0.0
    sink: Any = None  # Any: the step's place in a stream; never encoded


class StepDone(msgspec.Struct, frozen=True, kw_only=True):
    """A step has ended: the answer to the run that asked for it."""

    path: str
    output: Any = None  # Any: what the step gave
    usage: Usage = NO_USAGE
    cost: float | None = None
    attempts: int = 1
    queued: float = 0.0
    limited: float = 0.0
    cached: Cached | None = None
    error: BaseException | None = None
