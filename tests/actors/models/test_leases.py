import asyncio
import random

import pytest

from understudy.actors.models.leases import Leases, LeasesClosedError

pytestmark = pytest.mark.anyio


class Thing:
    def __init__(self) -> None:
        self.reusable = True
        self.aborted = asyncio.Event()

    def abort(self) -> None:
        self.reusable = False
        self.aborted.set()


def leases(limit: int = 2, idle_expiry: float = 30.0) -> Leases[Thing]:
    """A set of things."""
    return Leases(limit=limit, idle_expiry=idle_expiry)


async def settle() -> None:
    """Let everything that is ready run."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_the_warmest_is_lent_first() -> None:
    """Last in, first out: cold ones are left to expire."""
    lent, cold, warm = leases(), Thing(), Thing()
    assert await lent.borrow() is None
    assert await lent.borrow() is None
    lent.give_back(cold)
    lent.give_back(warm)
    assert await lent.borrow() is warm


async def test_one_that_broke_while_idle_is_not_lent() -> None:
    """It is closed, and the place is for a new one."""
    lent, broken = leases(), Thing()
    await lent.borrow()
    lent.give_back(broken)
    broken.reusable = False
    assert await lent.borrow() is None
    assert broken.aborted.is_set()
    assert (lent.lent, lent.idle) == (1, 0)


async def test_one_that_is_given_back_broken_is_closed() -> None:
    """Its place is free again."""
    lent, broken = leases(), Thing()
    await lent.borrow()
    broken.reusable = False
    lent.give_back(broken)
    assert broken.aborted.is_set()
    assert (lent.lent, lent.idle) == (0, 0)


async def test_waiting_is_in_order_and_hands_over_directly() -> None:
    """The first who waited gets what is given back, the second the place that is given up."""
    lent, thing = leases(limit=1), Thing()
    await lent.borrow()
    first = asyncio.create_task(lent.borrow())
    second = asyncio.create_task(lent.borrow())
    await settle()
    assert lent.waiting == 2
    lent.give_back(thing)
    assert await first is thing
    assert not second.done()
    lent.forfeit()
    assert await second is None
    assert (lent.lent, lent.idle, lent.waiting) == (1, 0, 0)


async def test_a_cancelled_head_does_not_block_the_queue() -> None:
    """Whoever is cancelled while waiting is skipped."""
    lent = leases(limit=1)
    await lent.borrow()
    first, second = (asyncio.create_task(lent.borrow()) for _ in range(2))
    await settle()
    first.cancel()
    await settle()
    assert lent.waiting == 1
    lent.forfeit()
    assert await second is None
    assert first.cancelled()


@pytest.mark.parametrize("with_thing", [True, False])
async def test_a_place_that_meets_a_cancel_is_passed_on(*, with_thing: bool) -> None:
    """Handed over and cancelled in the same tick: the next in the queue gets it."""
    lent, thing = leases(limit=1), Thing()
    await lent.borrow()
    first, second = (asyncio.create_task(lent.borrow()) for _ in range(2))
    await settle()
    if with_thing:
        lent.give_back(thing)
    else:
        lent.forfeit()
    first.cancel()
    assert await second is (thing if with_thing else None)
    assert first.cancelled()
    assert lent.lent == 1


async def test_waiting_ends_at_the_timeout() -> None:
    """A full set answers with TimeoutError and keeps nobody."""
    lent = leases(limit=1)
    await lent.borrow()
    with pytest.raises(TimeoutError):
        await lent.borrow(timeout=0.001)
    assert (lent.lent, lent.waiting) == (1, 0)


async def test_idle_ones_are_closed_without_being_asked_for() -> None:
    """The timer closes them, the later ones too."""
    lent, things = leases(idle_expiry=0.001), [Thing(), Thing()]
    for _ in things:
        await lent.borrow()
    for thing in things:
        lent.give_back(thing)
    for thing in things:
        async with asyncio.timeout(5):
            await thing.aborted.wait()
    assert lent.idle == 0


async def test_close_refuses_all_who_wait_and_all_who_come() -> None:
    """Idle ones are closed at once, lent ones when they come back."""
    lent, idle, out = leases(limit=2), Thing(), Thing()
    await lent.borrow()
    await lent.borrow()
    lent.give_back(idle)
    await lent.borrow()
    waiting = asyncio.create_task(lent.borrow())
    await settle()
    lent.give_back(idle)
    assert await waiting is idle
    waiting = asyncio.create_task(lent.borrow())
    await settle()
    lent.close()
    with pytest.raises(LeasesClosedError):
        await waiting
    with pytest.raises(LeasesClosedError):
        await lent.borrow()
    lent.give_back(out)
    assert out.aborted.is_set()


@pytest.mark.parametrize("seed", range(20))
async def test_no_place_is_ever_lost(seed: int) -> None:
    """Through any mixture of borrowing, breaking, cancelling and timeouts the numbers add up."""
    rng = random.Random(seed)
    lent, existing, most = leases(limit=3), 0, 0

    async def work() -> None:
        nonlocal existing, most
        thing = await lent.borrow(timeout=rng.choice([None, None, 0.0005]))
        try:
            if thing is None:
                existing += 1
                most = max(most, existing)
                thing = Thing()
            for _ in range(rng.randrange(4)):
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            existing -= 1
            lent.forfeit()
            raise
        if rng.random() < 0.3:
            thing.reusable = False
            existing -= 1
        lent.give_back(thing)

    tasks = [asyncio.create_task(work()) for _ in range(200)]
    for _ in range(60):
        rng.choice(tasks).cancel()
        await asyncio.sleep(0)
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (lent.lent, lent.waiting) == (0, 0)
    assert lent.idle <= 3
    assert most <= 3
    lent.close()
