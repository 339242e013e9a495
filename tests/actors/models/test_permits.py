"""What a Model actor asks of its limiter."""

import asyncio
from typing import Any

import pytest

from understudy import Ref, Runtime, child
from understudy.actors.limiters.limiter import LimiterActor
from understudy.actors.models.permits import Permits
from understudy.actors.models.spending import estimate
from understudy.messages.chat import UserMessage
from understudy.messages.limits import Acquire, Adjust, AskStats, Headroom, Limit, Settle
from understudy.messages.models import Complete
from understudy.testing import SimRuntime

REQUEST = Complete(model="m", messages=(UserMessage(content="hello " * 100),), max_tokens=7)
TAUGHT = Headroom(dimension="tokens", remaining=900, reset=1.0, limit=1_000)
BY_CALLS = Headroom(dimension="requests", remaining=900, reset=1.0, limit=1_000)


async def taught(limiter: Ref[Any], headroom: Headroom) -> None:
    """A call has ended whose headers say that."""
    await limiter.request(Acquire(ticket="taught", model="m"))
    limiter.tell(Settle(ticket="taught", headroom=(headroom,)))
    await limiter.request(AskStats())


def asked(limit: Limit, headroom: Headroom | None = None, then: Limit | None = None) -> Acquire:
    """What a call asks of a limiter that has been taught this, and told of another limit then."""

    async def main(rt: Runtime) -> Acquire:
        limiter = await rt.aspawn(child(LimiterActor, "acme", limit))
        if headroom is not None:
            await taught(limiter, headroom)
        if then is not None:
            limiter.tell(Adjust(limit=then))
            await asyncio.sleep(1)
        permits = Permits(lambda _: limiter, "me")
        first, second = (permits.acquire(limiter, REQUEST) for _ in range(2))
        assert first.ticket != second.ticket
        return first

    return SimRuntime(1).run(main)


@pytest.mark.parametrize(
    "limit",
    [
        Limit(tokens_per_minute=1e6),
        Limit(input_tokens_per_minute=1e6),
        Limit(output_tokens_per_minute=1e6),
    ],
)
def test_tokens_are_estimated_where_somebody_counts_them(limit: Limit) -> None:
    """By what the request says, and the most that it may be answered."""
    acquire = asked(limit)
    assert (acquire.input_tokens, acquire.output_tokens) == (estimate(REQUEST), 7)


def test_tokens_are_estimated_where_headers_have_told_of_them() -> None:
    """Also when the account's own limit has none, before and after it is told of another."""
    assert asked(Limit(), TAUGHT).input_tokens == estimate(REQUEST)
    assert asked(Limit(), TAUGHT, Limit(max_concurrent=9)).input_tokens == estimate(REQUEST)


def test_tokens_that_nobody_counts_are_not_estimated() -> None:
    """Limits by calls need none, and neither does a limit on tokens that is no more."""
    assert asked(Limit(requests_per_second=9, max_concurrent=9)).input_tokens == 0
    assert asked(Limit(), BY_CALLS).input_tokens == 0
    assert asked(Limit(tokens_per_minute=9), then=Limit()).input_tokens == 0


def test_calls_from_before_a_bucket_are_not_settled_with_it() -> None:
    """They took nothing out of it: the provider's headers have counted what they use."""

    async def main(rt: Runtime) -> float:
        limiter = await rt.aspawn(child(LimiterActor, "acme", Limit()))
        await limiter.request(Acquire(ticket="before", model="m"))
        await taught(limiter, TAUGHT)
        limiter.tell(Settle(ticket="before", input_tokens=9_000, output_tokens=900))
        permit = await limiter.request(Acquire(ticket="next", model="m", input_tokens=1))
        return float(permit.waited)

    assert SimRuntime(1).run(main) < 10
