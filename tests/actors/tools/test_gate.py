import asyncio
from collections.abc import AsyncIterator

import pytest

from understudy import Runtime
from understudy.actors.tools.gate import Gate, Lease
from understudy.testing import ManualClock

pytestmark = pytest.mark.anyio


@pytest.fixture
async def rt() -> AsyncIterator[Runtime]:
    """A hosted runtime."""
    async with Runtime(clock=ManualClock()) as runtime:
        yield runtime


async def begin(gate: Gate, patience: float = 100.0) -> "asyncio.Task[Lease | None]":
    """Somebody who wants a slot."""
    task = asyncio.create_task(gate.enter((), patience))
    await asyncio.sleep(0)
    return task


async def test_who_came_first_goes_first(rt: Runtime) -> None:
    """Slots go to those who wait, in order, and not to one who comes just then."""
    gate = Gate(rt.system, 1)
    holder = await begin(gate)
    waiters = [await begin(gate) for _ in range(3)]
    for waiter in waiters:
        assert not waiter.done()
        gate.leave()
        late = await begin(gate)
        assert await waiter is not None
        assert not late.done()
        late.cancel()
        await asyncio.wait([late])
    assert (await holder) is not None
    gate.leave()
    assert (await begin(gate)).done()


async def test_a_slot_given_to_one_who_is_cancelled_in_that_turn_goes_on(rt: Runtime) -> None:
    """To the next in the queue, or back."""
    gate = Gate(rt.system, 1)
    await begin(gate)
    first, second = await begin(gate), await begin(gate)
    gate.leave()
    first.cancel()
    await asyncio.wait([first])
    assert first.cancelled()
    assert await second is not None


async def test_who_has_no_patience_left_is_passed_over(rt: Runtime) -> None:
    """And gets nothing."""
    clock: ManualClock = rt.system.clock  # type: ignore[assignment]
    gate = Gate(rt.system, 1)
    await begin(gate)
    first, second = await begin(gate, 5.0), await begin(gate)
    clock.advance(6)
    assert await first is None
    gate.leave()
    assert await second is not None
    gate.leave()
    assert (await begin(gate)).done()


async def test_a_holder_lends_its_own_slot_to_one_at_a_time(rt: Runtime) -> None:
    """Whatever is held around; other gates are not concerned."""
    gate, other = Gate(rt.system, 1), Gate(rt.system, 1)
    lease, foreign = await gate.enter((), 1.0), await other.enter((), 1.0)
    assert lease is not None
    inner = await gate.enter((lease, foreign), 1.0)
    assert inner is not None
    waiting = asyncio.create_task(gate.enter((lease,), 100.0))
    await asyncio.sleep(0)
    assert not waiting.done()
    deeper = await gate.enter((lease, foreign, inner), 1.0)
    assert deeper is not None
    inner.gate.leave()
    assert await waiting is not None
