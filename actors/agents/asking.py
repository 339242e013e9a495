"""One turn of a run: asking the model, and another one where it cannot.

Every call is counted here, whatever becomes of it: one that fails has used what its error says, one
that is cut off is estimated when the run is asked for it (`Progress.blame`).
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

import msgspec

from understudy.actors.agents.hooking import hooked
from understudy.actors.agents.ports import Answers, Company, ServedModel, Sink
from understudy.actors.agents.progress import Progress
from understudy.actors.agents.remembering import fitting, with_passages
from understudy.actors.agents.spending import (
    begin_call,
    charge,
    check_priced,
    exceeded,
    seconds_left,
)
from understudy.actors.kernel.ref import INFINITE
from understudy.actors.rules.retries import falls_back
from understudy.messages.agents import AgentSpec
from understudy.messages.caches import Cached
from understudy.messages.chat import Message, SystemMessage
from understudy.messages.errors import (
    BudgetExceededError,
    ContentFilterError,
    DeadlineExceededError,
    UnderstudyError,
)
from understudy.messages.hooks import Hooks
from understudy.messages.models import (
    Complete,
    CompleteStream,
    Completion,
    Insist,
    ToolDeclaration,
)

if TYPE_CHECKING:
    from understudy.actors.agents.output import OutputPlan
    from understudy.actors.agents.window import Window


class Asking:
    """Asks the models of one run, the first that can answer.

    Args:
        company: finds them, and counts tokens.
        run: is told what every call took.
        messages: what the first turn is asked with.
        tools: what the model may call.
        plan: what the answer shall be, where it is no text.
        answers: the cache that is asked first, if there is one.
    """

    __slots__ = ("_answers", "_models", "_own", "_rest", "_run", "_served", "_window", "request")

    def __init__(
        self,
        company: Company,
        run: Progress,
        messages: tuple[Message, ...],
        tools: tuple[ToolDeclaration, ...],
        plan: OutputPlan | None,
        *,
        answers: Answers | None = None,
    ) -> None:
        spec = run.message.spec
        self._answers = answers
        models = self._models = company.models
        self._run = run
        self._own = 0  # messages of this run before it was resumed
        self._rest = spec.fallback
        served = run.served = self._served = models.find(spec)
        if run.origin.accounts:
            check_priced(run, served)
        defaults = models.defaults
        if spec.instructions is not None:
            messages = _with_system(spec.instructions, messages)
        self._window: Window | None = None
        if run.recollection is not None or (
            spec.history_limit is not None or spec.context_window is not None
        ):
            messages = self._cut(company, messages, tools)
        self.request = Complete(
            model=served.model,
            messages=messages,
            temperature=defaults.temperature if spec.temperature is None else spec.temperature,
            max_tokens=spec.max_tokens or defaults.max_tokens,
            stop=spec.stop,
            seed=spec.seed,
            tools=tools,
            output=None if plan is None else plan.request,
            extra=spec.extra,
        )

    def more(self, messages: tuple[Message, ...]) -> None:
        """The conversation goes on with these."""
        said = (*self.request.messages, *messages)
        if self._window is not None:
            said = self._window.fit(said, self._own + len(self._run.added))
        self.request = msgspec.structs.replace(self.request, messages=said)

    def ask(
        self, request: Complete | None = None, *, streamed: bool = True
    ) -> Awaitable[Completion]:
        """The model's answer to what was said so far, or to another request.

        Args:
            request: instead of the conversation as it is.
            streamed: False: nobody hears it while it is made, also where the run is a stream.

        Raises:
            BudgetExceededError: nothing is left to ask with.
            ContentFilterError: the model refused.
            HookError: a hook raised.
            UnderstudyError: no model could answer; the last one's error.
        """
        message = self._run.message
        sink = message.sink if streamed else None
        if request is None:
            request = self.request
        if message.spec.hooks is None:
            return self._first_that_can(request, sink)
        return self._between(message.spec.hooks, request, sink)

    async def _between(self, hooks: Hooks, request: Complete, sink: Sink | None) -> Completion:
        """The answer, between what the user's hooks make of the question and of it."""
        run = self._run
        instead = await hooked(hooks, "before_model", request)
        if isinstance(instead, Completion):
            run.last, run.cached = instead, None
            return instead
        request = request if instead is None else instead
        completion = await self._first_that_can(request, sink)
        instead = await hooked(hooks, "after_model", request, completion)
        if instead is not None:
            run.last = completion = instead
        if completion.finish_reason == "content_filter":
            raise self._refused(completion)
        return completion

    def _cut(
        self, company: Company, messages: tuple[Message, ...], tools: tuple[ToolDeclaration, ...]
    ) -> tuple[Message, ...]:
        """The conversation as the agent's bounds allow it, with the passages of its memory."""
        run, spec, given = self._run, self._run.message.spec, self._run.recollection
        limit = spec.history_limit
        if limit is None and given is not None:
            limit = run.message.memory.rag.history_limit
        resume = run.message.resume
        if resume is not None:
            self._own = len(resume.pending.messages) - resume.pending.before
        own = self._own + len(run.added)
        window = None
        if limit is not None or spec.context_window is not None:
            from understudy.actors.agents.window import Window

            missing = 0 if given is None else given.missing
            window = Window(spec, company.tokenizer, tools, limit=limit, missing=missing)
        if given is not None and given.passages:
            room = None if window is None else window.room(messages, own)
            if room is not None:
                given.passages = fitting(given.passages, room, company.tokenizer)
            messages = with_passages(messages, given.passages)
        if window is not None:
            self._window = window
            messages = window.begin(messages, own, len(run.before) - self._own)
            run.trimmed = window.trimmed
        return messages

    async def _first_that_can(self, request: Complete, sink: Sink | None) -> Completion:
        run, answers = self._run, self._answers
        while True:
            covers = answers is not None and answers.covers(request, sink)
            seconds = None if covers else self._begin(request)
            try:
                if answers is not None and covers:
                    completion, run.cached = await self._from_cache(answers, request, sink)
                else:
                    completion, run.cached = await self._send(request, sink, seconds), None
            except BudgetExceededError:
                raise  # before anything was asked
            except UnderstudyError as error:
                self._count_failed(error)
                if run.origin.accounts and isinstance(error, DeadlineExceededError):
                    self._check_seconds(error)
                delivered = sink is not None and run.has_begun_to_say
                if not self._rest or not falls_back(error, delivered=delivered):
                    raise
                request = self._next(request)
                continue
            run.asking = None
            if run.cached is None:
                spent = completion.spent
                run.waited += completion.waited
                cost = run.count(spent, completion.attempts)
                if run.origin.accounts:
                    charge(run, spent, cost)
            run.last = completion
            refused = completion.finish_reason == "content_filter"
            if refused and run.message.spec.hooks is None:
                raise self._refused(completion)  # else the hook sees it first
            return completion

    def _begin(self, request: Complete) -> float | None:
        """A call is made now; gives the seconds that it may take, None where no budget says."""
        run = self._run
        seconds = begin_call(run) if run.origin.accounts else None
        run.asking = request
        return seconds

    async def _from_cache(
        self, answers: Answers, request: Complete, sink: Sink | None
    ) -> tuple[Completion, Cached | None]:
        """The answer that is kept, or that somebody else is having made, or a new one."""
        run = self._run
        accounts = run.origin.accounts

        def begin(into: Any) -> Any:  # Any: a sink, or None; a Reply
            self._begin(request)
            # Without an end of its own: it goes on for as long as anybody waits.
            return self._send(request, into, INFINITE)

        return await answers.ask(
            request,
            self._served,
            begin,
            sink=sink,
            seconds=seconds_left(run) if accounts else None,
            tenant=run.origin.tenant,
        )

    def _send(
        self, request: Complete, sink: Sink | None, seconds: float | None
    ) -> Awaitable[Completion]:
        run = self._run
        retries = run.message.spec.retries
        asked: Any = request if sink is None else CompleteStream(request=request, sink=sink)
        if retries is not None:
            asked = Insist(request=asked, retries=retries)
        reply: Awaitable[Completion] = self._served.ref.request(asked, timeout=seconds)
        return reply

    def _next(self, request: Complete) -> Complete:
        """The same request for the next model."""
        run, spec = self._run, self._run.message.spec
        model, self._rest = self._rest[0], self._rest[1:]
        before = run.served
        served = self._models.find(spec_for(spec, model, before))
        run.served = self._served = served
        if run.origin.accounts:
            check_priced(run, served)
        self.request = msgspec.structs.replace(self.request, model=served.model)
        return msgspec.structs.replace(request, model=served.model)

    def _count_failed(self, error: UnderstudyError) -> None:
        run = self._run
        if error.usage is None and isinstance(error, DeadlineExceededError):
            run.cut_off()
            return
        run.asking = None
        if error.usage is not None:
            cost = run.count(error.usage, error.attempts)
            charge(run, error.usage, cost)
        else:
            run.attempts += error.attempts

    def _check_seconds(self, error: DeadlineExceededError) -> None:
        """The time that was over may be a budget's."""
        now = self._run.now()
        for account in self._run.origin.accounts:
            left = account.left(now)
            if left is not None and left <= 0:
                raise exceeded(self._run, f"seconds={account.limit.seconds:g}") from error

    def _refused(self, completion: Completion) -> ContentFilterError:
        served = self._run.served
        whose = "" if served is None else f"{served.provider}:{served.model} "
        return ContentFilterError(
            f"{whose}refused to answer (content filter); word the prompt otherwise, or use "
            "another model",
            provider=completion.provider if served is None else served.provider,
            model=completion.model if served is None else served.model,
            request_id=completion.request_id,
            partial=completion.message.content or None,
        )


def _with_system(instructions: str, messages: tuple[Message, ...]) -> tuple[Message, ...]:
    for each in messages:
        if isinstance(each, SystemMessage):
            return messages
    return (SystemMessage(content=instructions), *messages)


def spec_for(spec: AgentSpec, model: Any, before: ServedModel | None) -> AgentSpec:
    """The agent with another model; its address and key are for its own provider alone."""
    provider = model.partition(":")[0] if isinstance(model, str) else None
    if before is not None and provider == before.provider:
        return msgspec.structs.replace(spec, model=model)
    return msgspec.structs.replace(spec, model=model, base_url=None, api_key=None)
