"""Workflows as data: steps, specs, the messages of a run, the record of what ran.

Paths of steps are stable: `name` for a step, `name[i]` for item i of `each`, `/` for nesting. They
are the same at every run of the same spec, so that a journal can be keyed by them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

from understudy.messages.agents import AgentSpec
from understudy.messages.chat import Usage
from understudy.messages.functions import FunctionRef
from understudy.messages.tools import Effects as Effects  # noqa: PLC0414 - steps say it too

Mode = Literal["sequential", "parallel", "dag"]
OnError = Literal["fail", "continue"]
StepStatus = Literal["completed", "failed", "cancelled", "skipped"]
RunStatus = Literal["completed", "failed", "cancelled"]


class StepSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One step.

    Attributes:
        target: an AgentSpec, a WorkflowSpec, or a function; a `FunctionRef` in a spec that was
            decoded, until `specs.load_functions` puts the function in its place.
        prompt: template with `{name}`, `{name.field}`, `{input}`, `{item}`, `{index}`.
        after: names of the steps it waits for.
        each: a placeholder naming a list; the step runs once per item.
        max_concurrent: for `each`: items in flight at a time.
        on_error: `continue` records the failure and gives `None` to the steps behind.
        effects: what happens outside when it runs; `none` and `idempotent` may run again
            after the worker that had started them was lost.
    """

    name: str
    target: Target
    prompt: str | None = None
    after: tuple[str, ...] = ()
    each: str | None = None
    max_concurrent: int | None = None
    timeout: float | None = None
    on_error: OnError = "fail"
    effects: Effects | None = None


class WorkflowSpec(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="workflow"):
    """A named graph of steps with its bounds; `timeout` in seconds for the whole run."""

    name: str
    mode: Mode
    steps: tuple[StepSpec, ...]
    max_concurrent: int = 64
    timeout: float | None = None


if TYPE_CHECKING:
    # Any: a step function takes and gives what it likes
    Target: TypeAlias = AgentSpec | WorkflowSpec | FunctionRef | Callable[..., Any]
else:
    # What may come off the wire: functions travel as their import path.
    Target = AgentSpec | WorkflowSpec | FunctionRef


class RunWorkflow(msgspec.Struct, frozen=True, kw_only=True):
    """Run `spec` once; the reply is a `WorkflowResult`.

    Attributes:
        path: the step around it, or empty.
        sink: where chunks go while the run lasts, or None.
    """

    spec: WorkflowSpec
    input: Any = None  # Any: whatever the first steps take
    path: str = ""
    sink: Any = None  # Any: a stream's producer side; never encoded


class CancelRun(msgspec.Struct, frozen=True, kw_only=True):
    """End a run now: it is answered with an error that carries what there is so far."""

    why: str
    expired: bool = False


class RunStep(msgspec.Struct, frozen=True, kw_only=True):
    """Do one step: call the function, or run the agent, with `value`."""

    path: str
    target: Target
    value: Any  # Any: the rendered prompt, or the object a placeholder named
    context: Any = None  # Any: the run's RunContext, by reference
    effects: Effects | None = None
    attempt: int = 1
    sink: Any = None  # Any: the step's place in a stream; never encoded


class StepDone(msgspec.Struct, frozen=True, kw_only=True):
    """A step has ended; sent to the run that asked for it."""

    path: str
    output: Any = None  # Any: what the step gave
    usage: Usage = Usage()
    attempts: int = 1
    error: BaseException | None = None


class StepRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about one step after the run; times are seconds since the run began.

    `label` is what an item of `each` is called, so that a reader need not count items.
    """

    path: str
    status: StepStatus
    label: str = ""
    output: Any = None  # Any: what the step gave
    usage: Usage = Usage()
    attempts: int = 0
    start: float | None = None
    end: float | None = None
    error: BaseException | None = None
    why: str = ""

    @property
    def duration(self) -> float:
        """Seconds it ran; 0.0 when it did not."""
        return 0.0 if self.start is None or self.end is None else self.end - self.start


class WorkflowResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a run of a workflow gave.

    Attributes:
        output: of the last step (sequential), of all steps by name (parallel), of the last sinks
            (dag).
        steps: a record for every step and item, by path, nested ones included.
        critical_path: names of the steps that determined the duration, in order.
    """

    name: str
    status: RunStatus
    output: Any  # Any: what the workflow gave
    steps: dict[str, StepRecord]
    critical_path: tuple[str, ...]
    usage: Usage
    duration: float
    run_id: str
    trace_id: str
