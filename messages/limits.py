"""Limits: what an account may do, and what is said to the Limiter that keeps it."""

from __future__ import annotations

from typing import Literal

import msgspec

from understudy.messages.kinds import more_than_nothing

_MORE = more_than_nothing("more than 0, or leave it out")


class Limit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be asked of one account; None is unlimited.

    Attributes:
        tokens_per_minute: input and output together.
        input_tokens_per_minute, output_tokens_per_minute: where the provider counts them apart.
        max_concurrent: calls under way at a time.
        burst: seconds' worth of each rate that may pass at once after a quiet time; a call that
            costs more than that passes when nothing was used for so long, and is owed.
        queue: callers that may wait.
    """

    requests_per_second: float | None = None
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    input_tokens_per_minute: float | None = None
    output_tokens_per_minute: float | None = None
    max_concurrent: int | None = None
    burst: float = 1.0
    queue: int = 10_000

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value is not None:
                _MORE.check("Limit", name, value)


class Acquire(msgspec.Struct, frozen=True, kw_only=True):
    """Ask for the permit of one call; the reply is a `Permit`, when there is room.

    Attributes:
        ticket: names this call to the limiter, chosen by the caller and used once; `Settle` with it
            gives everything back, the place in the queue too, whether a permit came or not.
        model: whose limits count, where the provider tells of limits by model.
        input_tokens: an estimate; 0 where nobody counts them.
        output_tokens: the most that was asked for: providers charge it up front.
        tenant, session: whose turn it is: callers take turns by them.
        priority: lower goes first.
    """

    ticket: str
    model: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    tenant: str = ""
    session: str = ""
    priority: int = 0


class Permit(msgspec.Struct, frozen=True, kw_only=True):
    """Leave for one call; give it back with `Settle`.

    Attributes:
        waited: seconds in the queue.
        probe: the breaker is half open: this call decides.
    """

    ticket: str
    waited: float
    probe: bool = False


Ended = Literal["answered", "refused", "limited", "failed", "unknown"]
"""How a call ended, to a limiter: with an answer; refused for what it asked (4xx); 429; a failure
of the provider (5xx, no connection, too late); or nobody knows, because it was cancelled."""


class Settle(msgspec.Struct, frozen=True, kw_only=True):
    """A call has ended: what it really used, and how it ended.

    Attributes:
        ticket: as in `Acquire`.
        input_tokens, output_tokens: None when nobody knows; then the estimate stands.
        ended: `failed` feeds the breaker, `limited` closes the gate.
        retry_after: seconds the provider asked to wait.
        headroom: what its headers say is left.
    """

    ticket: str
    input_tokens: int | None = None
    output_tokens: int | None = None
    ended: Ended = "answered"
    retry_after: float | None = None
    headroom: tuple[Headroom, ...] = ()


class Headroom(msgspec.Struct, frozen=True, kw_only=True):
    """One bucket as the provider counts it: `requests`, `tokens`, `input_tokens`, `output_tokens`.

    Attributes:
        limit: units when it is full, if said.
        remaining: units that are left.
        reset: seconds until it is full again.
    """

    dimension: str
    remaining: float
    reset: float
    limit: float | None = None


class LimiterStats(msgspec.Struct, frozen=True, kw_only=True):
    """A limiter at one instant; `closed_for` in seconds, after a 429."""

    in_flight: int
    waiting: int
    granted: int
    refused: int
    limited: int
    closed_for: float
    breaker: str


class Adjust(msgspec.Struct, frozen=True, kw_only=True):
    """Tell a limiter that its account may do something else from now on."""

    limit: Limit


class AskStats(msgspec.Struct, frozen=True):
    """Ask a limiter for its `LimiterStats`."""
