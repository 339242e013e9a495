"""Step workers: they do one step at a time, on the loop or on a thread.

A step that fails is a `StepDone` with its error, so that a worker's own end (killed, crashed) can
be told from the step's failure.

An agent whose actor was killed under it is a lost worker too, one further down: its step is begun
again by the same rule, unless somebody reads along and has heard the beginning.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from understudy.actors.kernel.actor import Actor
from understudy.messages.agents import AgentSpec
from understudy.messages.chat import Usage
from understudy.messages.errors import ActorDeadError, RunCancelledError, WorkflowError
from understudy.messages.workflows import RunStep, StepDone
from understudy.runtime.run_context import context_parameter, takes_value
from understudy.runtime.template import as_text

if TYPE_CHECKING:
    from understudy.runtime.crew import Crew


class LoopWorker(Actor):
    """Does steps that are agents or async functions.

    Args:
        crew: whose runs these are.
        again: the step to begin instead of one that was lost, or None when it may not be.
    """

    def __init__(self, crew: Crew, again: Callable[[RunStep], RunStep | None]) -> None:
        self._crew = crew
        self._again = again

    async def on_receive(self, message: RunStep) -> StepDone:
        """Do one step."""
        done = await self._do(message)
        while isinstance(message.target, AgentSpec) and isinstance(done.error, ActorDeadError):
            following = self._again(message) if message.sink is None else None
            if following is None:
                break
            message = following
            done = await self._do(message)
        return done

    async def _do(self, message: RunStep) -> StepDone:
        target = message.target
        try:
            if isinstance(target, AgentSpec):
                result = await self._crew.run_agent(
                    target,
                    as_text(message.value),
                    origin=self._crew.origin(),
                    context=message.context,
                    sink=message.sink,
                )
                return StepDone(
                    path=message.path,
                    output=result.output,
                    usage=result.usage,
                    attempts=message.attempt,
                )
            output = _call(message)
            if inspect.isawaitable(output):
                output = await output
            return StepDone(path=message.path, output=output, attempts=message.attempt)
        except Exception as error:  # noqa: BLE001 - it is the step's outcome
            used = getattr(error, "usage", None)
            return StepDone(
                path=message.path,
                error=error,
                usage=used if isinstance(used, Usage) else Usage(),
                attempts=message.attempt,
            )


class ThreadWorker(Actor):
    """Does steps that are plain functions."""

    expects = (RunCancelledError,)

    def on_receive(self, message: RunStep) -> StepDone:
        """Do one step."""
        try:
            return StepDone(path=message.path, output=_call(message), attempts=message.attempt)
        except Exception as error:  # noqa: BLE001 - it is the step's outcome
            return StepDone(path=message.path, error=error, attempts=message.attempt)


@lru_cache(maxsize=32)
def thread_worker(bulkhead: str) -> type[ThreadWorker]:
    """A ThreadWorker that shares the threads of that name."""
    return type("ThreadWorker", (ThreadWorker,), {"bulkhead": bulkhead, "__module__": __name__})


def is_async(target: object) -> bool:
    """Whether a step's target belongs on the loop."""
    if isinstance(target, AgentSpec) or inspect.iscoroutinefunction(target):
        return True
    return inspect.iscoroutinefunction(getattr(target, "__call__", None))  # noqa: B004


def _call(message: RunStep) -> Any:  # Any: what the function returns
    function: Callable[..., Any] = message.target  # type: ignore[assignment]
    if not callable(function):
        raise WorkflowError(f"step {message.path}: {function!r} cannot be called")
    name = context_parameter(function)
    arguments = {} if name is None else {name: message.context}
    if takes_value(function):
        return function(message.value, **arguments)
    return function(**arguments)
