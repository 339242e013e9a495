"""Pools, as users hold them."""

import asyncio
import threading
from collections.abc import Callable
from typing import Literal

import pytest

from understudy import Actor, ActorDeadError, MailboxFullError, Runtime, child
from understudy.messages.errors import BreakerOpenError, ConfigError, DeadlineExceededError

pytestmark = pytest.mark.anyio


async def _until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until `condition` holds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - turns of the loop are what it waits for
            await asyncio.sleep(0)


class Doubler(Actor):
    """Doubles numbers; crashes on negative ones."""

    async def on_receive(self, message: int) -> int:
        """Double it."""
        if message < 0:
            raise ValueError(message)
        return message * 2


class Waits(Actor):
    """Waits until it is let go; remembers how many wait at most."""

    def __init__(self, gate: asyncio.Event, seen: list[int]) -> None:
        self.gate = gate
        self.seen = seen

    async def on_receive(self, message: int) -> int:
        """Wait."""
        self.seen.append(message)
        await self.gate.wait()
        return message


async def test_jobs_wait_in_one_queue_and_keep_their_order() -> None:
    """Late binding: two workers at most, first come, first served."""
    gate, seen = asyncio.Event(), list[int]()
    async with Runtime() as rt:
        pool = await rt.apool("pool", child(Waits, gate, seen), size=(1, 2), queue=10)
        replies = [pool.submit(number) for number in range(5)]
        await _until(lambda: len(seen) == 2)
        assert (pool.stats.workers, pool.stats.queued) == (2, 3)
        gate.set()
        assert [await reply for reply in replies] == list(range(5))
        assert seen == list(range(5))
        assert pool.stats.done == 5


async def test_a_full_queue_refuses() -> None:
    """And says so; what was accepted is done."""
    gate, seen = asyncio.Event(), list[int]()
    async with Runtime() as rt:
        pool = await rt.apool("pool", child(Waits, gate, seen), size=1, queue=1)
        first = pool.submit(0)
        await _until(lambda: seen == [0])
        second = pool.submit(1)
        with pytest.raises(MailboxFullError):
            await pool.submit(2)
        gate.set()
        assert [await first, await second] == [0, 1]


async def test_failed_jobs_are_done_again_as_told() -> None:
    """Attempts are counted; who asked gets the last error."""
    tried: list[int] = []

    class Third(Actor):
        expects = (OSError,)

        async def on_receive(self, message: int) -> int:
            tried.append(message)
            if len(tried) < 3:
                raise OSError("not yet")
            return message

    async with Runtime() as rt:
        pool = await rt.apool("pool", Third, size=1, retries=2)
        assert await pool.submit(7) == 7
        assert tried == [7, 7, 7]
        assert pool.stats.retried == 2
        tried[:] = [0] * -10
        once = await rt.apool("once", Third, size=1)
        with pytest.raises(OSError, match="not yet"):
            await once.submit(1)


async def test_a_job_that_crashes_three_workers_is_quarantined() -> None:
    """It is a dead letter, the pool goes on."""
    async with Runtime() as rt:
        pool = await rt.apool("pool", Doubler, size=2, retries=9)
        with pytest.raises(ValueError, match="-1"):
            await pool.submit(-1)
        assert pool.stats.quarantined == 1
        assert "quarantined" in [letter.reason for letter in rt.dead_letters.recent()]
        assert await pool.submit(4) == 8
        assert rt.ledger.balanced


@pytest.mark.parametrize(("effects", "again"), [("idempotent", True), (None, False)])
async def test_a_killed_workers_job_survives_where_it_may(
    effects: Literal["idempotent"] | None,
    again: bool,
) -> None:
    """Queued jobs always do; the one in hand if its effects allow."""
    gate, seen = asyncio.Event(), list[int]()
    async with Runtime() as rt:
        pool = await rt.apool("pool", child(Waits, gate, seen), size=1, effects=effects)
        held, queued = pool.submit(1), pool.submit(2)
        await _until(lambda: seen == [1])
        await pool.workers[0].kill()
        gate.set()
        assert await queued == 2
        if again:
            assert await held == 1
            assert seen == [1, 1, 2]
        else:
            with pytest.raises(ActorDeadError):
                await held
            assert seen == [1, 2]


