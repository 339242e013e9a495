import asyncio
import random
from typing import TYPE_CHECKING, Any

import pytest

from understudy.actors.kernel.reply import Reply
from understudy.actors.kernel.wheel import RESOLUTION, DeadlineWheel
from understudy.messages.errors import DeadlineExceededError
from understudy.testing import ManualClock

if TYPE_CHECKING:
    from tests.actors.kernel.conftest import Stage

pytestmark = pytest.mark.anyio


async def test_deadlines_ring_in_time() -> None:
    """Each reply expires within the resolution after its deadline and never before it."""
    clock = ManualClock()
    wheel = DeadlineWheel(clock, asyncio.get_running_loop(), lambda fn: fn())
    rng = random.Random(7)
    due = {}
    for _ in range(200):
        reply: Reply[Any] = Reply()
        due[reply] = clock.now() + rng.random()
        wheel.add(reply, due[reply])
    for _ in range(110):
        clock.advance(0.01)
        for _ in range(3):
            await asyncio.sleep(0)
        for reply, deadline in due.items():
            if reply.done:
                assert deadline <= clock.now() + 1e-9
            else:
                assert clock.now() < deadline + RESOLUTION + 0.01
    assert all(reply.done for reply in due)
    wheel.close()


async def test_a_deadline_that_has_passed_expires_at_once() -> None:
    """It does not wait for a bell."""
    clock = ManualClock()
    wheel = DeadlineWheel(clock, asyncio.get_running_loop(), lambda fn: fn())
    reply: Reply[Any] = Reply()
    wheel.add(reply, clock.now() - 1)
    assert reply.done
    with pytest.raises(DeadlineExceededError):
        reply.get()
    wheel.close()


async def test_an_earlier_deadline_winds_the_bell_anew() -> None:
    """The bell is for the earliest one, whatever the order in which they were added."""
    clock = ManualClock()
    wheel = DeadlineWheel(clock, asyncio.get_running_loop(), lambda fn: fn())
    late, early, middle = (Reply[Any]() for _ in range(3))
    for reply, seconds in ((late, 10.0), (early, 1.0), (middle, 5.0)):
        wheel.add(reply, clock.now() + seconds)
    for seconds, done in ((1.02, [early]), (4.0, [early, middle]), (5.0, [early, middle, late])):
        clock.advance(seconds)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert [each for each in (early, middle, late) if each.done] == done
    wheel.close()


async def test_an_answered_request_leaves_the_wheel(stage: "Stage") -> None:
    """Nothing is kept alive for the sake of a deadline that will not matter."""
    ref = await stage.doer()
    for n in range(50):
        assert await ref.request(n) == n
    assert not any(stage.system.wheel._buckets.values())


async def test_deadlines_are_added_from_any_thread(stage: "Stage") -> None:
    """Requests from threads expire on the loop's wheel."""
    ref = await stage.doer()
    go = asyncio.Event()
    busy = ref.request(lambda _: go.wait(), timeout=60)
    asks = [stage.thread(lambda: ref.ask("x", timeout=5)) for _ in range(4)]
    await stage.until(lambda: ref.ledger.queued == 4)
    await stage.turn(20)
    await stage.advance(5.02)
    for ask in asks:
        with pytest.raises(DeadlineExceededError):
            await ask
    go.set()
    await busy


@pytest.mark.parametrize("seconds", [0.5, 100.0])
async def test_a_request_that_was_cancelled_on_its_way_leaves_nothing(seconds: float) -> None:
    """Another thread may cancel what it belongs to just before its deadline is noted."""
    clock = ManualClock()
    wheel = DeadlineWheel(clock, asyncio.get_running_loop(), lambda fn: fn())
    reply: Reply[Any] = Reply()
    reply.cancel()
    wheel.add(reply, clock.now() + seconds)
    assert not any([*wheel._buckets.values(), *wheel._far.values()])
    assert reply.cancelled
    wheel.close()


@pytest.mark.parametrize("first", [0.5, 7.5, 20.0])
@pytest.mark.parametrize("second", [0.5, 7.5, 20.0])
async def test_of_two_deadlines_the_sooner_counts(first: float, second: float) -> None:
    """Whichever was noted first, and however far away they are."""
    clock = ManualClock()
    wheel = DeadlineWheel(clock, asyncio.get_running_loop(), lambda fn: fn())
    reply: Reply[Any] = Reply()
    wheel.add(reply, clock.now() + first)
    wheel.sooner(reply, clock.now() + second)
    assert sum(map(len, [*wheel._buckets.values(), *wheel._far.values()])) == 1
    for seconds, done in ((min(first, second) - 0.1, False), (0.12, True)):
        clock.advance(seconds)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert reply.done is done
    wheel.close()
