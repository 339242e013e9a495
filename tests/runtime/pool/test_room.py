"""Full queues, paused and half-open pools, keys that move: what waits, and for what."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from tests.runtime.pool.conftest import Hand, ThreadHand, let_pass, until

from understudy import Actor, Runtime
from understudy.actors.kernel.mailbox import Mailbox
from understudy.messages.errors import DeadlineExceededError, MailboxFullError
from understudy.runtime.pool.keyed import KeyedPool
from understudy.runtime.pool.queue import Queue, QueueDispatcher
from understudy.testing import ManualClock

pytestmark = pytest.mark.anyio


class _Spy:
    """A lock that says when somebody comes to it."""

    def __init__(self, lock: Any, came: Callable[[], None]) -> None:
        self.lock, self.came = lock, came

    def __enter__(self) -> None:
        self.came()
        self.lock.acquire()

    def __exit__(self, *_: object) -> None:
        self.lock.release()


def test_a_wake_up_is_not_lost_while_a_worker_claims(monkeypatch: pytest.MonkeyPatch) -> None:
    """The flag is cleared under the lock: a worker that claims keeps it, and puts it back (P18)."""
    claims, tried = threading.Event(), threading.Event()
    submitter = threading.get_ident()
    with Runtime() as rt:
        pool = rt.pool("pool", ThreadHand, size=1)
        assert pool.submit(0).get() == 0
        cell = pool.ref.cell
        inner: Any = pool._pool
        pool.pause()
        pool.submit(9).cancel()  # it stays in the queue, so the claim has to look twice
        inner._paused = False
        claim, schedule = Mailbox._claim_locked, QueueDispatcher.schedule
        first = [True]

        def slow_claim(self: Any) -> Any:
            if type(self) is Queue and threading.get_ident() != submitter and not claims.is_set():
                claims.set()
                tried.wait(10)
            return claim(self)

        def slow_schedule(self: Any, of: Any) -> None:
            if of is cell and first and threading.get_ident() == submitter:
                first.clear()
                inner.assign()  # somebody else has woken the worker meanwhile
                assert claims.wait(10)
                of.lock = _Spy(of.lock, tried.set)  # type: ignore[assignment]
            schedule(self, of)
            tried.set()

        monkeypatch.setattr(Mailbox, "_claim_locked", slow_claim)
        monkeypatch.setattr(QueueDispatcher, "schedule", slow_schedule)
        assert pool.submit(1).get(timeout=10) == 1
        assert pool.submit(2).get(timeout=10) == 2


@pytest.mark.parametrize("ordered", [True, False])
async def test_a_map_waits_for_room(rt: Runtime, ordered: bool) -> None:
    """Others have filled the queue: their next job is refused, those of a map wait for a place."""
    pool = await rt.apool("pool", Hand, size=1, queue=3)
    gate = asyncio.Event()
    others = [pool.submit(gate)]
    await until(lambda: pool.stats.queued == 0)
    others += [pool.submit(gate) for _ in range(3)]

    async def read() -> list[int]:
        return [answer async for answer in pool.amap(range(20), ordered=ordered)]

    reading = asyncio.ensure_future(read())
    await until(lambda: pool.stats.waiting == 3)
    with pytest.raises(MailboxFullError):
        await pool.submit(0)
    gate.set()
    assert sorted(await reading) == list(range(20))
    assert [await reply for reply in others] == ["waited"] * 4
    assert pool.ref.stats.refused == 1


async def test_a_drain_that_takes_too_long_says_so(rt: Runtime) -> None:
    """With an error of this library, in both spellings; it goes on."""
    pool = await rt.apool("pool", Hand, size=1)
    gate = asyncio.Event()
    held = pool.submit(gate)
    with pytest.raises(DeadlineExceededError, match="/user/pool has not drained within 0"):
        await pool.adrain(timeout=0)
    with pytest.raises(DeadlineExceededError, match="/user/pool has not drained within 0"):
        await asyncio.wrap_future(_in_thread(lambda: pool.drain(timeout=0)))
    gate.set()
    assert await held == "waited"
    await pool.ref.ajoin()


def _in_thread(work: Callable[[], Any]) -> Any:
    from concurrent.futures import Future

    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - it is the answer
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


@pytest.mark.parametrize("key", [None, str])
async def test_a_paused_pool_holds_up_no_shutdown(key: Callable[[Any], Any] | None) -> None:
    """A pool that ends does its jobs, paused or not; the clock stands still meanwhile."""
    rt = Runtime(clock=ManualClock())
    async with rt:
        pool = await rt.apool("pool", Hand, size=2, key=key)
        pool.pause()
        replies = [pool.submit(number) for number in range(9)]
        async with asyncio.timeout(10):
            report = await rt.astop()
    assert [await reply for reply in replies] == list(range(9))
    assert report.ledger.balanced


async def test_a_half_open_pool_waits_without_a_bell(rt: Runtime, clock: ManualClock) -> None:
    """One worker tries; until it has worked, time alone brings no others, nor is it looked at."""
    down = [False]

    class Needy(Hand):
        async def on_start(self) -> None:
            if down[0]:
                raise OSError("the database is down")

    pool = await rt.apool("pool", Needy, size=2)
    inner: Any = pool._pool
    down[0] = True
    for worker in pool.workers:
        await worker.kill()
    queued = pool.submit(1, timeout=3600)
    for _ in range(100):
        await let_pass(clock, 0.2)
        if pool.stats.breaker == "open":
            break
    gate = asyncio.Event()
    queued.cancel()
    down[0] = False
    await let_pass(clock, 5)
    assert pool.stats.breaker == "half_open"
    assert pool.stats.workers == 1
    for _ in range(4):
        await let_pass(clock, 60)
        assert "backoff" not in inner._bells
    assert pool.stats.workers == 1
    held = pool.submit(gate)
    await let_pass(clock, 0)
    gate.set()
    assert await held == "waited"
    await until(lambda: pool.stats.workers == 2)


async def test_work_ends_a_backoff(rt: Runtime) -> None:
    """A bell that was set while workers crashed does not keep others from coming."""
    pool = await rt.apool("pool", Hand, size=2)
    gate = asyncio.Event()
    held = pool.submit(gate)
    await until(lambda: pool.stats.idle == 1)
    with pytest.raises(ValueError, match="x"):
        await pool.submit(ValueError("x"))
    assert pool.stats.workers == 1
    gate.set()
    assert await held == "waited"
    await until(lambda: pool.stats.workers == 2)


async def test_a_key_keeps_its_order_when_the_pool_is_resized(rt: Runtime) -> None:
    """What is queued at the old place is done before what comes, in both directions."""
    eight: Any = (await rt.apool("eight", Hand, size=8, key=str))._pool
    moving = _moving(eight)  # in a pool of eight it is not where it is in a pool of one
    for before, after in ((1, 8), (8, 1)):
        pool = await rt.apool(f"pool-{before}", Hand, size=before, key=lambda job: job.key)
        inner: Any = pool._pool
        assert isinstance(inner, KeyedPool)
        done: list[int] = []
        gate = asyncio.Event()
        gates = [pool.submit(_Wait(moving, gate))]
        jobs = [pool.submit(_Note(moving, number, done)) for number in range(5)]
        old = inner._held[moving][0]
        await pool.aresize(after)
        jobs += [pool.submit(_Note(moving, number, done)) for number in range(5, 10)]
        for _ in range(40):
            await asyncio.sleep(0)
        assert done == []
        gate.set()
        for reply in (*gates, *jobs):
            await reply
        assert done == list(range(10))
        assert not inner._held
        assert not inner._load
        assert inner.place_of(moving) is not old
        if after < before:
            await old.ref.ajoin()


class _Note:
    """A job of a key that notes its number."""

    def __init__(self, key: str, number: int, done: list[int]) -> None:
        self.key, self.number, self.done = key, number, done

    def __call__(self, _: Actor) -> None:
        self.done.append(self.number)


class _Wait(asyncio.Event):
    """A job of a key that waits."""

    def __init__(self, key: str, gate: asyncio.Event) -> None:
        super().__init__()
        self.key, self.wait = key, gate.wait  # type: ignore[method-assign]


def _moving(pool: KeyedPool) -> str:
    """A key that is not of the first place of `pool`."""
    first = pool._places[0]
    return next(key for key in map(str, range(1000)) if pool.place_of(key) is not first)
