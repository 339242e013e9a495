"""Permits: what a Model actor says to the limiter of its account.

One attempt, one permit: asked for before it, given back after it with what it used and how it
    ended. What a limiter must hear of is decided here, once: a 429 closes its gate, failures of
    the provider feed its breaker, and a caller's own mistake or change of mind is neither.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from understudy.actors.kernel.ref import Ref
from understudy.messages.chat import text_of
from understudy.messages.errors import (
    ConnectError,
    DeadlineExceededError,
    ModelError,
    RateLimitError,
    ServerError,
    StreamBrokenError,
)
from understudy.messages.limits import Acquire, Permit, Settle
from understudy.messages.models import Complete, Completion, Embed, Embeddings

_PROVIDERS_FAULT = (ServerError, ConnectError, StreamBrokenError, DeadlineExceededError)


class Attempt:
    """What is known about one attempt."""

    __slots__ = ("answer",)

    def __init__(self) -> None:
        self.answer: Completion | Embeddings | None = None

    def used(self, answer: Completion | Embeddings) -> None:
        """It has succeeded."""
        self.answer = answer


class Permits:
    """Asks for permits and gives them back."""

    def __init__(self, limiter_for: Callable[[str], Ref[Any] | None]) -> None:
        self._limiter_for = limiter_for

    @asynccontextmanager
    async def of(self, request: Complete | Embed) -> AsyncIterator[Attempt]:
        """Wait for a permit, and give it back at the end of the block.

        Raises:
            RateLimitError, BreakerOpenError, OverloadedError: there is none.
        """
        attempt = Attempt()
        limiter = self._limiter_for(request.model)
        if limiter is None:
            yield attempt
            return
        permit: Permit = await limiter.request(_ask(request))
        settle = Settle(permit=permit)
        try:
            yield attempt
            settle = _succeeded(permit, attempt.answer)
        except BaseException as error:
            settle = _failed(permit, error)
            raise
        finally:
            limiter.tell(settle)


def _ask(request: Complete | Embed) -> Acquire:
    """What a call will cost, by a cheap estimate: four characters a token."""
    if isinstance(request, Embed):
        return Acquire(input_tokens=1 + sum(map(len, request.texts)) // 4)
    length = 0
    for message in request.messages:
        length += len(text_of(message)) + 16
    return Acquire(input_tokens=1 + length // 4, output_tokens=request.max_tokens or 0)


def _succeeded(permit: Permit, answer: Completion | Embeddings | None) -> Settle:
    if answer is None or not answer.usage.measured:
        return Settle(permit=permit)
    return Settle(
        permit=permit,
        input_tokens=answer.usage.input_tokens,
        output_tokens=answer.usage.output_tokens,
        headroom=getattr(answer, "headroom", ()),
    )


def _failed(permit: Permit, error: BaseException) -> Settle:
    if isinstance(error, RateLimitError):
        # Out of money is no matter of time: the gate stays open, the next caller hears it too.
        return Settle(permit=permit, limited=error.retryable, retry_after=error.retry_after)
    if isinstance(error, ModelError) and error.status is not None and error.status < 500:
        return Settle(permit=permit, output_tokens=0)
    return Settle(permit=permit, ok=not isinstance(error, _PROVIDERS_FAULT))
