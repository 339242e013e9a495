"""What the benchmark does, with a clock of its own: nothing depends on how fast anything is."""

import asyncio
import gc
import itertools
import sys

import pytest

from understudy import Runtime, UnderstudyError
from understudy.runtime.edge.bench import floors
from understudy.runtime.edge.bench.memory import KINDS, weigh, weigh_here
from understudy.runtime.edge.bench.speed import Row, measure
from understudy.runtime.edge.bench.works import Echo, Works

pytestmark = pytest.mark.anyio


@pytest.fixture
def collected(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Has an item for each collection of garbage, which takes long in a process full of tests."""
    items: list[int] = []
    monkeypatch.setattr(gc, "collect", lambda: items.append(1))
    return items


async def test_every_measure_has_a_floor_and_the_median_of_its_rounds(collected: list[int]) -> None:
    """Each is timed in rounds that take turns with its floor; the ratio is one over the other."""
    ticks = itertools.count()
    told: list[str] = []
    rows = await measure(lambda: float(next(ticks)), rounds=3, divisor=1_000, told=told.append)
    assert [row.name for row in rows] == told
    assert len(told) == 7
    assert next(ticks) == 7 * 3 * 2 * 2  # two readings a round, of ours and of the floor
    assert {(row.seconds, row.ratio) for row in rows} == {(1 / 100, 1.0)}
    assert len(collected) == 7 * 3 * 2  # before each: no round pays for what another left


def test_a_floor_of_nothing_has_no_ratio() -> None:
    """A timer too coarse for it is no division by zero."""
    assert Row(name="x", floor="y", seconds=1.0, floor_seconds=0.0).ratio == 0.0


async def test_works_do_what_they_count() -> None:
    """As many messages, runs and jobs as were asked for."""
    async with Runtime() as rt:
        echo, pool = await rt.aspawn(Echo), await rt.apool("jobs", Echo, size=2)
        works = Works(rt, echo, pool)

        async def handled(work: str, count: int) -> int:
            before = rt.ledger.handled
            await getattr(works, work)(count)
            return rt.ledger.handled - before

        assert await handled("ask", 300) == 300
        assert await handled("run", 100) >= 100
        assert await handled("crowd", 200) >= 200
        assert await handled("jobs", 1_200) >= 1_200
        assert await handled("parallel", 5) >= 5 * 3
        assert await handled("sequence", 5) >= 5 * 3
        await works.stream(500)


async def test_floors_end_and_leave_no_task() -> None:
    """Whoever made the tasks ends them; a task that is left would be a warning, and an error."""
    await floors.requests(200, askers=100)
    await floors.jobs(1_200)
    await floors.chunks(300)
    await floors.in_parallel(3)
    await floors.in_sequence(3)


@pytest.mark.parametrize("ticks", range(1, 6))
async def test_a_floor_that_is_interrupted_trips_over_nobody(ticks: int) -> None:
    """Ctrl-C may come between a question and its answer: then there is nobody to be answered."""
    asking = asyncio.ensure_future(floors.requests(100))
    for _ in range(ticks):
        await asyncio.sleep(0)
    serving = [each for each in asyncio.all_tasks() if "_serve" in repr(each.get_coro())]
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    for each in serving:
        await asyncio.sleep(0)
        each.cancel()
    ended = await asyncio.gather(*serving, return_exceptions=True)
    assert [error for error in ended if isinstance(error, Exception)] == []


async def test_each_kind_is_weighed_by_the_ones_that_were_added(collected: list[int]) -> None:
    """With a scale that goes up by a thousand each time it is read."""
    scale = itertools.count(0, 1_000)
    found = await weigh_here(lambda: float(next(scale)), 500)
    assert list(found) == list(KINDS)
    assert found["an Agent"] == 1_000 / (KINDS["an Agent"] // 500)
    assert found["an open stream"] == 1_000  # one, although 200 // 500 is none
    assert len(collected) == 2 * len(KINDS)
    assert await weigh_here(lambda: None, 5_000) == dict.fromkeys(KINDS)


def test_a_process_that_weighs_and_fails_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what it said last, and none is left behind."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(UnderstudyError, match="weighing failed: code 1"):
        weigh(divisor=1_000)
