import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from understudy.messages.errors import (
    BreakerOpenError,
    ConfigError,
    DeadlineExceededError,
    OverloadedError,
    RateLimitError,
    UnderstudyError,
)
from understudy.messages.events import BreakerClosed, BreakerOpened, GateClosed, PermitWaited
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


async def trip(desk: "Desk", failures: int = 10) -> None:
    """Ten calls, most of them failures."""
    for _ in range(failures):
        await desk.call(ended="failed")


def test_the_breaker_opens_and_refuses(play: "Play") -> None:
    """New calls are refused at once, and those who wait too; both are told when."""

    async def main(desk: "Desk") -> None:
        held = [await desk.ask(ticket=f"h{i}") for i in range(10)]
        waiting = desk.ask()
        for permit in held:
            desk.settle(permit, ended="failed")
        with pytest.raises(BreakerOpenError):
            await waiting
        with pytest.raises(BreakerOpenError, match=r"tried in 5\.0 s") as caught:
            await desk.ask()
        assert caught.value.retry_after == pytest.approx(5.0)
        assert not caught.value.retryable
        stats = await desk.stats()
        assert (stats.breaker, stats.waiting, stats.refused) == ("open", 0, 2)
        (opened,) = desk.events
        assert isinstance(opened, BreakerOpened)
        assert (opened.limiter, opened.seconds) == ("acme:*", 5.0)

    play(main, Limit(requests_per_minute=10, burst=60), hears=(BreakerOpened,))


def test_half_open_admits_one_then_three(play: "Play") -> None:
    """The others wait for the probes' ends, which then close it; nobody is serialized after."""

    async def main(desk: "Desk") -> tuple[Any, ...]:
        await trip(desk)
        await asyncio.sleep(5.1)
        waiting = {f"w{i}": desk.ask(ticket=f"w{i}") for i in range(10)}
        rounds = []
        while waiting:
            await desk.stats()
            through = {name: reply for name, reply in waiting.items() if reply.done}
            probes = [reply.outcome().value.probe for reply in through.values()]
            rounds.append((len(through), all(probes)))
            for name in through:
                del waiting[name]
                desk.settle(name)
        assert (await desk.stats()).breaker == "closed"
        return tuple(rounds), [type(event) for event in desk.events]

    rounds, events = play(main, hears=(BreakerOpened, BreakerClosed))
    assert rounds[:2] == ((1, True), (3, True))
    assert sum(count for count, _ in rounds) == 10
    assert len(rounds) <= 4
    assert events == [BreakerOpened, BreakerClosed]


@pytest.mark.parametrize("ended", ["limited", "unknown"])
def test_a_probe_that_tells_nothing_is_replaced(play: "Play", ended: str) -> None:
    """A probe that was cancelled, or met a 429, does not keep the breaker half open for ever."""

    async def main(desk: "Desk") -> bool:
        await trip(desk)
        await asyncio.sleep(5.1)
        assert (await desk.call(ended=ended)).probe
        return (await desk.ask()).probe

    assert play(main)


def test_a_failed_probe_opens_it_again_for_longer(play: "Play") -> None:
    """Ten seconds, and the others who waited for it are told."""

    async def main(desk: "Desk") -> float:
        await trip(desk)
        await asyncio.sleep(5.1)
        probe = await desk.ask()
        other = desk.ask()
        desk.settle(probe, ended="failed")
        with pytest.raises(BreakerOpenError) as caught:
            await other
        return caught.value.retry_after or 0.0

    assert play(main) == pytest.approx(10.0)


def test_a_long_outage_does_not_last_longer_for_us(play: "Play") -> None:
    """Open for forty seconds, it notices within five that all is well, by a single call."""

    async def main(desk: "Desk") -> float:
        await trip(desk)
        for seconds in (5.1, 10.1, 20.1):
            await asyncio.sleep(seconds)
            assert (await desk.call(ended="failed")).probe
        with pytest.raises(BreakerOpenError) as caught:
            await desk.ask()
        assert caught.value.retry_after == pytest.approx(40.0)
        begin = desk.now
        scouts = 0
        while (await desk.stats()).breaker == "open":
            await asyncio.sleep(0.1)
            with contextlib.suppress(BreakerOpenError):
                permit = await desk.call(ended="failed" if scouts == 0 else "answered")
                assert permit.probe
                scouts += 1
        assert scouts == 2
        return desk.now - begin

    assert play(main) == pytest.approx(10.1, abs=0.2)


