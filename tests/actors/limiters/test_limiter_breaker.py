"""The breaker of a limiter: when it opens, who may try, what closes it, who hears of it."""

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from understudy.messages.errors import BreakerOpenError
from understudy.messages.events import BreakerClosed, BreakerOpened
from understudy.messages.limits import Limit

if TYPE_CHECKING:
    from tests.actors.limiters.conftest import Desk, Play


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