async def test_one_key_one_worker() -> None:
    """Jobs of a key are done by one worker, in order; all workers get some."""

    class Who(Actor):
        async def on_receive(self, message: tuple[str, int]) -> str:
            return self.ref.path

    async with Runtime() as rt:
        pool = await rt.apool("pool", Who, size=4, key=lambda job: job[0])
        before: dict[str, str] = {}
        for key in map(str, range(40)):
            before[key] = await pool.submit((key, 0))
            assert await pool.submit((key, 1)) == before[key]
        assert len(set(before.values())) == 4
        await pool.aresize(5)
        moved = 0
        for key, path in before.items():
            moved += await pool.submit((key, 2)) != path
        assert 0 < moved < 20


async def test_map_in_order_and_as_completed() -> None:
    """Lazily, a bounded number at a time; the first failure cancels the rest."""
    async with Runtime() as rt:
        pool = await rt.apool("pool", Doubler, size=3, queue=8)
        assert [each async for each in pool.amap(range(100))] == [2 * n for n in range(100)]
        done = [each async for each in pool.amap(range(100), ordered=False)]
        assert sorted(done) == [2 * n for n in range(100)]
        with pytest.raises(ValueError, match="-5"):
            [each async for each in pool.amap([1, 2, -5, 3])]


def test_threads_do_blocking_jobs() -> None:
    """From a plain program: `submit`, `map`, `drain`."""
    both = threading.Barrier(2, timeout=10)

    class Meets(Actor):
        def on_receive(self, message: int) -> int:
            if message < 2:
                both.wait()
            return message

    with Runtime() as rt:
        pool = rt.pool("pool", Meets, size=2)
        replies = [pool.submit(number) for number in range(2)]
        assert [reply.get(timeout=10) for reply in replies] == [0, 1]
        assert list(pool.map(range(2, 9))) == list(range(2, 9))
        stats = pool.drain(timeout=10)
        assert stats.done == 9
        with pytest.raises(ActorDeadError):
            pool.submit(1).get(timeout=10)


async def test_it_pauses_resizes_and_replaces() -> None:
    """While it lives, from outside."""
    async with Runtime() as rt:
        pool = await rt.apool("pool", Doubler, size=2)
        pool.pause()
        waiting = pool.submit(1)
        assert pool.stats.paused
        assert not waiting.done
        pool.resume()
        assert await waiting == 2
        await pool.aresize(5)
        assert pool.stats.workers == 5
        first = pool.workers[0]
        pool.replace(0)
        await first.ajoin()
        await pool.aresize(1)
        assert await pool.submit(2) == 4


async def test_workers_that_cannot_start_open_a_breaker() -> None:
    """The pool neither escalates nor spins; new jobs are refused at once."""

    class Broken(Actor):
        def __init__(self) -> None:
            raise OSError("the database is down")

        async def on_receive(self, message: int) -> None:
            """Never."""

    async with Runtime() as rt:
        pool = await rt.apool("pool", Broken, size=(0, 1))
        for _ in range(20):
            pool._pool._crashed(OSError("again"))  # type: ignore[union-attr]
        with pytest.raises(BreakerOpenError) as caught:
            await pool.submit(1)
        assert caught.value.retry_after
        assert pool.stats.breaker == "open"
        assert rt.is_running


async def test_a_jobs_deadline_ends_it() -> None:
    """The worker is free for the next one."""
    gate = asyncio.Event()
    async with Runtime() as rt:
        pool = await rt.apool("pool", child(Waits, gate, []), size=1)
        with pytest.raises(DeadlineExceededError):
            await pool.submit(1, timeout=0.02)
        gate.set()
        assert await pool.submit(2) == 2


async def test_mistakes_are_named() -> None:
    """Sizes, retries and keys that are none."""
    async with Runtime() as rt:
        for options, word in (
            ({"size": 0}, "size"),
            ({"size": (3, 1)}, "size"),
            ({"queue": 0}, "queue"),
            ({"retries": -1}, "retries"),
            ({"retries": 1, "effects": "at_most_once"}, "at_most_once"),
            ({"key": "x"}, "key"),
            ({"timeout": 0}, "timeout"),
        ):
            with pytest.raises(ConfigError, match=word):
                await rt.apool("pool", Doubler, **options)
