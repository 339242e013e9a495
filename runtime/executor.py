"""The run actor: one run of a workflow.

It interprets a pure `Plan`: what may start goes to a worker, what comes back is a message. It never
waits in a handler, so a run answers a cancel at once, and a nested workflow is just another run
that holds no worker while its own steps work. When the run ends, everything that is still under way
is cancelled, and the record says so.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from understudy.actors.kernel.actor import Actor
from understudy.actors.kernel.deferred import Deferred
from understudy.actors.kernel.ref import Ref
from understudy.actors.kernel.reply import Reply
from understudy.actors.kernel.system import Later
from understudy.actors.kernel.timers import Timer
from understudy.messages.envelope import Envelope, Lane, Origin
from understudy.messages.errors import (
    DeadlineExceededError,
    RunCancelledError,
    UnderstudyError,
)
from understudy.messages.records import NO_USAGE, WorkflowResult
from understudy.messages.workflows import CancelRun, RunWorkflow, StepDone
from understudy.runtime.chorus import Chorus
from understudy.runtime.dispatch import Dispatch
from understudy.runtime.plan import Launch, Plan
from understudy.runtime.planning.loops import Loop, plan_of
from understudy.runtime.run_context import RunContext

if TYPE_CHECKING:
    from understudy.runtime.crew import Crew

ANSWER = Lane.ANSWER
_NOWHERE = Origin()


class Again(msgspec.Struct, frozen=True, gc=False):
    """The pause before another attempt is over (from the actor to itself)."""

    launch: Any  # Any: a Launch, which is no struct


class RunActor(Actor):
    """See the module's docstring."""

    def __init__(self, crew: Crew, release: Callable[[Ref[Any]], None]) -> None:
        self._crew = crew
        self._release = release
        self._plan: Plan | Loop | None = None
        self._deferred: Deferred | None = None

    async def on_receive(self, message: RunWorkflow | Launch | Again | CancelRun) -> None:
        """Begin, go on, or end."""
        plan = self._plan
        if type(message) is Launch:
            if plan is None or self._outstanding.get(message.path) is not message:
                return  # of a run that is over
            del self._outstanding[message.path]
            now = self._cell.system.now() - self._started
            self._back(plan, message, now)
        elif isinstance(message, RunWorkflow):
            plan = self._begin(message)
            now = 0.0
        elif plan is None or plan.status is not None:
            return
        else:
            now = self._cell.system.now() - self._started
            if isinstance(message, Again):
                if plan.waits_for(message.launch):
                    self._launch(message.launch, now)
                return
            if message.of is not None and message.of is not self._env.reply:
                return
            plan.cancel(now, message.why)
            self._expired = message.expired
            self._why = message.why
        self._advance(plan, now)

    def _begin(self, message: RunWorkflow) -> Plan | Loop:
        deferred = self._deferred = self.defer()
        env = self._env = deferred.envelope
        origin = env.origin or _NOWHERE
        self._started = self._cell.system.now()
        plan = self._plan = plan_of(message.spec, message.input, message.path)
        self._context = plan.context = RunContext(
            origin.run_id or "", plan.outputs, plan.errors, around=message.context
        )
        chorus = None if message.sink is None else Chorus(message.sink)
        self._dispatch = Dispatch(self._crew, self._cell.system, origin, self._context, chorus)
        self._outstanding: dict[str, Launch] = {}
        self._nested: dict[str, Any] = {}  # Any: records of nested runs
        self._expired = False
        self._why = ""
        self._timers: list[Timer | Later] = []
        for timeout in (message.spec.timeout, message.timeout):
            if timeout is not None:
                why = f"the run took longer than {timeout:g} s"
                over = CancelRun(why=why, expired=True, of=env.reply)
                self._timers.append(self.timer(over, after=timeout))
        return plan

    def _advance(self, plan: Plan | Loop, now: float) -> None:
        if plan.status is None:
            for launch in plan.launches(now):
                self._launch(launch, now)
        if plan.status is not None and self._deferred is not None:
            self._finish(plan, self._deferred, now)

    def _launch(self, launch: Launch, now: float) -> None:
        reply = self._dispatch.begin(launch, self._started + now)
        launch.reply = reply
        self._outstanding[launch.path] = launch
        reply.add_done_callback(partial(self._came_back, launch))

    def _came_back(self, launch: Launch, reply: Reply[Any]) -> None:
        """On whichever thread has answered: tell this actor, unless its run is over."""
        if self._deferred is not None and launch.reply is reply:
            self._post(launch)

    def _post(self, message: Launch | Again) -> None:
        """Go on with this, in the name of the run; unless it is over."""
        env, cell = self._env, self._cell
        if not env.reply.done:
            cell.post(Envelope(message, env.deadline, env.origin, env.scope, None, cell, ANSWER))

    def _back(self, plan: Plan | Loop, launch: Launch, now: float) -> None:
        """What a step has come to; another attempt waits for its time."""
        outcome = launch.reply.outcome()
        launch.reply = None
        done, error = outcome.value, outcome.error
        if type(done) is not StepDone:
            done = self._other(launch, done, error, now)
        error = done.error
        dispatch = self._dispatch
        again = plan.done(
            launch.path,
            now,
            output=done.output,
            error=error,
            usage=done.usage,
            cost=done.cost,
            attempts=done.attempts,
            queued=done.queued,
            limited=done.limited,
            cached=done.cached,
            final=error is not None and dispatch.was_heard(launch.path),
        )
        if again is None:
            dispatch.ended(plan.records[launch.path])
        else:
            # Not the actor's own timer: that would not belong to this run.
            delay, then = dispatch.pause(again, error), partial(self._post, Again(again))
            self._timers.append(self._cell.system.after(delay, then))

    def _other(
        self,
        launch: Launch,
        value: Any,  # Any: a nested run's result, or what a pool's worker gave
        error: BaseException | None,
        now: float,
    ) -> StepDone:
        """As a StepDone: what no step worker has answered."""
        path = launch.path
        if error is not None:
            partial_ = getattr(error, "partial", None)
            usage, cost = NO_USAGE, None
            if isinstance(partial_, WorkflowResult):
                self._keep(partial_, now)
                usage, cost = partial_.usage, partial_.cost
            return StepDone(path=path, error=_named(launch, error), usage=usage, cost=cost)
        if isinstance(value, WorkflowResult):
            self._keep(value, now)
            return StepDone(path=path, output=value.output, usage=value.usage, cost=value.cost)
        return StepDone(path=path, output=value)

    def _keep(self, result: WorkflowResult, now: float) -> None:
        """The records of a nested run that ends now, in the time of this one."""
        since = now - result.duration
        for path, record in result.steps.items():
            start, end = record.start, record.end
            if start is not None and end is not None:
                record = msgspec.structs.replace(record, start=start + since, end=end + since)  # noqa: PLW2901
            self._nested[path] = record

    def _cut_nested(self, left: dict[str, Launch], now: float, why: str) -> None:
        """Take over the records of the nested runs that end with this one."""
        for path, ref in self._dispatch.nested.items():
            launch = left.get(path)
            if launch is None:
                continue
            if launch.reply.done:
                outcome = launch.reply.outcome()
                result = outcome.value or getattr(outcome.error, "partial", None)
            else:
                result = ref.cell.actor.cut(why)
            if isinstance(result, WorkflowResult):
                self._keep(result, now)

    def cut(self, why: str) -> WorkflowResult | None:
        """What there is of a run that is about to be cancelled by the run around it.

        That run is on the same loop and answers at once, so it does not wait for a message.
        """
        plan, self._plan = self._plan, None
        if plan is None or self._deferred is None:
            return None
        now = self._cell.system.now() - self._started
        plan.cancel(now, why)
        self._cut_nested(self._outstanding, now, why)
        return self._result(plan, now)

    def _finish(self, plan: Plan | Loop, deferred: Deferred, now: float) -> None:
        """Cancel what is left, and answer."""
        self._deferred = None  # what comes back from now on concerns nobody
        left, self._outstanding = self._outstanding, {}
        if plan.status != "completed" or plan.left:
            why = self._why or "another step failed"
            if plan.completed_early:
                why = f"{plan.completed_early} completed the workflow"
            elif plan.status == "completed":
                why = f"enough other steps were done (join={plan.spec.join!r})"
            plan.cancel(now, why)
            self._cut_nested(left, now, why)
        for launch in left.values():
            launch.reply.cancel(expired=self._expired)
            self._dispatch.cut_off(plan.records.get(launch.path))
        result = self._result(plan, now)
        for timer in self._timers:
            timer.cancel()
        self._plan = None
        if plan.status == "completed":
            deferred.set(result)
        else:
            deferred.set_exception(self._error(plan, result))
        self._release(self.ref)

    def _result(self, plan: Plan | Loop, now: float) -> WorkflowResult:
        origin = self._env.origin or _NOWHERE
        return WorkflowResult(
            name=plan.spec.name,
            status=plan.status or "cancelled",
            output=plan.output,
            steps={**plan.records, **self._nested} if self._nested else plan.records,
            critical_path=plan.critical_path(),
            usage=plan.usage,
            cost=plan.cost,
            duration=now,
            run_id=origin.run_id or "",
            trace_id=origin.trace_id or "",
            completed_early=plan.completed_early,
            iterations=plan.iterations,
            reason=plan.reason,
            shared=self._context.size,
        )

    def _error(self, plan: Plan | Loop, result: WorkflowResult) -> UnderstudyError:
        """What a run has failed with, which carries what there is."""
        error: UnderstudyError
        if plan.error is not None:
            error = plan.error
        elif self._expired:
            error = DeadlineExceededError(f"{plan.spec.name}: {self._why}")
        else:
            error = RunCancelledError(f"{plan.spec.name}: {self._why}")
        error.partial, error.run_id = result, result.run_id
        return error


def _named(launch: Launch, error: BaseException) -> BaseException:
    """An error of a step, where it would not say whose time was over."""
    timeout = launch.step.timeout
    if timeout is None or not isinstance(error, DeadlineExceededError) or error.partial is not None:
        return error
    return DeadlineExceededError(f"{launch.path} took longer than its timeout of {timeout:g} s")
