"""A limiter: rates, slots, tokens, turns and deadlines, and what it learns from answers."""

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from understudy.messages.errors import (
    ConfigError,
    DeadlineExceededError,
    OverloadedError,
    RateLimitError,
    UnderstudyError,
)
from understudy.messages.events import GateClosed, PermitWaited
from understudy.messages.limits import Headroom, Limit

if TYPE_CHECKING:
    from tests.actors.limiters.conftest import Desk, Play


def test_a_rate_is_kept_in_turn(play: "Play") -> None:
    """Sixty a minute are one a second, in the order they came, and each is told its wait."""

    async def main(desk: "Desk") -> list[float]:
        permits = await asyncio.gather(*(desk.ask() for _ in range(5)))
        return [round(permit.waited, 6) for permit in permits]

    assert play(main, Limit(requests_per_minute=60)) == [0, 1, 2, 3, 4]


def test_slots_are_kept(play: "Play") -> None:
    """With two slots the third call waits for the end of one."""

    async def main(desk: "Desk") -> float:
        first = await desk.ask()
        await desk.ask(ticket="second")
        third = desk.ask()
        await asyncio.sleep(7)
        assert not third.done
        desk.settle(first)
        waited = (await third).waited
        assert (await desk.stats()).in_flight == 2
        return waited

    assert play(main, Limit(max_concurrent=2)) == pytest.approx(7)


def test_tokens_are_reserved_before_and_settled_after(play: "Play") -> None:
    """An estimate that was too high gives room back as soon as the call ends."""

    async def main(desk: "Desk") -> tuple[float, float]:
        permit = await desk.ask(input_tokens=100, output_tokens=5_900)
        second = desk.ask(input_tokens=100)
        await asyncio.sleep(2)
        assert not second.done, "tokens count before the call has succeeded"
        desk.settle(permit, input_tokens=100, output_tokens=100)
        begin = desk.now
        early = (await second).waited
        desk.settle("t2", input_tokens=1_000, output_tokens=0)
        await desk.ask(input_tokens=100)
        return early, desk.now - begin

    early, late = play(main, Limit(tokens_per_minute=6_000))
    assert early == pytest.approx(2.0)
    assert late == pytest.approx(10.0), "900 too many are owed"


def test_sessions_take_turns(play: "Play") -> None:
    """A session with fifty calls delays one with a single call by one call, not by fifty."""

    async def main(desk: "Desk") -> tuple[float, float]:
        many = [desk.ask(session="loud") for _ in range(50)]
        one = desk.ask(session="quiet")
        urgent = desk.ask(session="loud", priority=-1)
        waited = (await one).waited, (await urgent).waited
        await asyncio.gather(*many)
        return waited

    one, urgent = play(main, Limit(requests_per_minute=60))
    assert urgent == pytest.approx(1.0)
    assert one <= 3.0


def test_a_full_queue_of_others_does_not_refuse_a_quiet_session(play: "Play") -> None:
    """Its own turn comes before its deadline, however many calls of one other session wait."""

    async def main(desk: "Desk") -> float:
        many = [desk.ask(session="loud") for _ in range(50)]
        waited = (await desk.ask(session="quiet", timeout=5)).waited
        await asyncio.gather(*many)
        return waited

    assert play(main, Limit(requests_per_minute=60)) <= 5.0


def test_who_cannot_make_the_deadline_is_refused_at_once(play: "Play") -> None:
    """With how long it would take, and no time lost."""

    async def main(desk: "Desk") -> tuple[float, RateLimitError]:
        waiting = [desk.ask() for _ in range(11)]
        begin = desk.now
        with pytest.raises(RateLimitError) as caught:
            await desk.ask(timeout=5)
        took = desk.now - begin
        await asyncio.gather(*waiting)
        assert (await desk.stats()).refused == 1
        return took, caught.value

    took, error = play(main, Limit(requests_per_minute=60))
    assert took < 0.001
    assert error.retry_after == pytest.approx(11.0)
    assert not error.retryable
    assert "11.0 s away, the deadline 5.0 s" in error.message


def test_the_queue_is_bounded(play: "Play") -> None:
    """One more than it holds is refused, and says what bounds it."""

    async def main(desk: "Desk") -> None:
        first = await desk.ask()
        waiting = [desk.ask(ticket=name) for name in "abc"]
        with pytest.raises(OverloadedError, match=r"acme:\*: 3 callers.*Limit\(queue=\)"):
            await desk.ask()
        waiting[1].cancel()
        desk.settle("b", ended="unknown")
        again = desk.ask(ticket="again")
        for ticket in (first.ticket, "a", "c"):
            desk.settle(ticket)
        await again
        assert (await desk.stats()).in_flight == 1, "the place of who gave up went to another"

    play(main, Limit(max_concurrent=1, queue=3))


