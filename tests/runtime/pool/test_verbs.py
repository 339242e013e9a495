"""Keys, maps, statistics, and many threads at once."""

import asyncio
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from understudy import Actor, Runtime, child

pytestmark = pytest.mark.anyio


class Fails(Actor):
    """Waits at the gate for even numbers, fails on -1, answers the others."""

    def __init__(self, gate: asyncio.Event, cancelled: list[int]) -> None:
        self.gate = gate
        self.cancelled = cancelled

    async def on_receive(self, message: int) -> int:
        if message == -1:
            raise ValueError("minus one")
        if message % 2 == 0:
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                self.cancelled.append(message)
                raise
        return message


async def test_a_failing_map_cancels_the_rest() -> None:
    """What is in hand is cancelled, what is queued withdrawn, and the source read no further."""
    read: list[int] = []

    def source() -> Iterator[int]:
        for number in (-1, *range(2, 100)):
            read.append(number)
            yield number

    gate, cancelled = asyncio.Event(), list[int]()
    async with Runtime() as rt:
        pool = await rt.apool("pool", child(Fails, gate, cancelled), size=4, queue=8)
        with pytest.raises(ValueError, match="minus one"):
            [each async for each in pool.amap(source())]
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(read) == 8
        assert cancelled
        assert pool.stats.queued == 0
        gate.set()
        assert await pool.submit(3) == 3
        assert rt.ledger.balanced


async def test_as_completed_does_not_wait_for_the_slow() -> None:
    """Out of order, what is done comes first; in order, the head is waited for."""
    gate = asyncio.Event()
    async with Runtime() as rt:
        pool = await rt.apool("pool", child(Fails, gate, []), size=3, queue=8)
        found: list[int] = []
        async for each in pool.amap([2, 1, 3, 5], ordered=False):
            found.append(each)
            if len(found) == 3:
                gate.set()
        assert found[-1] == 2
        assert sorted(found) == [1, 2, 3, 5]
        assert [each async for each in pool.amap([2, 1, 4, 3])] == [2, 1, 4, 3]


async def test_jobs_of_one_key_keep_their_order() -> None:
    """Whatever other keys do: one after the other, by one worker, though its handler waits."""
    seen: dict[str, list[int]] = {}

    class Notes(Actor):
        async def on_receive(self, message: tuple[str, int]) -> str:
            await asyncio.sleep(0)
            seen.setdefault(message[0], []).append(message[1])
            return self.ref.path

    async with Runtime() as rt:
        pool = await rt.apool("pool", Notes, size=4, key=lambda job: job[0])
        replies = {
            (key, number): pool.submit((key, number)) for number in range(20) for key in "abcdefgh"
        }
        where = {job: await reply for job, reply in replies.items()}
        for key in "abcdefgh":
            assert seen[key] == list(range(20))
            assert len({path for (each, _), path in where.items() if each == key}) == 1
        assert len(set(where.values())) > 1
        assert pool.stats.done == 160
        stats = await pool.adrain()
        assert stats.queued == 0


async def test_a_resize_moves_few_keys() -> None:
    """Growing by one moves about the share of the new one, and shrinking moves only its keys."""

    class Who(Actor):
        async def on_receive(self, message: str) -> str:
            return self.ref.path.rsplit("/", 2)[1]

    async with Runtime() as rt:
        pool = await rt.apool("pool", Who, size=8, key=str)
        keys = [str(number) for number in range(400)]
        before = {key: await pool.submit(key) for key in keys}
        await pool.aresize(9)
        after = {key: await pool.submit(key) for key in keys}
        moved = [key for key in keys if before[key] != after[key]]
        assert 0 < len(moved) < 100
        assert {after[key] for key in moved} == {"8"}
        await pool.aresize(8)
        assert {key: await pool.submit(key) for key in keys} == before


@pytest.mark.parametrize("blocking", [True, False])
def test_no_wake_up_is_lost_under_many_threads(blocking: bool) -> None:
    """Threads that submit at once, with workers that come and go: every job is done."""
    on_thread, on_loop = _workers()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    found: list[int] = []
    try:
        with Runtime() as rt:
            pool = rt.pool("pool", on_thread if blocking else on_loop, size=(1, 4), queue=10_000)

            def submit(start: int) -> None:
                numbers = range(start, start + 100)
                found.extend(pool.submit(number).get(timeout=20) for number in numbers)

            threads = [threading.Thread(target=submit, args=(n * 100,)) for n in range(8)]
            for thread in threads:
                thread.start()
            for size in (2, (0, 3), 4, (1, 4)):
                pool.resize(size)
            for thread in threads:
                thread.join(timeout=30)
            assert sorted(found) == list(range(800))
            assert (pool.stats.done, pool.stats.queued, pool.stats.failed) == (800, 0, 0)
            assert rt.ledger.balanced
        ledger = rt.ledger
        assert ledger.balanced
        assert not ledger.queued + ledger.running
    finally:
        sys.setswitchinterval(interval)


def _workers() -> tuple[type[Actor], type[Actor]]:
    class OnThread(Actor):
        def on_receive(self, message: int) -> Any:
            return message

    class OnLoop(Actor):
        async def on_receive(self, message: int) -> Any:
            if message % 3 == 0:
                await asyncio.sleep(0)
            return message

    return OnThread, OnLoop
