"""Whatever happens to callers, every permit and every place in the queue comes back."""

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from understudy import Actor, Ref, Runtime, child
from understudy.actors.limiters.limiter import LimiterActor
from understudy.actors.models.permits import Permits
from understudy.messages.chat import UserMessage
from understudy.messages.control import Outcome
from understudy.messages.errors import UnderstudyError
from understudy.messages.limits import AskStats, Limit, LimiterStats
from understudy.messages.models import Complete
from understudy.testing import SimRuntime

if TYPE_CHECKING:
    from tests.actors.limiters.conftest import Desk, Play

REQUEST = Complete(model="m", messages=(UserMessage(content="hi"),))


class Caller(Actor):
    """Holds permits for some seconds each, beside its handlers, as a Model actor does."""

    expects = (UnderstudyError,)

    def __init__(self, limiter: Ref[Any]) -> None:
        owner = f"{self._cell.path}/{self._cell.incarnation}"
        self._permits = Permits(lambda _: limiter, owner)

    async def on_receive(self, message: float | Outcome | str) -> None:
        """Call for so many seconds; or fail."""
        if message == "crash":
            raise ZeroDivisionError
        if isinstance(message, float):
            reply = self.defer()

            def done(outcome: Outcome) -> Outcome:
                if outcome.error is None:
                    reply.set()
                else:
                    reply.set_exception(outcome.error)
                return outcome

            self.background(self._call(message), then=done)

    async def _call(self, seconds: float) -> None:
        permit = self._permits.of(REQUEST)
        assert permit is not None
        async with permit:
            await asyncio.sleep(seconds)


CALL = st.tuples(
    st.sampled_from([0.0, 0.5, 2.0]),  # begins
    st.sampled_from([0.0, 0.3, 1.0, 1.0]),  # lasts
    st.sampled_from([None, 0.0, 0.5, 1.0, 1.5]),  # is cancelled after
    st.sampled_from([0.2, 1.0, 2.5, 100.0]),  # has as its deadline
)
MISHAP = st.sampled_from([None, "crash", "kill"])


async def live(
    rt: Runtime, calls: list[tuple[float, float, float | None, float]], mishap: str | None
) -> LimiterStats:
    """Make the calls; at 1.2 s something happens to the caller; then look at the limiter."""
    limit = Limit(max_concurrent=2, requests_per_second=8, queue=4)
    limiter = await rt.aspawn(child(LimiterActor, "acme", limit), name="limiter")
    caller = await rt.aspawn(child(Caller, limiter).options(restart="permanent"), name="caller")

    async def one(begin: float, lasts: float, cancelled: float | None, timeout: float) -> None:
        await asyncio.sleep(begin)
        reply = caller.request(float(lasts), timeout=timeout)
        if cancelled is not None:
            await asyncio.sleep(cancelled)
            reply.cancel()
        with contextlib.suppress(UnderstudyError):
            await reply

    async def strike() -> None:
        await asyncio.sleep(1.2)
        if mishap == "crash":
            with contextlib.suppress(ZeroDivisionError, UnderstudyError):
                await caller.request("crash")
        elif mishap == "kill":
            await caller.kill()

    await asyncio.gather(strike(), *(one(*call) for call in calls))
    await asyncio.sleep(200)
    stats: LimiterStats = await limiter.request(AskStats())
    return stats


@settings(max_examples=60)
@given(st.lists(CALL, min_size=1, max_size=12), MISHAP, st.integers(0, 1_000))
def test_everything_comes_back(
    calls: list[tuple[float, float, float | None, float]], mishap: str | None, seed: int
) -> None:
    """Callers that are cancelled, late, killed or crash at any moment hold nothing afterwards."""
    stats = SimRuntime(seed).run(lambda rt: live(rt, calls, mishap))
    assert (stats.in_flight, stats.waiting) == (0, 0)


def test_a_call_that_ends_at_its_deadline_gives_its_permit_back(play: "Play") -> None:
    """The message that does so does not expire with the call."""

    async def main(desk: "Desk") -> LimiterStats:
        caller = await desk.rt.aspawn(child(Caller, desk.ref))
        with pytest.raises(TimeoutError):
            await caller.request(50.0, timeout=1.0)
        await asyncio.sleep(1)
        return await desk.stats()

    assert play(main, Limit(max_concurrent=1)).in_flight == 0


def test_a_permit_that_meets_a_cancelled_caller_comes_back(play: "Play") -> None:
    """It was granted, and its caller cancelled before it could take it."""

    async def main(desk: "Desk") -> LimiterStats:
        permits = Permits(lambda _: desk.ref, "someone")

        async def call() -> None:
            permit = permits.of(REQUEST)
            assert permit is not None
            async with permit:
                await asyncio.sleep(60)

        first = asyncio.create_task(call())
        await asyncio.sleep(1)
        second = asyncio.create_task(call())
        await asyncio.sleep(1)
        first.cancel()
        while not second.done():  # every step between the grant and its arrival
            stats = await desk.stats()
            if stats.in_flight == 1 and stats.granted == 2:
                second.cancel()
            await asyncio.sleep(0)
        for task in (first, second):
            with contextlib.suppress(asyncio.CancelledError):
                await task
        return await desk.stats()

    stats = play(main, Limit(max_concurrent=1))
    assert (stats.in_flight, stats.waiting, stats.granted) == (0, 0, 2)


def test_a_cancelled_call_leaves_its_place_at_once(play: "Play") -> None:
    """Who waits behind it is not told of a wait for calls that nobody wants any more."""

    async def main(desk: "Desk") -> float:
        caller = await desk.rt.aspawn(child(Caller, desk.ref))
        gone = [caller.request(1.0, timeout=500.0) for _ in range(100)]
        await asyncio.sleep(1)
        for reply in gone:
            reply.cancel()
        await asyncio.sleep(0.5)
        assert (await desk.stats()).waiting == 0
        return (await desk.ask(timeout=2)).waited

    assert play(main, Limit(requests_per_minute=60)) <= 1.0