def test_a_probe_that_hangs_keeps_nobody_waiting_for_its_end(play: "Play") -> None:
    """Five seconds later another may pass; it succeeds, and three more may follow at once."""

    async def main(desk: "Desk") -> list[float]:
        await trip(desk)
        await asyncio.sleep(5.1)
        begin = desk.now
        assert (await desk.ask(ticket="hangs")).probe
        second, *others = [desk.ask(ticket=f"w{i}") for i in range(4)]
        times = []
        desk.settle(await second)
        times.append(desk.now - begin)
        for permit in await asyncio.gather(*others):
            desk.settle(permit)
        times.append(desk.now - begin)
        assert (await desk.stats()).breaker == "closed"
        return times

    assert play(main) == pytest.approx([5.0, 5.0], abs=0.1)


def test_old_calls_are_no_probes(play: "Play") -> None:
    """What began before it opened decides nothing when it is half open."""

    async def main(desk: "Desk") -> None:
        old = [await desk.ask() for _ in range(4)]
        await trip(desk)
        await asyncio.sleep(5.1)
        probe = await desk.ask()
        for permit, ended in zip(old, ("failed", "answered", "answered", "answered"), strict=True):
            desk.settle(permit, ended=ended)
        assert (await desk.stats()).breaker == "half_open"
        second = desk.ask(ticket="second")
        await desk.stats()
        assert not second.done, "one probe at a time"
        desk.settle(probe)
        await second

    play(main)


def test_a_probe_of_an_earlier_time_is_none_later(play: "Play") -> None:
    """A probe that outlives the half open time it belongs to decides nothing in the next one."""

    async def main(desk: "Desk") -> None:
        await trip(desk)
        await asyncio.sleep(5.1)
        await desk.call()
        slow, failing = await desk.ask(), await desk.ask()
        desk.settle(failing, ended="failed")
        await asyncio.sleep(10.1)
        probe = await desk.ask()
        desk.settle(slow, ended="failed")
        assert (await desk.stats()).breaker == "half_open"
        desk.settle(probe)
        await desk.ask()

    play(main)


@pytest.mark.parametrize("ended", ["refused", "limited", "unknown"])
def test_what_is_not_the_providers_fault_does_not_count(play: "Play", ended: str) -> None:
    """Not as a failure, and not as a success that would hide failures."""

    async def main(desk: "Desk") -> tuple[str, str]:
        slots = [await desk.ask() for _ in range(60)]
        for permit in slots[:40]:
            desk.settle(permit, ended=ended, retry_after=0.0)
        before = (await desk.stats()).breaker
        for permit in slots[40:50]:
            desk.settle(permit, ended="failed")
        return before, (await desk.stats()).breaker

    assert play(main) == ("closed", "open")


def test_who_waited_is_told_to_who_listens(play: "Play") -> None:
    """`PermitWaited` names limiter, tenant, session and time; who went at once makes none."""

    async def main(desk: "Desk") -> list[Any]:
        await desk.ask(tenant="t", session="s")
        await desk.ask(tenant="t", session="s")
        await asyncio.sleep(0.1)
        return [(e.limiter, e.tenant, e.session, round(e.seconds, 3)) for e in desk.events]  # type: ignore[attr-defined]

    found = play(main, Limit(requests_per_second=4, burst=0.25), hears=(PermitWaited,))
    assert found == [("acme:*", "t", "s", 0.25)]


def test_nobody_listens_nothing_is_built(play: "Play", monkeypatch: pytest.MonkeyPatch) -> None:
    """Without subscribers none of the limiter's events is made."""

    def refuse(**_: object) -> None:
        raise AssertionError("an event for nobody")

    for name in ("PermitWaited", "GateClosed", "BreakerOpened", "BreakerClosed"):
        monkeypatch.setattr(f"understudy.actors.limiters.sayings.{name}", refuse)

    async def main(desk: "Desk") -> tuple[str, int]:
        await asyncio.gather(*(desk.call() for _ in range(3)))
        await trip(desk, failures=7)
        await asyncio.sleep(5.1)
        for _ in range(4):
            await desk.call()
        await desk.call(ended="limited")
        await desk.call()
        stats = await desk.stats()
        return stats.breaker, stats.limited

    assert play(main, Limit(requests_per_second=2)) == ("closed", 1)


@pytest.mark.parametrize("name", Limit.__struct_fields__)
def test_a_limit_of_nothing_is_refused(name: str) -> None:
    """Zero and less are mistakes, and the error names the field."""
    with pytest.raises(ConfigError, match=rf"Limit\({name}=0\)"):
        Limit(**{name: 0})