def test_more_may_wait_than_an_actor_usually_defers(play: "Play") -> None:
    """`Limit.queue` is the only bound."""

    async def main(desk: "Desk") -> int:
        await desk.ask(ticket="first")
        waiting = []
        for _ in range(24):
            waiting += [desk.ask() for _ in range(500)]
            await asyncio.sleep(0.001)
        found = (await desk.stats()).waiting
        for reply in waiting:
            reply.cancel()
        return found

    assert play(main, Limit(max_concurrent=1, queue=12_000)) == 12_000


def test_a_deadline_in_the_queue_frees_the_place(play: "Play") -> None:
    """Who waits for a slot until its deadline is told so, and nobody waits behind it."""

    async def main(desk: "Desk") -> None:
        first = await desk.ask()
        with pytest.raises(DeadlineExceededError):
            await desk.ask(timeout=3)
        second = desk.ask()
        desk.settle(first)
        await second
        assert (await desk.stats()).waiting == 0

    play(main, Limit(max_concurrent=1))


def test_a_ticket_is_used_once(play: "Play") -> None:
    """The same ticket twice at a time is a mistake; settling twice, or a strange one, is none."""

    async def main(desk: "Desk") -> None:
        permit = await desk.ask(ticket="mine")
        with pytest.raises(UnderstudyError, match="'mine' is in use"):
            await desk.ask(ticket="mine")
        for ticket in ("mine", "mine", "yours"):
            desk.settle(ticket)
        assert (await desk.stats()).in_flight == 0
        await desk.ask(ticket=permit.ticket)

    play(main)


def test_headers_are_learnt(play: "Play") -> None:
    """An account without any limit follows what its answers say is left."""

    async def main(desk: "Desk") -> float:
        await desk.learn(Headroom(dimension="requests", remaining=0, reset=60.0, limit=60))
        return (await desk.ask(model="m")).waited

    assert play(main) == pytest.approx(1.0)


def test_a_429_closes_the_gate_for_everybody(play: "Play") -> None:
    """Until Retry-After and some jitter; then one goes first and the others after its success."""

    async def main(desk: "Desk") -> list[float]:
        begin = desk.now
        permit = await desk.ask()
        desk.settle(permit, ended="limited", retry_after=8.0)
        waiting = [desk.ask(ticket=f"w{i}") for i in range(4)]
        times = []
        for turn in range(3):
            await asyncio.sleep(0 if turn else 9)
            done = [i for i, reply in enumerate(waiting) if reply.done]
            times.append(float(len(done)))
            for i in done:
                desk.settle(f"w{i}")
            await desk.stats()
        (closed,) = desk.events
        assert isinstance(closed, GateClosed)
        assert 8.0 <= closed.seconds <= 8.8
        assert waiting[0].outcome().value.waited == pytest.approx(closed.seconds, abs=0.02)
        assert desk.now - begin < 10
        return times

    assert play(main, hears=(GateClosed,)) == [1.0, 3.0, 4.0]


def test_a_closing_gate_refuses_who_would_be_too_late(play: "Play") -> None:
    """Those who wait and could not make it any more are told at once, the others wait on."""

    async def main(desk: "Desk") -> None:
        permit = await desk.ask()
        short, long = desk.ask(timeout=5), desk.ask(timeout=50)
        desk.settle(permit, ended="limited", retry_after=20.0)
        begin = desk.now
        with pytest.raises(RateLimitError, match=r"deadline 5\.0 s"):
            await short
        assert desk.now == begin
        assert 20 <= (await long).waited <= 22

    play(main, Limit(max_concurrent=1))


def test_jitter_differs_between_accounts(play: "Play") -> None:
    """Two limiters that got the same Retry-After do not open at the same instant."""

    async def main(desk: "Desk") -> float:
        desk.settle(await desk.ask(), ended="limited", retry_after=10.0)
        return (await desk.ask()).waited

    assert len({play(main, seed=seed) for seed in range(4)}) == 4


def test_who_waited_is_told_to_who_listens(play: "Play") -> None:
    """`PermitWaited` names limiter, tenant, session and time; who went at once makes none."""

    async def main(desk: "Desk") -> list[Any]:
        await desk.ask(tenant="t", session="s")
        await desk.ask(tenant="t", session="s")
        await asyncio.sleep(0.1)
        return [(e.limiter, e.tenant, e.session, round(e.seconds, 3)) for e in desk.events]  # type: ignore[attr-defined]

    found = play(main, Limit(requests_per_second=4, burst=0.25), hears=(PermitWaited,))
    assert found == [("acme:*", "t", "s", 0.25)]


@pytest.mark.parametrize("name", Limit.__struct_fields__)
def test_a_limit_of_nothing_is_refused(name: str) -> None:
    """Zero and less are mistakes, and the error names the field."""
    with pytest.raises(ConfigError, match=rf"Limit\({name}=0\)"):
        Limit(**{name: 0})
