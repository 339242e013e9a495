"""The crew: what all runs of a runtime share.

The directory of models, the troupe of agent actors and the pools of step workers, and how a run is
started with them. One owner, so that runs, workers and verbs need a single reference.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from understudy.actors.agents.troupe import Troupe
from understudy.actors.kernel.options import ChildSpec, child
from understudy.actors.kernel.origins import trace_in_hand, under
from understudy.actors.kernel.ref import INFINITE
from understudy.actors.kernel.reply import Reply
from understudy.actors.kernel.system import ActorSystem
from understudy.actors.limiters.directory import LimiterDirectory
from understudy.actors.models.directory import Defaults, ModelDirectory
from understudy.messages.agents import AgentSpec, Result, RunAgent
from understudy.messages.envelope import Origin
from understudy.messages.limits import Limit
from understudy.messages.workflows import RunStep, RunWorkflow, WorkflowResult, WorkflowSpec
from understudy.runtime.pool.options import PoolOptions
from understudy.runtime.pool.pool import Pool
from understudy.runtime.workers import LoopWorker, ThreadWorker

if TYPE_CHECKING:
    import httpx

    from understudy.messages.chat import Message

AGENT_TIMEOUT = 600.0
MAX_ATTEMPTS = 3
"""How often a step is begun whose workers are lost, before it fails."""


class Crew:
    """See the module's docstring.

    Args:
        system: where the actors live.
        defaults: `[llm]`.
        transport: makes the HTTP transport when the first provider needs it.
        workers, threads: bounds of the step workers on the loop and on threads.
        max_runs: agent runs at a time.
        limits: by pattern of `provider:model`.
    """

    def __init__(
        self,
        system: ActorSystem,
        *,
        defaults: Defaults,
        transport: Callable[[], httpx.AsyncBaseTransport],
        workers: int,
        threads: int,
        max_runs: int,
        limits: Mapping[str, Limit],
    ) -> None:
        self.system = system
        self.limiters = LimiterDirectory(system, limits)
        self.models = ModelDirectory(
            system,
            defaults=defaults,
            limiter_for=lambda provider, account, remote: self.limiters.of(
                provider, account, remote=remote
            ),
            transport=transport,
            environ=os.environ,
        )
        self.troupe = Troupe(system, self.models, max_runs)
        self.loop_steps = _step_pool(system, "steps", child(LoopWorker, self), workers)
        self.thread_steps = _step_pool(system, "blocking-steps", child(ThreadWorker), threads)
        self._ids = itertools.count(1)
        self._prefix = f"{system.random.getrandbits(32):08x}"

    def origin(self) -> Origin:
        """A new run's id, in the trace of the message in hand or in a new one."""
        run_id = f"{self._prefix}-{next(self._ids):x}"
        trace = trace_in_hand() or f"{self.system.random.getrandbits(128):032x}"
        return Origin(run_id=run_id, trace_id=trace)

    def run_agent(
        self,
        spec: AgentSpec,
        prompt: str,
        *,
        origin: Origin,
        history: tuple[Message, ...] = (),
        timeout: float | None = None,
        sink: Any = None,  # Any: a StreamBuffer
    ) -> Reply[Result[Any]]:  # Any: the output's type
        """Start a run of an agent.

        Raises:
            OverloadedError: too many are under way.
        """
        message = RunAgent(spec=spec, prompt=prompt, history=history, sink=sink)
        seconds = timeout if timeout is not None else spec.timeout
        with under(origin):
            return self.troupe.run(message, AGENT_TIMEOUT if seconds is None else seconds)

    def run_workflow(
        self, spec: WorkflowSpec, value: Any, *, origin: Origin, path: str = ""
    ) -> tuple[Reply[WorkflowResult], Any]:  # Any: what the first steps take; Ref of RunActor
        """Start a run of a workflow: an actor of its own, which ends with it."""
        from understudy.runtime.executor import RunActor

        system = self.system
        ref = system.spawn(child(RunActor, self).options(restart="temporary")).get()
        message = RunWorkflow(spec=spec, input=value, path=path)
        with under(origin):
            reply = ref.request(message, timeout=INFINITE)

        def end(_: Reply[WorkflowResult]) -> None:
            ref.stop(drain=False)

        reply.add_done_callback(end)
        return reply, ref

    async def aclose(self) -> None:
        """Close what the models share."""
        await self.models.aclose()


def _step_pool(system: ActorSystem, name: str, worker: ChildSpec, size: int) -> Pool:
    """Made as needed and reused; a step that finds no place waits, it never fails for that."""
    options = PoolOptions(size=(0, size), overflow="wait", again=_again)
    return Pool(system, name, worker, options, parent=system.infrastructure)


def _again(message: RunStep) -> RunStep | None:
    """A step whose worker was lost: only what may happen twice is begun again."""
    idempotent = message.effects in ("none", "idempotent")
    if message.effects is None and isinstance(message.target, AgentSpec):
        idempotent = True  # an agent without tools changes nothing
    if not idempotent or message.attempt >= MAX_ATTEMPTS:
        return None
    return msgspec.structs.replace(message, attempt=message.attempt + 1)
