"""Workers that come, go, crash and hang, and what becomes of the jobs."""

import asyncio
import threading
from typing import Any

import pytest
from tests.runtime.pool.conftest import Hand, ThreadHand, let_pass, until

from understudy import Actor, ActorDeadError, MailboxFullError, Runtime, child
from understudy.messages.errors import (
    BreakerOpenError,
    DeadlineExceededError,
    RunCancelledError,
)
from understudy.testing import ManualClock

pytestmark = pytest.mark.anyio


async def test_it_grows_while_jobs_wait_and_shrinks_when_idle(
    rt: Runtime, clock: ManualClock
) -> None:
    """Up to the maximum, one worker for each job that waits; down to the minimum after 30 s."""
    pool = await rt.apool("pool", Hand, size=(1, 4))
    gate = asyncio.Event()
    assert pool.stats.workers == 1
    replies = [pool.submit(gate) for _ in range(6)]
    await until(lambda: pool.stats.workers == 4 and pool.stats.queued == 2)
    gate.set()
    assert [await reply for reply in replies] == ["waited"] * 6
    await let_pass(clock, 29)
    assert pool.stats.workers == 4
    for _ in range(3):
        await let_pass(clock, 31)
    assert (pool.stats.workers, pool.stats.idle) == (1, 1)
    assert await pool.submit(1) == 1


async def test_it_is_resized_under_load(rt: Runtime) -> None:
    """Up: jobs that wait begin. Down: busy workers finish their job and go; no job is lost."""
    pool = await rt.apool("pool", Hand, size=1)
    gates = [asyncio.Event() for _ in range(8)]
    replies = [pool.submit(gate) for gate in gates]
    await until(lambda: pool.stats.queued == 7)
    await pool.aresize(4)
    await until(lambda: pool.stats.queued == 4)
    await pool.aresize(2)
    for gate in gates:
        gate.set()
    assert [await reply for reply in replies] == ["waited"] * 8
    await until(lambda: pool.stats.workers == 2)
    assert [await pool.submit(number) for number in range(10)] == list(range(10))


async def test_a_paused_pool_accepts_and_begins_nothing(rt: Runtime) -> None:
    """What is in hand goes on; its bound stands."""
    pool = await rt.apool("pool", Hand, size=2, queue=3)
    gate = asyncio.Event()
    held = pool.submit(gate)
    await until(lambda: pool.stats.idle == 1)
    pool.pause()
    waiting = [pool.submit(number) for number in range(3)]
    with pytest.raises(MailboxFullError):
        await pool.submit(4)
    gate.set()
    assert await held == "waited"
    assert not any(reply.done for reply in waiting)
    pool.resume()
    assert [await reply for reply in waiting] == [0, 1, 2]


async def test_a_replaced_worker_finishes_its_job(rt: Runtime) -> None:
    """And somebody else serves the queue."""
    pool = await rt.apool("pool", Hand, size=1)
    gate = asyncio.Event()
    held, waiting = pool.submit(gate), pool.submit(1)
    old = pool.workers[0]
    await until(lambda: pool.stats.queued == 1)
    pool.replace(0)
    assert await waiting == 1
    assert not held.done
    gate.set()
    assert await held == "waited"
    await old.ajoin()
    assert pool.workers[0] != old


async def test_a_drain_finishes_what_was_accepted(rt: Runtime) -> None:
    """New jobs are refused from its first moment on, also while it is paused."""
    pool = await rt.apool("pool", Hand, size=2)
    gate = asyncio.Event()
    replies = [pool.submit(gate) for _ in range(6)]
    pool.pause()
    drained = asyncio.ensure_future(pool.adrain())
    await until(lambda: pool.ref.state == "stopping")
    with pytest.raises(ActorDeadError):
        await pool.submit(1)
    gate.set()
    stats = await drained
    assert [await reply for reply in replies] == ["waited"] * 6
    assert (stats.done, stats.workers) == (6, 0)


async def test_jobs_of_a_crashed_worker_survive(rt: Runtime, clock: ManualClock) -> None:
    """Only the one in hand has failed; the others wait for the next worker."""
    pool = await rt.apool("pool", Hand, size=1)
    crash = pool.submit(ValueError("x"))
    replies = [pool.submit(number) for number in range(5)]
    with pytest.raises(ValueError, match="x"):
        await crash
    await let_pass(clock, 1)
    assert [await reply for reply in replies] == list(range(5))
    assert pool.stats.crashes == 1


async def test_attempts_are_counted_when_a_job_is_claimed(rt: Runtime) -> None:
    """A job that kills its worker from outside is not done for ever (B24)."""
    begun: list[int] = []

    def kills(actor: Actor) -> Any:
        begun.append(1)
        actor.ref.kill()
        return asyncio.Event()

    class Suicidal(Hand):
        async def on_receive(self, message: Any) -> Any:
            await kills(self).wait()

    pool = await rt.apool("pool", Suicidal, size=1, effects="idempotent")
    with pytest.raises(ActorDeadError) as caught:
        await pool.submit(1)
    assert len(begun) == 3
    assert caught.value.attempts == 3
    assert not caught.value.retryable


