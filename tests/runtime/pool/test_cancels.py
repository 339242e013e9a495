"""Jobs that nobody waits for any more: what it costs to end them, wherever they are."""

import asyncio
from typing import Any

import pytest
from tests.conftest import Lines
from tests.runtime.pool.conftest import Hand, let_pass, until

from understudy import Actor, Runtime
from understudy.messages.errors import RunCancelledError
from understudy.testing import ManualClock

pytestmark = pytest.mark.anyio


async def test_a_cancel_costs_the_same_however_many_jobs_run(rt: Runtime, lines_of: Lines) -> None:
    """The job is found by its reply, and not looked for among all that are owed."""
    pool = await rt.apool("pool", Hand, size=300, queue=300)
    replies = [pool.submit(asyncio.Event()) for _ in range(300)]
    await until(lambda: pool.ref.ledger.running == 300)
    many = lines_of(replies.pop().cancel)
    for reply in replies[1:-1]:
        reply.cancel()
    few = lines_of(replies[-1].cancel)
    assert many < 2 * few
    await until(lambda: pool.stats.idle == 299)
    replies[0].cancel()
    await until(lambda: pool.stats.idle == 300)
    assert pool.ref.ledger.cancelled == 300


@pytest.mark.parametrize("moved", ["killed", "failed"])
async def test_a_job_that_has_moved_is_found(rt: Runtime, clock: ManualClock, moved: str) -> None:
    """It was put back and claimed by another worker, which is free again once it is cancelled."""
    begun: list[Actor] = []
    ended: list[str] = []

    class Careful(Hand):
        async def on_receive(self, message: Any) -> Any:
            begun.append(self)
            if moved == "failed" and len(begun) == 1:
                raise ValueError("once")
            try:
                return await super().on_receive(message)
            except asyncio.CancelledError:
                ended.append("cancelled")
                raise

    pool = await rt.apool("pool", Careful, size=1, effects="idempotent", retries=3)
    reply = pool.submit(asyncio.Event())
    await until(lambda: begun)
    if moved == "killed":
        begun[0].ref.kill()
    for _ in range(20):
        await let_pass(clock, 1)
    assert len(begun) == 2
    assert begun[1] is not begun[0]
    ended.clear()
    reply.cancel()
    with pytest.raises(RunCancelledError):
        await reply
    await until(lambda: ended)
    async with asyncio.timeout(10):
        assert await pool.submit("next") == "next"
    assert pool.ref.ledger.running == 0


async def test_a_job_between_two_attempts_is_cancelled_at_once(rt: Runtime) -> None:
    """It is with no worker then; it does not come back when its time is there."""

    def fails(_: Actor) -> None:
        raise ValueError("again")

    pool = await rt.apool("pool", Hand, size=1, retries=3)
    reply = pool.submit(fails)
    await until(lambda: pool.stats.retried == 1)
    assert pool.ref.ledger.running == 1
    reply.cancel()
    assert (pool.ref.ledger.running, pool.ref.ledger.cancelled) == (0, 1)
    with pytest.raises(RunCancelledError):
        await reply
