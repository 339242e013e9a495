"""The crew: what all runs of a runtime share.

The directories of models and tools, the troupe of agent actors and the pools of step workers, and
how a run is started with them. One owner, so that runs, workers and verbs need a single reference.
"""

from __future__ import annotations

import difflib
import itertools
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from understudy.actors.agents.tokenizers import Tokenizer, best_tokenizer
from understudy.actors.agents.troupe import Troupe
from understudy.actors.caches.directory import CacheDirectory
from understudy.actors.kernel.context import in_hand
from understudy.actors.kernel.options import child
from understudy.actors.kernel.origins import in_the_name_of, origin_in_hand
from understudy.actors.kernel.ref import Ref
from understudy.actors.kernel.reply import Reply
from understudy.actors.kernel.system import ActorSystem
from understudy.actors.limiters.directory import LimiterDirectory
from understudy.actors.models.directory import Defaults, ModelDirectory
from understudy.actors.processes.worker import ProcessWorker
from understudy.actors.rules.prices import Prices
from understudy.actors.streams.emitter import Streams
from understudy.actors.tools.defaults import ToolDefaults
from understudy.actors.tools.directory import ToolDirectory
from understudy.messages.agents import AgentSpec, Result, Resume, RunAgent
from understudy.messages.budgets import Account, Price
from understudy.messages.caches import CacheSpec, Invalidate
from understudy.messages.envelope import Origin
from understudy.messages.errors import ConfigError, WorkflowComplete, WorkflowError
from understudy.messages.limits import Limit
from understudy.messages.memories import MemorySpec
from understudy.messages.streams import StreamOptions
from understudy.messages.workflows import PoolRef, RunWorkflow, WorkflowResult, WorkflowSpec
from understudy.runtime.graph import MAX_DEPTH
from understudy.runtime.memories import Memories
from understudy.runtime.overriding import as_called
from understudy.runtime.pool.handle import PoolHandle
from understudy.runtime.run_actors import RunActors
from understudy.runtime.step_pools import StepPools

if TYPE_CHECKING:
    import httpx

    from understudy.actors.caches.answers import Answers
    from understudy.messages.chat import Message
    from understudy.runtime.executor import RunActor

AGENT_TIMEOUT = 600.0