async def test_a_quarantined_job_can_be_looked_at_and_sent_again(
    rt: Runtime, clock: ManualClock
) -> None:
    """It is dropped in the ledger, and a dead letter of the pool, to be done when harmless."""
    poison = [True]

    def job(_: Actor) -> str:
        if poison:
            raise ValueError("poison")
        return "done"

    pool = await rt.apool("pool", Hand, size=1, retries=9)
    reply = pool.submit(job)
    for _ in range(8):
        await let_pass(clock, 3)
    with pytest.raises(ValueError, match="poison"):
        await reply
    assert (pool.stats.quarantined, pool.stats.crashes, pool.stats.retried) == (1, 3, 2)
    assert pool.ref.ledger.dropped == 1
    (letter,) = [each for each in rt.dead_letters.recent() if each.reason == "quarantined"]
    assert letter.receiver == "/user/pool"
    poison.clear()
    assert rt.dead_letters.resend(letter.id)
    await until(lambda: pool.stats.done == 1)


async def test_a_pool_never_escalates(rt: Runtime, clock: ManualClock) -> None:
    """Not even when its workers' directives say so: the others go on."""
    worker = child(Hand).options(directives={ValueError: "escalate"})
    pool = await rt.apool("pool", worker, size=2)
    gate = asyncio.Event()
    held = pool.submit(gate)
    with pytest.raises(ValueError, match="x"):
        await pool.submit(ValueError("x"))
    await let_pass(clock, 1)
    gate.set()
    assert await held == "waited"
    assert (pool.ref.incarnation, pool.stats.crashes) == (0, 1)


@pytest.mark.parametrize(("directive", "lives"), [("restart", 1), ("resume", 0)])
async def test_a_worker_that_stays_takes_the_next_job(
    rt: Runtime, clock: ManualClock, directive: str, lives: int
) -> None:
    """A directive may keep the worker instead of replacing it."""
    worker = child(Hand).options(directives={ValueError: directive})
    pool = await rt.apool("pool", worker, size=1)
    (ref,) = pool.workers
    with pytest.raises(ValueError, match="x"):
        await pool.submit(ValueError("x"))
    await let_pass(clock, 1)
    assert await pool.submit(1) == 1
    assert pool.workers == (ref,)
    assert ref.incarnation == lives


@pytest.mark.parametrize("where", ["init", "start"])
async def test_it_recovers_when_what_its_workers_need_is_back(
    rt: Runtime, clock: ManualClock, where: str
) -> None:
    """Workers crash in a row: a breaker opens, new jobs are refused, the queued ones wait."""
    down = [False]

    class Needy(Hand):
        def __init__(self) -> None:
            if down and down[0] and where == "init":
                raise OSError("the database is down")

        async def on_start(self) -> None:
            if down[0] and where == "start":
                raise OSError("the database is down")

    pool = await rt.apool("pool", Needy, size=1)
    down[0] = True
    await pool.workers[0].kill()
    queued = pool.submit(1, timeout=3600)
    for _ in range(100):
        await let_pass(clock, 0.2)
        if pool.stats.breaker != "closed":
            break
    assert pool.stats.breaker == "open"
    with pytest.raises(BreakerOpenError) as refused:
        await pool.submit(2)
    assert refused.value.retry_after
    assert pool.stats.queued == 1
    assert pool.ref.is_alive()
    assert rt.is_running
    down[0] = False
    for _ in range(8):
        await let_pass(clock, 20)
    assert await queued == 1
    for _ in range(6):
        assert await pool.submit(3) == 3
    assert (pool.stats.breaker, pool.stats.workers) == ("closed", 1)


async def test_a_jobs_deadline_cancels_it_and_frees_its_worker(
    rt: Runtime, clock: ManualClock
) -> None:
    """Also one that is cancelled; the same worker does the next job."""
    ended: list[str] = []

    class Careful(Hand):
        async def on_receive(self, message: Any) -> Any:
            try:
                return await super().on_receive(message)
            except asyncio.CancelledError:
                ended.append("cancelled")
                raise

    pool = await rt.apool("pool", Careful, size=1)
    (worker,) = pool.workers
    late = pool.submit(asyncio.Event(), timeout=5)
    await until(lambda: pool.ref.ledger.running == 1)
    await let_pass(clock, 5.1)
    with pytest.raises(DeadlineExceededError):
        await late
    given_up = pool.submit(asyncio.Event())
    await until(lambda: pool.ref.ledger.running == 1)
    given_up.cancel()
    with pytest.raises(RunCancelledError):
        await given_up
    assert await pool.submit(1) == 1
    assert ended == ["cancelled"] * 2
    assert pool.workers == (worker,)
    assert (worker.incarnation, pool.stats.crashes) == (0, 0)


async def test_a_stuck_worker_is_left_behind_and_replaced(rt: Runtime, clock: ManualClock) -> None:
    """After the grace another thread serves the queue; when it comes back nobody is disturbed."""
    pool = await rt.apool("pool", ThreadHand, size=1)
    (worker,) = pool.workers
    stuck = threading.Event()
    late = pool.submit(stuck, timeout=5)
    await until(lambda: pool.ref.ledger.running == 1)
    waiting = pool.submit(1, timeout=3600)
    await let_pass(clock, 5.1)
    with pytest.raises(DeadlineExceededError):
        await late
    assert not waiting.done
    await let_pass(clock, 2.1)
    assert await waiting == 1
    assert rt.ledger.abandoned == 1
    assert "abandoned" in str(rt.tree())
    stuck.set()
    await until(lambda: rt.ledger.abandoned == 0)
    assert await pool.submit(2) == 2
    assert pool.workers == (worker,)
