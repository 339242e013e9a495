"""`Workflow`: a graph of steps with verbs, and `step` to write one.

    report = Workflow.dag("report",
        step("plan", planner, "Plan: {input}"),
        step("web", searcher, "Search: {plan}", after="plan"),
        step("write", writer, "Write from {web}", after="web"))
    result = report.run("actors")

Mistakes in the graph are found when it is built, all at once. A workflow is a frozen spec, safe to
share between any number of concurrent runs.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from understudy.messages.errors import ConfigError
from understudy.messages.workflows import (
    Choice,
    Effects,
    Mode,
    OnError,
    StepSpec,
    WorkflowResult,
    WorkflowSpec,
)
from understudy.runtime.current import current_runtime
from understudy.runtime.fan_out import fan_out
from understudy.runtime.graph import OPTIONS, all_steps, check_workflow
from understudy.runtime.run_context import RunContext
from understudy.runtime.template import stray_brace

if TYPE_CHECKING:
    from understudy.runtime.runs import Run
    from understudy.runtime.runtime import Runtime
    from understudy.runtime.stream import Stream


def step(
    name: str,
    target: Any,  # Any: an AgentSpec, a WorkflowSpec, a pool, a Choice, or a function
    prompt: str | None = None,
    *,
    after: str | Sequence[str] = (),
    when: str | Callable[[RunContext], Any] | None = None,  # Any: what counts as true
    each: str | None = None,
    max_concurrent: int | None = None,
    timeout: float | None = None,
    retries: int = 0,
    on_error: OnError | StepSpec = "fail",
    effects: Effects | None = None,
    key: str | None = None,
) -> StepSpec:
    """One step of a workflow; see `StepSpec`.

    Without a prompt, a step receives the input of the workflow, or the output of the one step it
    waits for, or the outputs of several, joined as text; with `each`, the item.
    """
    return StepSpec(
        name=name,
        target=target,
        prompt=prompt,
        after=_names(after),
        when=when,
        each=each,
        max_concurrent=max_concurrent,
        timeout=timeout,
        retries=retries,
        on_error=on_error,
        effects=effects,
        key=key,
    )


def _names(after: Any) -> tuple[Any, ...]:  # Any: whatever was given; it is checked later
    if isinstance(after, str) or not isinstance(after, Iterable):
        return (after,)
    return tuple(after)


def choose(
    on: str,
    cases: Mapping[str, Any],  # Any: targets of steps
    default: Any = None,  # Any: the target of a step
) -> Choice:
    """The target of a step that is chosen when it begins.

        step("answer", choose("{kind}", {"bug": fixer, "question": helper}, default=human),
             "{input}", after="kind")

    Args:
        on: template; what it gives, as text and without spaces around it, names the case.
        cases: agents, functions, workflows or pools by that text.
        default: in any other case; without one, the step is skipped then, and says why.
    """
    return Choice(on=on, cases=dict(cases), default=default)


class Workflow(WorkflowSpec, frozen=True, kw_only=True):
    """A workflow; build it with `sequential`, `parallel`, `dag` or `loop`."""

    def __post_init__(self) -> None:
        problems = check_workflow(self)
        if problems:
            lines = "".join(f"\n  - {problem}" for problem in problems)
            msg = f"workflow {self.name!r} cannot run:{lines}"
            raise ConfigError(msg, problems=tuple(problems))
        for each in all_steps(self):
            around = stray_brace(each.prompt or "")
            if around is not None:
                warnings.warn(
                    f"step {each.name!r}: a brace in {around!r} is left as it is, because it is no "
                    "placeholder's; write {{ or }} to say that it is meant",
                    stacklevel=4,
                )

    @classmethod
    def sequential(cls, name: str, *steps: StepSpec, **options: Any) -> Self:
        """One step after the other; the output is the last one's."""
        return cls._of("sequential", name, steps, options)

    @classmethod
    def parallel(cls, name: str, *steps: StepSpec, **options: Any) -> Self:
        """All steps at once; the output is a dict by name.

        With `join="any"` the first step that is done is enough, with a number so many of them: the
        others are cancelled. The output is then the winner's, or a dict of those that won.
        `on_error="collect"` lets all end and gives None for those that failed.
        """
        return cls._of("parallel", name, steps, options)

    @classmethod
    def dag(cls, name: str, *steps: StepSpec, **options: Any) -> Self:
        """Each step the instant those in its `after=` are done; the output is the last ones'."""
        return cls._of("dag", name, steps, options)

    @classmethod
    def loop(cls, name: str, *steps: StepSpec, **options: Any) -> Self:
        """The steps one after the other, again and again, `until=` a condition holds.

        At most `max_iterations` times (10); `reason` of the result says why it ended. The first
        step receives what the last one gave in the round before; prompts may name any step.
        """
        return cls._of("loop", name, steps, options)

    @classmethod
    def from_spec(cls, spec: WorkflowSpec) -> Self:
        """A spec that was decoded or read from a file, with verbs."""
        return cls(**{field: getattr(spec, field) for field in spec.__struct_fields__})

    @classmethod
    def _of(
        cls, mode: Mode, name: str, steps: tuple[StepSpec, ...], options: dict[str, Any]
    ) -> Self:
        known = ("max_concurrent", "timeout", "budget", *OPTIONS.get(mode, ()))
        unknown = sorted(set(options) - set(known))
        if unknown:
            said = ", ".join(f"{option}=" for option in known)
            raise ConfigError(f"Workflow.{mode}({unknown[0]}=): there are {said}")
        given: tuple[object, ...] = steps
        wrong = next((each for each in given if not isinstance(each, StepSpec)), None)
        if wrong is not None:
            msg = f"Workflow.{mode}: {wrong!r} is no step; write step('name', target)"
            raise ConfigError(msg)
        return cls(name=name, mode=mode, steps=steps, **options)

    def mermaid(self) -> str:
        """The graph as a Mermaid flowchart."""
        from understudy.runtime.drawing import mermaid

        return mermaid(self)

    def dot(self) -> str:
        """The graph in the language of Graphviz."""
        from understudy.runtime.drawing import dot

        return dot(self)

    def run(
        self, value: Any = "", *, runtime: Runtime | None = None, **options: Any
    ) -> WorkflowResult:
        """Run once; blocks the calling thread.

        Raises:
            WorkflowError: a step failed (`step`, `cause`); `.partial` is the result so far.
            DeadlineExceededError, RunCancelledError: with `.partial` too.
            WouldDeadlockError: on the loop of the runtime; use `await workflow.arun(...)`.
        """
        result: WorkflowResult = current_runtime(runtime).run(self, value, **options)
        return result

    async def arun(
        self, value: Any = "", *, runtime: Runtime | None = None, **options: Any
    ) -> WorkflowResult:
        """The twin of `run`; cancelling the task that awaits it cancels the run."""
        result: WorkflowResult = await current_runtime(runtime).arun(self, value, **options)
        return result

    def submit(
        self, value: Any = "", *, runtime: Runtime | None = None, **options: Any
    ) -> Run[WorkflowResult]:
        """Start a run and return at once."""
        return current_runtime(runtime).submit(self, value, **options)

    def stream(
        self, value: Any = "", *, runtime: Runtime | None = None, **options: Any
    ) -> Stream[Any]:
        """Start a run whose steps are read while they work; options as for `Agent.stream`.

        Each chunk has the path of its `step`; `StepStarted` and `StepFinished` say when one begins
        and ends. What the workflow gives in the end is `stream.result`, and repeated nowhere.
        """
        rt = current_runtime(runtime)
        rt.check_blocking(
            "reading this stream here would stop the loop that fills it: "
            "use `async with workflow.astream(...)`"
        )
        return rt.stream(self, value, **options)

    def astream(
        self, value: Any = "", *, runtime: Runtime | None = None, **options: Any
    ) -> Stream[Any]:
        """The twin of `stream`, for `async with` and `async for`."""
        return current_runtime(runtime).stream(self, value, **options)

    def map(
        self,
        values: Iterable[Any],
        *,
        max_concurrent: int = 64,
        runtime: Runtime | None = None,
        **options: Any,
    ) -> list[WorkflowResult]:
        """Run once for each value, at most `max_concurrent` at a time; results in order. Blocks."""
        rt = current_runtime(runtime)
        work = self.amap(values, max_concurrent=max_concurrent, runtime=rt, **options)
        return rt.complete(work, "workflow.amap")

    async def amap(
        self,
        values: Iterable[Any],
        *,
        max_concurrent: int = 64,
        runtime: Runtime | None = None,
        **options: Any,
    ) -> list[WorkflowResult]:
        """The twin of `map`."""
        rt = current_runtime(runtime)
        return await fan_out(
            list(values), lambda value: rt.arun(self, value, **options), max_concurrent
        )
