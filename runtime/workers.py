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
from inspect import isawaitable
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from understudy.actors.kernel.actor import Actor
from understudy.messages.agents import AgentSpec, Result
from understudy.messages.chat import Usage
from understudy.messages.errors import ActorDeadError, RunCancelledError, WorkflowError
from understudy.messages.records import NO_USAGE
from understudy.messages.workflows import RunStep, StepDone
from understudy.runtime.overriding import as_called
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
        queued = self._cell.system.now() - message.sent
        if isinstance(message.target, AgentSpec):
            return await self._agent(message.target, message, queued)
        try:
            output = _call(message)
            if type(output) is CoroutineType or isawaitable(output):
                output = await output
        except Exception as error:  # noqa: BLE001 - it is the step's outcome
            return _failed(message, error, queued)
        return StepDone(path=message.path, output=output, attempts=message.attempt, queued=queued)

    async def _agent(self, agent: AgentSpec, message: RunStep, queued: float) -> StepDone:
        """Run an agent, again where its actor was lost and it may be."""
        while True:
            try:
                return await self._ask(agent, message, queued)
            except Exception as error:  # noqa: BLE001 - it is the step's outcome
                lost = isinstance(error, ActorDeadError) and message.sink is None
                following = self._again(message) if lost else None
                if following is None:
                    return _failed(message, error, queued)
                message = following

    async def _ask(self, agent: AgentSpec, message: RunStep, queued: float) -> StepDone:
        """Run an agent."""
        result = await self._crew.run_agent(
            as_called(agent, {}),
            as_text(message.value),
            origin=self._crew.origin(),
            context=message.context,
            sink=message.sink,
        )
        return StepDone(
            path=message.path,
            output=result.output,
            usage=result.usage,
            cost=result.cost,
            limited=result.waited,
            cached=result.cached,
            attempts=message.attempt,
            queued=queued,
        )


class ThreadWorker(Actor):
    """Does steps that are plain functions."""

    expects = (RunCancelledError,)

    def on_receive(self, message: RunStep) -> StepDone:
        """Do one step."""
        queued = self._cell.system.now() - message.sent
        try:
            output = _call(message)
        except Exception as error:  # noqa: BLE001 - it is the step's outcome
            return _failed(message, error, queued)
        return StepDone(path=message.path, output=output, attempts=message.attempt, queued=queued)


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
    name, takes = shape_of(function)
    if name is None:
        return function(message.value) if takes else function()
    arguments = {name: message.context}
    return function(message.value, **arguments) if takes else function(**arguments)


@lru_cache(maxsize=4096)
def shape_of(function: Callable[..., Any]) -> tuple[str | None, bool]:
    """The parameter of a step's function that takes the RunContext, and whether it takes a value.

    Raises:
        WorkflowError: it cannot be called.
    """
    if not callable(function):
        raise WorkflowError(f"{function!r} cannot be called")
    return context_parameter(function), takes_value(function)


def _failed(message: RunStep, error: BaseException, queued: float) -> StepDone:
    """A step that has failed, with what an agent took all the same."""
    usage = getattr(error, "usage", None)
    partial = getattr(error, "partial", None)
    return StepDone(
        path=message.path,
        error=error,
        usage=usage if isinstance(usage, Usage) else NO_USAGE,
        cost=partial.cost if isinstance(partial, Result) else None,
        attempts=message.attempt,
        queued=queued,
    )