class Crew:
    """See the module's docstring.

    Args:
        system: where the actors live.
        defaults: `[llm]`.
        transport: makes the HTTP transport when the first provider needs it.
        workers, threads: bounds of the step workers on the loop and on threads.
        max_runs: agent runs at a time.
        limits, prices: by pattern of `provider:model`.
        tools: `[tools]`.
        caches: of agents that do not say (None: they have none), and of all tools.
        streaming: how streams are buffered that do not say otherwise.
        stream_timeout: seconds after which a stream that nobody reads is cancelled.
        memory: of the agents that have none; None: one in the process, for sessions alone.
        tokenizer: counts for context windows; None: the best there is here.
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
        prices: Mapping[str, Price],
        tools: ToolDefaults | None = None,
        caches: tuple[CacheSpec | None, CacheSpec] = (None, CacheSpec()),
        streaming: StreamOptions,
        stream_timeout: float,
        memory: MemorySpec | None = None,
        tokenizer: Tokenizer | None = None,
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
        self.caches = CacheDirectory(
            system, default=caches[0], tools=caches[1], model_of=self._model_of
        )
        self.tools = ToolDirectory(
            system,
            caches=self.caches.outcomes_of,
            defaults=tools or ToolDefaults(),
            process_worker=child(ProcessWorker, warm=False),
            passing=(WorkflowComplete,),
        )
        self.price_of = Prices(prices).of
        self.memories = Memories(system, self.models, memory)
        self.memories.erasers.append(self._forget)
        self._remembers = memory is not None
        self._tokenizer = tokenizer
        self.troupe = Troupe(system, self, max_runs)
        self.streams = Streams(system, stream_timeout)
        self.stream_defaults = streaming
        self.steps = StepPools(self, workers, threads)
        self.pools: dict[str, PoolHandle] = {}
        """The pools of the Runtime by name: steps may be their jobs."""
        self.run_actors = RunActors(self)
        self._ids = itertools.count(1)
        self._prefix = f"{system.random.getrandbits(32):08x}"
        # A random half and a counter: 128 bits as W3C wants them, without drawing for each run.
        self._traces = f"{system.random.getrandbits(63) + 1:016x}"

    def origin(self, *, deeper: bool = False, account: Account | None = None) -> Origin:
        """A new run's id, in the trace of the message in hand or in a new one.

        Args:
            deeper: True for a run that may need what the work in hand holds (see `StepPools`).
            account: charged with what it does, besides those of the message in hand.
        """
        number = next(self._ids)
        run_id = f"{self._prefix}-{number:x}"
        around = origin_in_hand()
        if around is None:
            trace_id = f"{self._traces}{number:016x}"
            accounts = () if account is None else (account,)
            return Origin(run_id=run_id, trace_id=trace_id, accounts=accounts)
        accounts = around.accounts
        if account is not None and account not in accounts:
            # Once, however often the same budget is handed on.
            accounts = (*accounts, account)
        return Origin(
            run_id=run_id,
            trace_id=around.trace_id or f"{self._traces}{number:016x}",
            # A scope has no run yet: what begins in it is not inside of anything.
            depth=around.depth + 1 if deeper and around.run_id else around.depth,
            held=around.held,
            tenant=around.tenant,
            session=around.session,
            agents=around.agents,
            accounts=accounts,
            flights=around.flights,
            sessions=around.sessions,
            overrides=around.overrides,
        )

    def run_agent(
        self,
        spec: AgentSpec,
        prompt: str,
        *,
        origin: Origin,
        history: tuple[Message, ...] = (),
        resume: Resume | None = None,
        context: Any = None,  # Any: a RunContext
        timeout: float | None = None,
        sink: Any = None,  # Any: a StreamBuffer
        outer: Any = None,  # Any: the run that calls it as a tool
        named: bool = False,
    ) -> Reply[Result[Any]]:  # Any: the output's type
        """Start a run of an agent.

        `named`: it is a turn of the session of its origin; else it has none, whoever it runs for.

        Raises:
            OverloadedError: too many are under way.
            DeadlockError: the run around holds that session.
        """
        bond = session = None
        if named or self._remembers or spec.memory is not None:
            bond = self.memories.bond(spec, origin, named=named)
            if named:
                session, origin = self.memories.hold(bond, origin)
        message = RunAgent(
            spec=spec,
            prompt=prompt,
            history=history,
            resume=resume,
            context=context,
            sink=sink,
            outer=outer,
            memory=bond,
        )
        seconds = timeout if timeout is not None else spec.timeout
        if seconds is None:
            seconds = AGENT_TIMEOUT
        return self.troupe.run(message, seconds, origin, session)

    async def _forget(self, tenant: str) -> None:
        """A tenant was erased: its cached answers and results go too."""
        await self.caches.invalidate(Invalidate(tenant=tenant))

    @property
    def tokenizer(self) -> Tokenizer:
        """Counts tokens for context windows."""
        if self._tokenizer is None:
            self._tokenizer = best_tokenizer()
        return self._tokenizer

    def run_nested(
        self,
        spec: AgentSpec,
        prompt: str,
        outer: Any,  # Any: the run that calls it
    ) -> Awaitable[Result[Any]]:  # Any: the output's type
        """Run an agent for the message in hand, called by the run `outer`."""
        return self.run_agent(as_called(spec, {}), prompt, origin=self.origin(), outer=outer)

    def answers_of(self, spec: AgentSpec) -> Answers | None:
        """The cache that an agent asks before a model; None where it has none.

        Raises:
            ConfigError: its file has other bounds in another cache.
        """
        cache: Any = spec.cache  # Any: an Agent has made a spec of it
        return self.caches.answers_of(cache)

    def _model_of(self, name: str) -> tuple[Any, str]:  # Any: Ref of a Model actor
        served = self.models.find(AgentSpec(name))
        return served.ref, served.model

    def limiter_of(
        self, spec: AgentSpec, around: tuple[str, ...]
    ) -> Any:  # Any: Ref of a limiter, or None
        """Who bounds the runs of agents of this name; None where nobody does.

        What an agent around this run holds is not waited for: a place is taken once.

        Raises:
            ConfigError: another agent of this name has other bounds.
        """
        if spec.rate_limit is None and spec.max_concurrent is None:
            return None
        name = spec.identity
        limiter = self.limiters.of_agent(name, spec.rate_limit, spec.max_concurrent)
        return None if name in around else limiter

    def run_workflow(
        self,
        spec: WorkflowSpec,
        value: Any,  # Any: what the first steps take
        *,
        origin: Origin,
        path: str = "",
        timeout: float | None = None,
        context: Any = None,  # Any: the RunContext of the run around it
        sink: Any = None,  # Any: a StreamBuffer
    ) -> tuple[Reply[WorkflowResult], Ref[RunActor]]:
        """Start a run of a workflow: an actor of its own, which ends with it.

        Raises:
            WorkflowError: functions of steps begin runs in runs in runs, too deep.
        """
        if origin.depth > MAX_DEPTH:
            msg = (
                f"workflow {spec.name!r}: a step's function began a run, whose step's function "
                f"began a run, and so on, more than {MAX_DEPTH} deep"
            )
            raise WorkflowError(msg)
        account = None
        if spec.budget is not None:
            account = Account(spec.budget)
            origin = msgspec.structs.replace(origin, accounts=(*origin.accounts, account))
            if spec.budget.seconds is not None:
                seconds = spec.budget.seconds
                timeout = seconds if timeout is None else min(timeout, seconds)
        message = RunWorkflow(
            spec=spec, input=value, path=path, timeout=timeout, context=context, sink=sink
        )
        token = in_hand.set(in_the_name_of(origin))
        try:
            reply, ref = self.run_actors.run(message)
        finally:
            in_hand.reset(token)
        if account is not None:
            now = self.system.now
            account.begin(now())
            reply.add_done_callback(lambda _: account.end(now()))
        return reply, ref

    def pool_of(self, target: PoolRef | PoolHandle) -> PoolHandle:
        """The pool that a step is a job of.

        Raises:
            ConfigError: there is none of that name.
        """
        if isinstance(target, PoolHandle):
            return target
        found = self.pools.get(target.name)
        if found is None:
            near = difflib.get_close_matches(target.name, self.pools, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "; make it with rt.pool(...)"
            raise ConfigError(f"there is no pool {target.name!r}{hint}")
        return found

    async def aclose(self) -> None:
        """Close what the models share."""
        await self.memories.aclose()
        await self.models.aclose()
