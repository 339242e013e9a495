"""The Model actor: one account at one provider.

It serves any number of calls at a time: each runs in the background over the provider, and is
answered when it comes back, without a message of its own: that would be the dearest part of it, and
what a success needs is in the call. A call that nobody waits for any more is cancelled, and with it
the socket. A failing call is the caller's answer, never the actor's failure.

It is the one owner of a model call's failures: what may help is tried again (see `rules.retries`),
as a message to itself and never as a sleep, within the caller's deadline and a budget for all
callers; an error that leaves here says how often it was tried and is not to be retried by anybody
else. Nothing is tried again once text was delivered. Where a limiter is set, every attempt has a
permit of its own, and tells how it ended.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from understudy.actors.kernel.actor import Actor
from understudy.actors.kernel.deferred import Deferred
from understudy.actors.kernel.ref import Ref
from understudy.actors.models.permits import Permits, failed, gave_up, settle, succeeded, told
from understudy.actors.models.provider import Embedder, Provider
from understudy.actors.models.spending import NOTHING, spent_by
from understudy.actors.models.streaming import stream_into
from understudy.actors.rules.retries import RetryBudget, RetryPolicy, retry_delay
from understudy.messages.chat import Usage
from understudy.messages.control import Outcome
from understudy.messages.errors import (
    BadRequestError,
    ModelError,
    OverloadedError,
    ResponseError,
    UnderstudyError,
    to_wire,
)
from understudy.messages.events import ModelRetried
from understudy.messages.limits import Permit
from understudy.messages.models import (
    Complete,
    CompleteStream,
    Completion,
    Embed,
    Embeddings,
    Insist,
)

Request = Complete | CompleteStream | Embed


class Call(msgspec.Struct):
    """A call under way: who waits for it, what it asks, how often it was tried.

    Its attempt ends by calling it: a closure would be three more objects for the cycle collector,
    for each call under way.
    """

    model: ModelActor
    deferred: Deferred
    request: Request
    attempts: int = 0
    wasted: Usage | None = None
    """What attempts have used that failed."""
    retries: int | None = None
    """Further attempts, where the caller says how many."""
    waited: float = 0.0
    """Seconds that its attempts waited for permits."""
    beginning: bool = False
    """Its attempt is being begun: what has failed then needs no message to say so."""

    @property
    def asked(self) -> Complete | Embed:
        """What it asks, streamed or not."""
        request = self.request
        if isinstance(request, Complete):
            return request
        return request.request if isinstance(request, CompleteStream) else request

    def __call__(self, outcome: Outcome) -> Failed | None:
        """Answer, or tell the actor; of an attempt that fails as it begins, in its handler."""
        error = outcome.error
        if error is None:
            self.answer(outcome.value)
        elif self.beginning:
            self.model.failed(self, error)
        else:
            return Failed(self, error)
        return None

    def answer(self, answer: Completion | Embeddings) -> None:
        """The attempt has succeeded."""
        if isinstance(answer, Completion) and (self.attempts > 1 or self.waited):
            attempts = answer.attempts + self.attempts - 1
            answer = msgspec.structs.replace(
                answer, attempts=attempts, wasted=self.wasted, waited=self.waited
            )
        self.deferred.set(answer)


class Failed(msgspec.Struct, frozen=True):
    """An attempt has failed (from the actor to itself)."""

    call: Call
    error: BaseException


class Again(msgspec.Struct, frozen=True):
    """It is time for the next attempt (from the actor to itself)."""

    call: Call


class ModelActor(Actor):
    """Calls `provider`; replies with a `Completion`, or `Embeddings`.

    Args:
        provider: who is called.
        limiter_for: the limiter of a model's name, or None where there is none.
        policy: how often a call is tried.
    """

    expects = (OverloadedError,)

    def __init__(
        self,
        provider: Provider,
        limiter_for: Callable[[str], Ref[Any] | None] = lambda _: None,  # Any: Ref of a limiter
        policy: RetryPolicy | None = None,
    ) -> None:
        self._provider = provider
        owner = f"{self._cell.path}/{self._cell.incarnation}"
        self._permits = Permits(limiter_for, owner)
        self._policy = policy or RetryPolicy()
        self._budget = RetryBudget()

    async def on_receive(self, message: Request | Insist | Failed | Again) -> None:
        """Begin a call, see what becomes of one that has failed, or try one again."""
        if isinstance(message, Complete):  # first: a class that does not match takes the longest
            self._budget.called()
            self._begin(Call(self, self.defer(), message))
        elif isinstance(message, Failed):
            self.failed(message.call, message.error)
        elif isinstance(message, Again):
            self._begin_again(message.call)
        elif isinstance(message, Insist):
            self._budget.called()
            self._begin(Call(self, self.defer(), message.request, retries=message.retries))
        else:
            self._budget.called()
            self._begin(Call(self, self.defer(), message))

    async def on_stop(self) -> None:
        """Let go of the provider."""
        await self._provider.aclose()

    # -- one attempt -------------------------------------------------------------------------------

    def _begin(self, call: Call) -> None:
        call.attempts += 1
        call.beginning = True
        self.background(self._attempt(call), then=call, of=call.deferred)
        call.beginning = False

    def _begin_again(self, call: Call) -> None:
        if call.deferred.done:
            return
        try:
            self._begin(call)
        except OverloadedError as error:  # by attempts that were cancelled and do not end
            call.deferred.set_exception(error)

    async def _attempt(self, call: Call) -> Completion | Embeddings:
        request = call.asked
        limiter = self._permits.limiter_for(request.model)
        if limiter is None:
            return self._checked(call, await self._answer(call))
        acquire = self._permits.acquire(limiter, request)
        held = False
        try:  # no context manager: two coroutines more, and one object for each call under way
            if not told(limiter, acquire):
                permit: Permit = await limiter.request(acquire)
                call.waited += permit.waited
            held = True
            answer = self._checked(call, await self._answer(call))
            ended = succeeded(acquire.ticket, answer)
        except BaseException as error:
            ticket = acquire.ticket
            settle(limiter, failed(ticket, error, request) if held else gave_up(ticket))
            raise
        settle(limiter, ended)
        return answer

    def _answer(self, call: Call) -> Awaitable[Completion | Embeddings]:
        request, deadline = call.request, call.deferred.envelope.deadline
        left = None if deadline is None else deadline - self._cell.system.now()
        if isinstance(request, Complete):
            return self._provider.complete(request, timeout=left)
        if isinstance(request, CompleteStream):
            return stream_into(self._provider, request.request, request.sink, left)
        return self._embedder(request.model).embed(request, timeout=left)

    def _checked(self, call: Call, answer: Completion | Embeddings) -> Completion | Embeddings:
        """The answer, which a provider of somebody else's may have got wrong."""
        given: object = answer
        wanted = Embeddings if type(call.request) is Embed else Completion
        if isinstance(given, wanted):
            return answer
        why = f"gave a {type(given).__name__}, no {wanted.__name__}"
        raise self._misbehaved(why, call.asked)

    def _embedder(self, model: str) -> Embedder:
        provider = self._provider
        if isinstance(provider, Embedder):
            return provider
        msg = f"{provider.name} makes no embeddings; use openai, gemini or ollama for that"
        raise BadRequestError(msg, provider=provider.name, model=model)

    def _misbehaved(self, how: str, request: Complete | Embed) -> ResponseError:
        name = self._provider.name
        return ResponseError(f"{name} {how}", provider=name, model=request.model)

    # -- its end -----------------------------------------------------------------------------------

    def failed(self, call: Call, error: BaseException) -> None:
        """An attempt has failed: try the call again in a while, or answer with the error."""
        if isinstance(error, SystemExit | GeneratorExit):  # whoever asked shall not end of it
            why = f"raised {type(error).__name__}: {error}"
            error = self._misbehaved(why, call.asked).with_traceback(error.__traceback__)
        used = spent_by(error, call.asked)
        if used is not None and used != NOTHING:
            call.wasted = used if call.wasted is None else call.wasted + used
        delay = self._delay(call, error)
        if delay is None:
            if isinstance(error, UnderstudyError):
                error.attempts, error.retryable = call.attempts, False
                error.usage = call.wasted
            if isinstance(error, ModelError) and error.provider is None:  # a limiter's
                error.provider, error.model = self._provider.name, call.asked.model
            call.deferred.set_exception(error)
            return
        self._tell_retried(call, error, delay)
        self.timer(Again(call), after=delay)

    def _delay(self, call: Call, error: BaseException) -> float | None:
        """Seconds until the next attempt, or None when there is none."""
        if not isinstance(error, ModelError) or not error.retryable or call.deferred.done:
            return None
        draw = self._cell.system.random.random()
        policy = self._policy
        if call.retries is not None:
            policy = msgspec.structs.replace(policy, attempts=call.retries + 1)
        delay = retry_delay(policy, call.attempts, draw, error.retry_after)
        deadline = call.deferred.envelope.deadline
        if delay is None or (deadline is not None and self._cell.system.now() + delay >= deadline):
            return None
        return delay if self._budget.spend() else None

    def _tell_retried(self, call: Call, error: BaseException, delay: float) -> None:
        system = self._cell.system
        if not system.events.wants(ModelRetried):
            return
        system.events.publish(
            ModelRetried(
                at=system.clock.wall(),
                provider=self._provider.name,
                model=call.asked.model,
                attempt=call.attempts + 1,
                delay=delay,
                error=to_wire(error),
            )
        )
