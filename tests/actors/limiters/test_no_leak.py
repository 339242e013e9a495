"""Whatever happens to callers, every permit and every place in the queue comes back."""

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from understudy import Ref, Runtime, child
from understudy.actors.kernel.options import ChildSpec
from understudy.actors.limiters.limiter import LimiterActor
from understudy.actors.models.model import ModelActor
from understudy.messages.chat import AssistantMessage, Usage, UserMessage, text_of
from understudy.messages.errors import UnderstudyError
from understudy.messages.limits import AskStats, Limit, LimiterStats
from understudy.messages.models import Complete, Completion
from understudy.testing import SimRuntime

if TYPE_CHECKING:
    from tests.actors.limiters.conftest import Desk, Play


class Naps:
    """A provider that takes as many seconds as it is told."""

    name = "naps"

    async def complete(self, request: Complete, *, timeout: float | None = None) -> Completion:
        """Answer after the seconds that the message says."""
        del timeout
        await asyncio.sleep(float(text_of(request.messages[0])))
        said = AssistantMessage(content="slept")
        return Completion(
            message=said, finish_reason="stop", usage=Usage(), model="m", provider="naps"
        )

    async def aclose(self) -> None:
        """There is nothing to let go of."""


class Caller(ModelActor):
    """A Model actor that can be made to fail."""

    async def on_receive(self, message: Any) -> None:
        """Call; or fail."""
        if message == "crash":
            raise ZeroDivisionError
        await super().on_receive(message)


def nap(seconds: float) -> Complete:
    """A call that takes so long."""
    return Complete(model="m", messages=(UserMessage(content=str(seconds)),))


def calling(limiter: Ref[Any]) -> ChildSpec:
    """Who calls with permits of this limiter."""
    return child(Caller, Naps(), lambda _: limiter)


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
    caller = await rt.aspawn(calling(limiter).options(restart="permanent"), name="caller")

    async def one(begin: float, lasts: float, cancelled: float | None, timeout: float) -> None:
        await asyncio.sleep(begin)
        reply = caller.request(nap(lasts), timeout=timeout)
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
        caller = await desk.rt.aspawn(calling(desk.ref))
        with pytest.raises(TimeoutError):
            await caller.request(nap(50), timeout=1.0)
        await asyncio.sleep(1)
        return await desk.stats()

    assert play(main, Limit(max_concurrent=1)).in_flight == 0


def test_a_permit_that_meets_a_cancelled_caller_comes_back(play: "Play") -> None:
    """It was granted, and its caller cancelled before it could take it."""

    async def main(desk: "Desk") -> LimiterStats:
        caller = await desk.rt.aspawn(calling(desk.ref))
        first = caller.request(nap(60), timeout=500.0)
        await asyncio.sleep(1)
        second = caller.request(nap(60), timeout=500.0)
        await asyncio.sleep(1)
        first.cancel()
        while not second.done:  # every step between the grant and its arrival
            stats = await desk.stats()
            if stats.in_flight == 1 and stats.granted == 2:
                second.cancel()
            await asyncio.sleep(0)
        await asyncio.sleep(1)
        return await desk.stats()

    stats = play(main, Limit(max_concurrent=1))
    assert (stats.in_flight, stats.waiting, stats.granted) == (0, 0, 2)


def test_a_cancelled_call_leaves_its_place_at_once(play: "Play") -> None:
    """Who waits behind it is not told of a wait for calls that nobody wants any more."""

    async def main(desk: "Desk") -> float:
        caller = await desk.rt.aspawn(calling(desk.ref))
        gone = [caller.request(nap(1), timeout=500.0) for _ in range(100)]
        await asyncio.sleep(1)
        for reply in gone:
            reply.cancel()
        await asyncio.sleep(0.5)
        assert (await desk.stats()).waiting == 0
        return (await desk.ask(timeout=2)).waited

    assert play(main, Limit(requests_per_minute=60)) <= 1.0
