"""Handing the launches of one run to whoever does them, and telling of it.

A step goes to the pool of step workers that its target belongs to, a workflow becomes a run of its
own, a job goes to the pool that is named. What happens is told to the run's stream and to the event
bus; where nobody listens, nothing is built.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from understudy.actors.kernel.ref import INFINITE, Ref
from understudy.actors.kernel.reply import Reply
from understudy.actors.rules.retries import RetryPolicy, retry_delay
from understudy.messages.envelope import Origin
from understudy.messages.errors import ConfigError, RunCancelledError, UnderstudyError, to_wire
from understudy.messages.events import StepCompleted, StepDispatched, StepFailed, StepRetried
from understudy.messages.records import StepRecord
from understudy.messages.workflows import Choice, PoolRef, RunStep, WorkflowSpec
from understudy.runtime.chorus import Chorus
from understudy.runtime.planning.launch import Launch
from understudy.runtime.pool.handle import PoolHandle
from understudy.runtime.run_context import RunContext
from understudy.runtime.workers import is_async

if TYPE_CHECKING:
    from understudy.actors.kernel.system import ActorSystem
    from understudy.runtime.crew import Crew

LOOP, THREADS, FLOW, POOL = range(4)


class Dispatch:
    """See the module's docstring."""

    __slots__ = ("_chorus", "_context", "_crew", "_origin", "_pools", "_system", "nested")

    def __init__(
        self,
        crew: Crew,
        system: ActorSystem,
        origin: Origin,
        context: RunContext,
        chorus: Chorus | None,
    ) -> None:
        self._crew = crew
        self._system = system
        self._origin = origin
        self._context = context
        self._chorus = chorus
        self._pools = crew.steps.at(origin.depth)
        self.nested: dict[str, Ref[Any]] = {}  # Any: run actors, by the path of their step

    def begin(self, launch: Launch, now: float) -> Reply[Any]:  # Any: StepDone, or a result
        """Hand it on; `now` is the time."""
        system, doing, chorus = self._system, launch.doing, self._chorus
        step, target = doing.step, launch.target
        if system.events.wants(StepDispatched):
            at, run_id = system.clock.wall(), self._origin.run_id or ""
            system.events.publish(
                StepDispatched(at=at, run_id=run_id, path=launch.path, label=launch.label)
            )
        sink = None if chorus is None else chorus.begin(launch.path, launch.label)
        kind = doing.facts
        if kind is None:
            kind = kind_of(target)
            if doing.on is None:
                doing.facts = kind
        if kind < FLOW:
            return self._pools[kind].ref.request(
                RunStep(
                    path=launch.path,
                    target=target,
                    value=launch.value,
                    context=self._context,
                    effects=step.effects,
                    attempt=launch.attempt,
                    sent=now,
                    sink=sink,
                ),
                timeout=INFINITE if step.timeout is None else step.timeout,
            )
        return self._apart(launch, kind, None if chorus is None else chorus.buffer)

    def was_heard(self, path: str) -> bool:
        """Whether words of this step have gone into the stream: they cannot be taken back."""
        return self._chorus is not None and self._chorus.was_heard(path)

    def pause(self, launch: Launch, error: BaseException | None) -> float:
        """Seconds until the next attempt of a launch that failed with `error`."""
        system, asked = self._system, None
        if isinstance(error, UnderstudyError):
            asked = error.retry_after
        policy = RetryPolicy(attempts=launch.attempt)
        delay = retry_delay(policy, launch.attempt - 1, system.random.random(), asked)
        if error is not None and system.events.wants(StepRetried):
            system.events.publish(
                StepRetried(
                    at=system.clock.wall(),
                    run_id=self._origin.run_id or "",
                    path=launch.path,
                    attempt=launch.attempt,
                    error=to_wire(error),
                )
            )
        return policy.patience if delay is None else delay

    def ended(self, record: StepRecord) -> None:
        """A step is through: tell of it."""
        path, error = record.path, record.error
        if self._chorus is not None:
            self._chorus.end(path, record.duration, error)
        system = self._system
        events = system.events
        if error is None:
            if events.wants(StepCompleted):
                events.publish(
                    StepCompleted(
                        at=system.clock.wall(),
                        run_id=self._origin.run_id or "",
                        path=path,
                        duration=record.duration,
                        usage=record.usage,
                    )
                )
        elif events.wants(StepFailed):
            events.publish(
                StepFailed(
                    at=system.clock.wall(),
                    run_id=self._origin.run_id or "",
                    path=path,
                    duration=record.duration,
                    error=to_wire(error),
                    label=record.label,
                )
            )

    def cut_off(self, record: StepRecord | None) -> None:
        """A step ends because its run does: whoever reads along is told."""
        if self._chorus is not None and record is not None:
            error = RunCancelledError(f"step {record.path} was cancelled: {record.why}")
            self._chorus.end(record.path, record.duration, error)

    def _apart(self, launch: Launch, kind: int, sink: Any) -> Reply[Any]:  # Any: a StreamBuffer
        """What is done by no step worker: a nested run, or a job of a pool."""
        system, timeout = self._system, launch.step.timeout
        if kind == FLOW:
            reply, self.nested[launch.path] = self._crew.run_workflow(
                launch.target,
                launch.value,
                origin=self._origin,
                path=launch.path,
                context=self._context,
                sink=sink,
            )
            if timeout is not None:
                system.wheel.sooner(reply, system.now() + timeout)
            return reply
        try:
            pool = self._crew.pool_of(launch.target)
            return pool.submit_patiently(
                launch.value, timeout=INFINITE if timeout is None else timeout, key=launch.key
            )
        except Exception as error:  # noqa: BLE001 - a pool's key= is the user's function
            refused: Reply[Any] = Reply()
            refused.set_exception(error)
            return refused


def kind_of(target: object) -> int:
    """Who does a step with this target."""
    if isinstance(target, WorkflowSpec):
        return FLOW
    if isinstance(target, (PoolRef, PoolHandle)):
        return POOL
    if isinstance(target, Choice):
        raise ConfigError("a choice cannot be a case of a choice")
    return LOOP if is_async(target) else THREADS
