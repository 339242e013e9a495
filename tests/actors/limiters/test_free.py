"""A limiter that holds nobody back is told of calls, and not asked."""

import asyncio
from typing import TYPE_CHECKING

import pytest

from understudy.actors.models.permits import gave_up, settle, told
from understudy.messages.control import ActorState
from understudy.messages.limits import Acquire, Adjust, Headroom, Limit, LimiterStats, Settle

if TYPE_CHECKING:
    from tests.actors.limiters.conftest import Desk, Play

LEARNT = Headroom(dimension="requests", remaining=900, reset=1.0, limit=1_000)


def begin(desk: "Desk", ticket: str) -> bool:
    """A call that does not wait for a permit, if it may."""
    return told(desk.ref, Acquire(ticket=ticket, model="m"))


def test_a_call_that_is_told_is_counted_and_comes_back(play: "Play") -> None:
    """As one that has asked."""

    async def main(desk: "Desk") -> tuple[LimiterStats, LimiterStats]:
        assert begin(desk, "told")
        during = await desk.stats()
        settle(desk.ref, Settle(ticket="told"))
        return during, await desk.stats()

    during, after = play(main)
    assert (during.in_flight, during.granted) == (1, 1)
    assert (after.in_flight, after.granted) == (0, 1)


def test_what_the_limiter_has_not_heard_yet_counts(play: "Play") -> None:
    """A 429 is on its way to it: the next call asks, and waits until the gate opens."""

    async def main(desk: "Desk") -> float:
        assert begin(desk, "limited")
        await desk.stats()
        settle(desk.ref, Settle(ticket="limited", ended="limited", retry_after=9.0))
        assert not begin(desk, "next")
        return (await desk.ask()).waited

    assert play(main) >= 9.0


@pytest.mark.parametrize(
    "limit",
    [
        Limit(max_concurrent=1_000),
        Limit(requests_per_second=1_000),
        Limit(tokens_per_minute=1e9),
    ],
)
def test_who_has_limits_is_asked(play: "Play", limit: Limit) -> None:
    """Also when they were given, or taken away, while it ran."""

    async def main(desk: "Desk") -> list[bool]:
        found = [begin(desk, "first")]
        for number, other in enumerate((Limit(), limit, Limit())):
            desk.ref.tell(Adjust(limit=other))
            await desk.stats()
            found.append(begin(desk, f"t{number}"))
            await desk.stats()
        return found

    assert play(main, limit) == [False, True, False, True]


def test_who_has_learnt_of_limits_is_asked(play: "Play") -> None:
    """Headers have told of one, for whichever model."""

    async def main(desk: "Desk") -> bool:
        await desk.learn(LEARNT, model="another")
        await desk.stats()
        return begin(desk, "next")

    assert not play(main)


def test_a_gate_that_was_closed_is_asked_until_the_slow_start_is_over(play: "Play") -> None:
    """Then calls are told of again."""

    async def main(desk: "Desk") -> list[bool]:
        await desk.call(ended="limited")
        await desk.stats()
        found = [begin(desk, "closed")]
        await asyncio.sleep(5)
        for number in range(70):
            await desk.call()
            await desk.stats()
            found.append(begin(desk, f"t{number}"))
            settle(desk.ref, gave_up(f"t{number}"))
            await desk.stats()
        return found

    found = play(main)
    assert not any(found[:50])
    assert found[-1]


def test_a_late_429_closes_the_gate_after_the_slow_start(play: "Play") -> None:
    """Of a call from before it, with a time to wait that it has not heard of yet."""

    async def main(desk: "Desk") -> tuple[bool, bool]:
        late = await desk.ask()
        await desk.call(ended="limited")
        await asyncio.sleep(5)
        for _ in range(70):
            await desk.call()
        await desk.stats()
        before = begin(desk, "before")
        desk.settle(late, ended="limited", retry_after=30.0)
        await desk.stats()
        return before, begin(desk, "after")

    assert play(main) == (True, False)


def test_an_open_breaker_is_asked(play: "Play") -> None:
    """It refuses."""

    async def main(desk: "Desk") -> tuple[bool, str]:
        for _ in range(20):
            assert begin(desk, "call")
            await desk.stats()
            settle(desk.ref, Settle(ticket="call", ended="failed"))
            if (await desk.stats()).breaker == "open":
                break
        return begin(desk, "next"), (await desk.stats()).breaker

    assert play(main) == (False, "open")


def test_a_limiter_that_has_ended_is_asked(play: "Play") -> None:
    """Who asks hears that it has."""

    async def main(desk: "Desk") -> bool:
        await desk.ref.stop()
        return begin(desk, "next")

    assert not play(main)


def test_a_limiter_between_two_lives_is_asked(play: "Play") -> None:
    """What the life said that has failed counts no more; the next one grants."""

    async def main(desk: "Desk") -> list[object]:
        assert begin(desk, "broken")
        settle(desk.ref, Settle(ticket="broken", headroom=(None,)))  # type: ignore[arg-type]
        await asyncio.sleep(0.001)
        found: list[object] = [desk.ref.state, begin(desk, "between")]
        await desk.ask()
        return [*found, begin(desk, "again")]

    assert play(main) == [ActorState.RESTARTING, False, True]
