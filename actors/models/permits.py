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
from typing import Any

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
from understudy.messages.limits import Acquire, Ended, Settle
from understudy.messages.models import Complete, Completion, Embed, Embeddings

_PROVIDERS_FAULT = (ServerError, ConnectError, StreamBrokenError, DeadlineExceededError)
_NOWHERE = Origin()
_ANSWER = Lane.ANSWER


class Permits:
    """Asks for permits and gives them back.

    Args:
        limiter_for: the limiter of a model's name, or None where there is none.
        owner: who asks: no two at a time may have the same name.
    """

    def __init__(
        self, limiter_for: Callable[[str], Ref[Any] | None], owner: str
    ) -> None:  # Any: Ref of a limiter
        self.limiter_for = limiter_for
        self._owner = owner
        self._numbers = itertools.count(1)

    def acquire(self, limiter: Ref[Any], request: Complete | Embed) -> Acquire:  # Any: as above
        """What an attempt asks of its limiter: what it will cost, and whose turn it is.

        Who names no session takes turns by trace: a workflow of a thousand steps is one caller.
        """
        origin = origin_in_hand() or _NOWHERE
        weighed = getattr(limiter.cell.actor, "counts_tokens", True)  # None: it has ended
        return Acquire(
            ticket=f"{self._owner}#{next(self._numbers)}",
            model=request.model,
            input_tokens=estimate(request) if weighed else 0,
            output_tokens=getattr(request, "max_tokens", None) or 0,
            tenant=origin.tenant,
            session=origin.session or origin.trace_id or "",
        )


def told(limiter: Ref[Any], acquire: Acquire) -> bool:  # Any: as above
    """Take a permit without waiting for it, where the limiter says that nobody has to.

    It has nothing to limit then, and no message that could change that, so its answer is known, and
    asking costs three times as much as telling. Only on the loop, where both of them live.
    """
    cell = limiter.cell
    # Suspended it is between two lives, or for good: what the last one has said counts no more.
    if cell.scheduled or cell.suspended or not getattr(cell.actor, "free", False):
        return False
    cell.post(Envelope(acquire, None, None, None, None, cell, _ANSWER))
    return True


def settle(limiter: Ref[Any], how: Settle) -> None:  # Any: as above
    """Give a ticket back."""
    cell = limiter.cell
    cell.post(Envelope(how, None, None, None, None, cell, _ANSWER))


def gave_up(ticket: str) -> Settle:
    """No permit came, or nobody took it."""
    return Settle(ticket=ticket, ended="unknown")


def succeeded(ticket: str, answer: Completion | Embeddings) -> Settle:
    """The attempt was answered."""
    usage = answer.usage
    measured = usage.measured
    return Settle(
        ticket=ticket,
        input_tokens=usage.input_tokens if measured else None,
        output_tokens=usage.output_tokens if measured else None,
        headroom=getattr(answer, "headroom", ()),
    )


def failed(ticket: str, error: BaseException, request: Complete | Embed) -> Settle:
    """The attempt has failed, with its permit."""
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
