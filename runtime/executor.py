"""The run actor: one run of a workflow.

It interprets a pure `Plan`: what may start goes to a worker, what comes back is a message. It never
waits in a handler, so a run answers a cancel at once, and a nested workflow is just another run
that holds no worker while its own steps work. When the run ends, everything that is still under way
is cancelled, and the record says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from understudy.actors.kernel.actor import Actor
from understudy.actors.kernel.deferred import Deferred
from understudy.actors.kernel.ref import INFINITE
from understudy.actors.kernel.reply import Reply
from understudy.messages.envelope import Envelope, Lane, Origin
from understudy.messages.errors import (
    DeadlineExceededError,
    RunCancelledError,
    UnderstudyError,
    to_wire,
)
from understudy.messages.events import StepCompleted, StepDispatched, StepFailed
from understudy.messages.workflows import (
    CancelRun,
    RunStep,
    RunWorkflow,
    StepDone,
    WorkflowResult,
    WorkflowSpec,
)
from understudy.runtime.chorus import Chorus
from understudy.runtime.plan import Launch, Plan
from understudy.runtime.run_context import RunContext

if TYPE_CHECKING:
    from understudy.runtime.crew import Crew


class RunActor(Actor):
    """See the module's docstring."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._plan: Plan | None = None
        self._deferred: Deferred | None = None
        self._outstanding: dict[str, Reply[Any]] = {}  # Any: StepDone or WorkflowResult

    async def on_receive(self, message: RunWorkflow | StepDone | CancelRun) -> None:
        """Begin, go on, or end."""
        if isinstance(message, RunWorkflow):
            self._begin(message)
        elif self._plan is None or self._deferred is None:
            return  # cancelled before it began
        elif isinstance(message, StepDone):
            self._step_done(self._plan, message)
        elif self._plan.status is None:
            self._plan.cancel(self._now(), message.why)
            self._expired = message.expired
            self._why = message.why
        self._advance()

    def _begin(self, message: RunWorkflow) -> None:
        self._deferred = self.defer()
        self._origin = self._deferred.envelope.origin or Origin()
        self._started = self._cell.system.now()
        self._plan = Plan(message.spec, message.input, path=message.path)
        self._context = RunContext(self._origin.run_id or "", self._plan.outputs, self._plan.errors)
        self._chorus = None if message.sink is None else Chorus(message.sink)
        self._nested: dict[str, Any] = {}  # Any: records of nested runs
        self._expired = False
        self._why = ""
        if message.spec.timeout is not None:
            why = f"the run took longer than {message.spec.timeout:g} s"
            self.timer(CancelRun(why=why, expired=True), after=message.spec.timeout)

    def _now(self) -> float:
        """Seconds since the run began."""
        return self._cell.system.now() - self._started

    def _advance(self) -> None:
        plan, deferred = self._plan, self._deferred
        if plan is None or deferred is None:
            return
        while plan.status is None:
            launches = plan.launches(self._now())
            if not launches:
                break
            for launch in launches:
                self._launch(launch)
        if plan.status is not None:
            self._finish(plan, deferred)

    def _launch(self, launch: Launch) -> None:
        system = self._cell.system
        if system.events.wants(StepDispatched):
            at, run_id = system.clock.wall(), self._origin.run_id or ""
            system.events.publish(
                StepDispatched(at=at, run_id=run_id, path=launch.path, label=launch.label)
            )
        step, crew, chorus = launch.step, self._crew, self._chorus
        sink = None if chorus is None else chorus.begin(launch.path, launch.label)
        reply: Reply[Any]  # Any: StepDone or WorkflowResult
        if isinstance(step.target, WorkflowSpec):
            reply, _ = crew.run_workflow(
                step.target,
                launch.value,
                origin=self._origin,
                path=launch.path,
                sink=None if chorus is None else chorus.buffer,
            )
            if step.timeout is not None:
                system.wheel.add(reply, system.now() + step.timeout)
        else:
            pool = crew.steps.of(step.target, self._origin.depth)
            reply = pool.ref.request(
                RunStep(
                    path=launch.path,
                    target=step.target,
                    value=launch.value,
                    context=self._context,
                    effects=step.effects,
                    sink=sink,
                ),
                timeout=INFINITE if step.timeout is None else step.timeout,
            )
        self._outstanding[launch.path] = reply
        reply.add_done_callback(lambda done: self._came_back(launch, done))

    def _came_back(self, launch: Launch, reply: Reply[Any]) -> None:
        """On whichever thread has answered: tell this actor, unless its run is over."""
        deferred = self._deferred
        if deferred is None or deferred.envelope.reply.done:
            return
        path, outcome = launch.path, reply.outcome()
        message = outcome.value
        if isinstance(message, WorkflowResult):
            self._nested.update(message.steps)
            message = StepDone(path=path, output=message.output, usage=message.usage)
        elif outcome.error is not None:
            partial = getattr(outcome.error, "partial", None)
            if isinstance(partial, WorkflowResult):
                self._nested.update(partial.steps)
            message = StepDone(path=path, error=_named(launch, outcome.error))
        cell, env = self._cell, deferred.envelope
        cell.post(Envelope(message, env.deadline, env.origin, env.scope, None, cell, Lane.ANSWER))

    def _step_done(self, plan: Plan, done: StepDone) -> None:
        if self._outstanding.pop(done.path, None) is None:
            return
        plan.done(
            done.path,
            self._now(),
            output=done.output,
            error=done.error,
            usage=done.usage,
            attempts=done.attempts,
        )
        events, run_id = self._cell.system.events, self._origin.run_id or ""
        record = plan.records[done.path]
        if self._chorus is not None:
            self._chorus.end(done.path, record.duration, done.error)
        at = self._cell.system.clock.wall() if events.wants(StepCompleted) else 0.0
        if done.error is None:
            if events.wants(StepCompleted):
                events.publish(
                    StepCompleted(
                        at=at,
                        run_id=run_id,
                        path=done.path,
                        duration=record.duration,
                        usage=record.usage,
                    )
                )
        elif events.wants(StepFailed):
            events.publish(
                StepFailed(
                    at=self._cell.system.clock.wall(),
                    run_id=run_id,
                    path=done.path,
                    duration=record.duration,
                    error=to_wire(done.error),
                    label=record.label,
                )
            )

    def _finish(self, plan: Plan, deferred: Deferred) -> None:
        """Cancel what is left, and answer."""
        if plan.status != "completed":
            plan.cancel(self._now(), self._why or "another step failed")
        self._deferred = None  # what comes back from now on concerns nobody
        left, self._outstanding = self._outstanding, {}
        for reply in left.values():
            reply.cancel(expired=self._expired)
        result = WorkflowResult(
            name=plan.spec.name,
            status=plan.status or "cancelled",
            output=plan.output,
            steps={**plan.records, **self._nested},
            critical_path=plan.critical_path(),
            usage=plan.usage,
            duration=self._now(),
            run_id=self._origin.run_id or "",
            trace_id=self._origin.trace_id or "",
        )
        if plan.status == "completed":
            deferred.set(result)
            return
        error: UnderstudyError
        if plan.error is not None:
            error = plan.error
        elif self._expired:
            error = DeadlineExceededError(f"{plan.spec.name}: {self._why}")
        else:
            error = RunCancelledError(f"{plan.spec.name}: {self._why}")
        error.partial, error.run_id = result, result.run_id
        deferred.set_exception(error)


def _named(launch: Launch, error: BaseException) -> BaseException:
    """An error of a step, where it would not say whose time was over."""
    timeout = launch.step.timeout
    if timeout is None or not isinstance(error, DeadlineExceededError) or error.partial is not None:
        return error
    return DeadlineExceededError(f"{launch.path} took longer than its timeout of {timeout:g} s")
