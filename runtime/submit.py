"""Starting runs: the verbs of a Runtime.

What may be run is anything with a spec: an agent (or an `AgentSpec`) and a workflow (or a
`WorkflowSpec`). Each verb has two spellings: `run` blocks the calling thread, `await arun` does
not.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from logging import INFO
from typing import TYPE_CHECKING, Any

from understudy.actors.kernel.context import in_hand
from understudy.actors.kernel.reply import Reply
from understudy.actors.streams.buffer import StreamBuffer
from understudy.actors.streams.joining import make_buffer
from understudy.messages.agents import AgentSpec, Result, Resume
from understudy.messages.budgets import Account, Budget
from understudy.messages.chat import Message, Usage
from understudy.messages.control import Outcome
from understudy.messages.envelope import Origin
from understudy.messages.errors import (
    ConfigError,
    RuntimeStoppedError,
    WouldDeadlockError,
    to_wire,
)
from understudy.messages.events import RunFinished, RunStarted
from understudy.messages.streams import Retain, stream_options
from understudy.messages.workflows import CancelRun, WorkflowResult, WorkflowSpec
from understudy.runtime.options import account_of, check_call, is_turn, messages_of, with_changes
from understudy.runtime.overriding import as_called
from understudy.runtime.runs import OpenRun, Run, get_or_cancel
from understudy.runtime.scoping import Scoping
from understudy.runtime.serving.logs import log_run
from understudy.runtime.serving.logs import runs as runs_logger
from understudy.runtime.stream import Stream

if TYPE_CHECKING:
    from understudy.actors.kernel.system import ActorSystem
    from understudy.runtime.crew import Crew
    from understudy.runtime.events import EventBus
    from understudy.runtime.runtime import Runtime

Runnable = AgentSpec | WorkflowSpec


class Submitter(Scoping, ABC):
    """The part of a Runtime that starts runs and knows which are open."""

    def __init__(self, name: str, events: EventBus) -> None:
        self.name = name
        self.events = events
        self._lock = threading.Lock()
        self._open_runs: dict[int, Run[Any]] = {}  # Any: Result or WorkflowResult
        self._refusing = False

    @property
    @abstractmethod
    def system(self) -> ActorSystem:
        """The actors' stage."""

    @property
    @abstractmethod
    def stage(self) -> ActorSystem:
        """As `system`, also when it has stopped."""

    @property
    @abstractmethod
    def crew(self) -> Crew:
        """What runs share."""

    @abstractmethod
    def _ran_dry(self) -> None:
        """No run is open any more; called on any thread."""

    @abstractmethod
    def _itself(self) -> Runtime:
        """This, as what it is."""

    def submit(
        self,
        target: Runnable,
        prompt: Any = "",  # Any: text for agents, whatever the first steps take for workflows
        *,
        history: tuple[Message, ...] = (),
        timeout: float | None = None,
        tenant: str | None = None,
        session: str | None = None,
        budget: Budget | None = None,
        resume: Resume | None = None,
        **overrides: Any,  # Any: fields of the spec
    ) -> Run[Any]:  # Any: Result or WorkflowResult
        """Start a run and return at once.

        Args:
            target: an agent or a workflow.
            prompt: what it is asked.
            history: messages before the prompt, for an agent.
            timeout: seconds for the whole run.
            tenant: for whom it is; None: as the `scope` or the run around it.
            session: the conversation it is a turn of: what was said goes before the prompt, its
                turns wait for each other. What a workflow or an agent begins for it is no turn.
            budget: what it may spend, together with all other runs that are given this object.
            resume: goes on with a run of this agent that waited for approval, instead of a prompt.
            overrides: fields of the spec, for this run alone.
        """
        self._check_open()
        if isinstance(target, AgentSpec) and tenant is None and session is None:  # the hot path
            return self._submit_agent(
                as_called(target, overrides),
                prompt,
                history=history,
                timeout=timeout,
                budget=budget,
                resume=resume,
            )
        return self._submit(
            target,
            prompt,
            history=history,
            timeout=timeout,
            tenant=tenant,
            session=session,
            budget=budget,
            resume=resume,
            overrides=overrides,
        )

    def run(self, target: Runnable, prompt: Any = "", **options: Any) -> Any:
        """Run and block this thread for the result; options as for `submit`.

        Raises:
            WouldDeadlockError: on the loop of this runtime; use `await rt.arun(...)`.
        """
        self.check_blocking("run() blocks the loop that has to do the work: use `await ...arun()`")
        return get_or_cancel(self.submit(target, prompt, **options))

    async def arun(self, target: Runnable, prompt: Any = "", **options: Any) -> Any:
        """The twin of `run`; cancelling the task that awaits it cancels the run."""
        return await self.submit(target, prompt, **options).reply

    def stream(
        self,
        target: Runnable,
        prompt: Any = "",  # Any: as for submit
        *,
        history: tuple[Message, ...] = (),
        timeout: float | None = None,
        buffer: str | None = None,
        buffer_size: int | None = None,
        flush_interval: float | None = None,
        text_only: bool | None = None,
        retain: Retain | None = None,
        tenant: str | None = None,
        session: str | None = None,
        budget: Budget | None = None,
        resume: Resume | None = None,
        **overrides: Any,  # Any: fields of the spec
    ) -> Stream[Any]:  # Any: the output's type
        """Start a run whose text is read while it is made; see `Stream`.

        `buffer` is `realtime`, `chat`, `data` or `batch`: a size and a flush interval. The other
        options of the stream are those of `StreamOptions`; what is not given is as `[streaming]`
        says. The rest is as for `submit`. The chunks of a workflow say which `step` they are from.
        """
        self._check_open()
        options = stream_options(
            self.crew.stream_defaults,
            buffer=buffer,
            buffer_size=buffer_size,
            flush_interval=flush_interval,
            text_only=text_only,
            retain=retain,
        )
        output = overrides.get("output", getattr(target, "output", None))
        if options.retain != "full" and output not in (None, str):
            msg = f"retain={options.retain!r} with output=: the whole text is needed to read it"
            raise ConfigError(msg)
        system, streams = self.system, self.crew.streams
        made = make_buffer(options, system)
        run = self._submit(
            target,
            prompt,
            history=history,
            timeout=timeout,
            tenant=tenant,
            session=session,
            budget=budget,
            resume=resume,
            overrides=overrides,
            sink=made,
        )
        try:
            return Stream(run, made, system, streams)
        except BaseException:
            run.cancel()  # nobody will ever read it
            raise

    def check_blocking(self, msg: str) -> None:
        """Raise `WouldDeadlockError` on the thread of this runtime's loop."""
        if threading.get_ident() == self.system.loop_thread:
            raise WouldDeadlockError(msg)

    def refuse(self) -> None:
        """Take no new runs from outside."""
        self._refusing = True

    # -- private -----------------------------------------------------------------------------------

    def _check_open(self) -> None:
        """While the runtime drains it still takes what its own handlers need to finish."""
        if self._refusing:
            hand = in_hand.get()
            if hand is None or hand.cell is None or hand.cell.system is not self.system:
                msg = f"runtime {self.name!r} is stopping and takes no new runs"
                raise RuntimeStoppedError(msg)

    def _submit(
        self,
        target: Runnable,
        prompt: Any,  # Any: as for submit
        *,
        history: tuple[Message, ...],
        timeout: float | None,
        tenant: str | None,
        session: str | None,
        budget: Budget | None,
        resume: Resume | None,
        overrides: dict[str, Any],  # Any: fields of the spec
        sink: StreamBuffer | None = None,
    ) -> Run[Any]:  # Any: Result or WorkflowResult
        if tenant is not None or session is not None:
            with self.scope(tenant=tenant, session=session):
                return self._submit(
                    target,
                    prompt,
                    history=history,
                    timeout=timeout,
                    tenant=None,
                    session=None,
                    budget=budget,
                    resume=resume,
                    overrides=overrides,
                    sink=sink,
                )
        if isinstance(target, AgentSpec):
            return self._submit_agent(
                as_called(target, overrides),
                prompt,
                history=history,
                timeout=timeout,
                budget=budget,
                resume=resume,
                sink=sink,
            )
        if not isinstance(target, WorkflowSpec):
            raise ConfigError(f"{target!r} cannot be run: pass an Agent or a Workflow")
        if history or resume is not None:
            msg = f"workflow {target.name!r} takes no {'history' if history else 'resume'}="
            raise ConfigError(msg)
        if timeout is not None:
            overrides["timeout"] = timeout
        spec = with_changes(target, overrides) if overrides else target
        return self._submit_workflow(spec, prompt, budget, sink)

    def _submit_agent(
        self,
        spec: AgentSpec,
        prompt: str,
        *,
        history: tuple[Message, ...],
        timeout: float | None,
        budget: Budget | None = None,
        resume: Resume | None = None,
        sink: StreamBuffer | None = None,
    ) -> Run[Result[Any]]:  # Any: the output's type
        check_call(prompt, timeout, resume, history)
        crew, name = self.crew, spec.name or "agent"
        account = None if budget is None else account_of(budget)
        origin = crew.origin(account=account)
        named = origin.session != "" and is_turn(origin.session, history)
        begin = self._begin(origin, name)
        try:
            reply = crew.run_agent(
                spec,
                prompt,
                origin=origin,
                history=messages_of(history) if history else (),
                resume=resume,
                timeout=timeout,
                sink=sink,
                named=named,
            )
        except BaseException as error:
            self._never_began(origin, name, begin, error)
            raise
        if account is not None:
            self._timed(account, begin, reply)
        run = OpenRun(self._itself(), reply, origin, output=spec.output)
        return self._opened(run, name, begin)

    def _timed(self, account: Account, begin: float, reply: Reply[Any]) -> None:
        """The seconds of a budget pass while at least one of its runs is under way."""
        account.begin(begin)
        reply.add_done_callback(lambda _: account.end(self.stage.now()))

    def _submit_workflow(
        self,
        spec: WorkflowSpec,
        value: Any,  # Any: what the first steps take
        budget: Budget | None,
        sink: StreamBuffer | None,
    ) -> Run[WorkflowResult]:
        crew = self.crew
        account = None if budget is None else account_of(budget)
        timeout = None
        if account is not None:
            timeout = account.left(self.system.now())
            if timeout is not None:
                timeout = max(timeout, 0.001)
        origin = crew.origin(deeper=True, account=account)
        begin = self._begin(origin, spec.name)
        try:
            reply, ref = crew.run_workflow(spec, value, origin=origin, timeout=timeout, sink=sink)
        except BaseException as error:
            self._never_began(origin, spec.name, begin, error)
            raise
        if account is not None:
            self._timed(account, begin, reply)

        def cancel() -> None:
            if not ref.tell(CancelRun(why="the run was cancelled", of=reply)):
                reply.cancel()

        return self._opened(OpenRun(self._itself(), reply, origin, cancel), spec.name, begin)

    def _begin(self, origin: Origin, name: str) -> float:
        """Tell that a run begins, before anything of it can happen; gives the time."""
        system, events = self.stage, self.events  # that it is open is known: it has a crew
        if events.wants(RunStarted):
            at, run_id, trace_id = system.clock.wall(), origin.run_id or "", origin.trace_id or ""
            events.publish(RunStarted(at=at, run_id=run_id, trace_id=trace_id, name=name))
        return system.now()

    def _never_began(self, origin: Origin, name: str, begin: float, error: BaseException) -> None:
        if self.events.wants(RunFinished) or runs_logger.isEnabledFor(INFO):
            self._tell_end(origin, name, "failed", begin, Outcome(error=error))

    def _opened(self, run: OpenRun[Any], name: str, begin: float) -> Run[Any]:
        run.name, run.begin = name, begin
        self._open_runs[id(run)] = run
        run.reply.add_done_callback(run)
        return run

    def _ended(self, run: OpenRun[Any]) -> None:
        """It is over; called once, on the thread that has answered it."""
        self._open_runs.pop(id(run), None)
        if self._refusing and not self._open_runs:
            self._ran_dry()
        if self.events.wants(RunFinished) or runs_logger.isEnabledFor(INFO):
            self._tell_end(run.origin, run.name, run.status, run.begin, run.reply.outcome())

    def _tell_end(
        self, origin: Origin, name: str, status: str, begin: float, outcome: Outcome
    ) -> None:
        value = outcome.value if outcome.error is None else getattr(outcome.error, "partial", None)
        if isinstance(value, (Result, WorkflowResult)):
            usage = value.usage
        else:
            usage = getattr(outcome.error, "usage", None) or Usage()
        system = self.stage
        duration = system.now() - begin
        if runs_logger.isEnabledFor(INFO):
            log_run(
                origin, name, status=status, duration=duration, usage=usage, error=outcome.error
            )
        if not self.events.wants(RunFinished):
            return
        event = RunFinished(
            at=system.clock.wall(),
            run_id=origin.run_id or "",
            trace_id=origin.trace_id or "",
            name=name,
            status=status,
            duration=duration,
            usage=usage,
            error=None if outcome.error is None else to_wire(outcome.error),
        )
        self.events.publish(event)
