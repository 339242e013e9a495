"""Permits: what a Model actor says to the limiter of its account.

One attempt, one ticket: a permit is asked for before it, and settled after it with what it used and
how it ended. What a limiter must hear of is decided here, once: a 429 closes its gate, failures of
the provider feed its breaker, and a caller's own mistake or change of mind is neither.

Guarantee: every ticket is settled, whether the permit came, was refused, or the caller was
cancelled while it was on its way. That message is sent on its own behalf: with the deadline or the
cancellation of the call, which is often why it ends, it would be dropped.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from understudy.actors.kernel.origins import origin_in_hand
from understudy.actors.kernel.ref import Ref
from understudy.actors.models.spending import estimate, spent_by
from understudy.messages.envelope import Envelope, Lane, Origin
from understudy.messages.errors import (
    ConnectError,
    DeadlineExceededError,
    ModelError,
    RateLimitError,
    ServerError,
    StreamBrokenError,
)
from understudy.messages.limits import Acquire, Ended, Permit, Settle
from understudy.messages.models import Complete, Completion, Embed, Embeddings

_PROVIDERS_FAULT = (ServerError, ConnectError, StreamBrokenError, DeadlineExceededError)
_NOWHERE = Origin()


class Attempt:
    """One attempt, as an asynchronous context: a permit before it, its end told after it.

    Raises:
        RateLimitError, BreakerOpenError, OverloadedError: on entering: there is no permit.
    """

    __slots__ = ("_limiter", "_request", "_ticket", "answer", "waited")

    def __init__(
        self,
        limiter: Ref[Any],  # Any: Ref of a limiter
        ticket: str,
        request: Complete | Embed,
    ) -> None:
        self._limiter = limiter
        self._ticket = ticket
        self._request = request
        self.answer: Completion | Embeddings | None = None
        self.waited = 0.0
        """Seconds until the permit came."""

    def used(self, answer: Completion | Embeddings) -> None:
        """It has succeeded."""
        self.answer = answer

    async def __aenter__(self) -> Self:
        try:
            permit: Permit = await self._limiter.request(_ask(self._ticket, self._request))
        except BaseException:
            self._settle(Settle(ticket=self._ticket, ended="unknown"))
            raise
        self.waited = permit.waited
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self._settle(_succeeded(self._ticket, self.answer))
        else:
            self._settle(_failed(self._ticket, error, self._request))

    def _settle(self, settle: Settle) -> None:
        cell = self._limiter.cell
        cell.post(Envelope(settle, cell=cell, lane=Lane.ANSWER))


class Permits:
    """Asks for permits and gives them back.

    Args:
        limiter_for: the limiter of a model's name, or None where there is none.
        owner: who asks: no two at a time may have the same name.
    """

    def __init__(
        self, limiter_for: Callable[[str], Ref[Any] | None], owner: str
    ) -> None:  # Any: Ref of a limiter
        self._limiter_for = limiter_for
        self._owner = owner
        self._numbers = itertools.count(1)

    def of(self, request: Complete | Embed) -> Attempt | None:
        """An attempt that waits for a permit first; None when nobody bounds this model."""
        limiter = self._limiter_for(request.model)
        if limiter is None:
            return None
        return Attempt(limiter, f"{self._owner}#{next(self._numbers)}", request)


def _ask(ticket: str, request: Complete | Embed) -> Acquire:
    """What a call will cost, by a cheap estimate; and whose turn it is.

    Who names no session takes turns by trace: a workflow of a thousand steps is one caller.
    """
    origin = origin_in_hand() or _NOWHERE
    return Acquire(
        ticket=ticket,
        model=request.model,
        input_tokens=estimate(request),
        output_tokens=getattr(request, "max_tokens", None) or 0,
        tenant=origin.tenant,
        session=origin.session or origin.trace_id or "",
    )


def _succeeded(ticket: str, answer: Completion | Embeddings | None) -> Settle:
    if answer is None:
        return Settle(ticket=ticket)
    measured = answer.usage.measured
    return Settle(
        ticket=ticket,
        input_tokens=answer.usage.input_tokens if measured else None,
        output_tokens=answer.usage.output_tokens if measured else None,
        headroom=getattr(answer, "headroom", ()),
    )


def _failed(ticket: str, error: BaseException, request: Complete | Embed) -> Settle:
    ended = _ended(error)
    used = spent_by(error, request)
    return Settle(
        ticket=ticket,
        input_tokens=None if used is None else used.input_tokens,
        output_tokens=None if used is None else used.output_tokens,
        ended=ended,
        retry_after=error.retry_after if isinstance(error, RateLimitError) else None,
    )


def _ended(error: BaseException) -> Ended:
    if isinstance(error, RateLimitError):
        # Out of money is no matter of time: the gate stays open, the next caller hears it too.
        return "refused" if error.spent else "limited"
    if isinstance(error, ModelError) and error.status is not None and error.status < 500:
        return "refused"
    return "failed" if isinstance(error, _PROVIDERS_FAULT) else "unknown"
