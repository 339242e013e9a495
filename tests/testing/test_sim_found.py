"""What simulated seeds have found, one by one and without luck."""

import asyncio
from typing import Any

import pytest

from understudy.actors.kernel.actor import Actor
from understudy.actors.kernel.options import child
from understudy.actors.kernel.ref import INFINITE
from understudy.messages.control import ActorState
from understudy.messages.errors import (
    ActorDeadError,
    ActorRestartedError,
    DeadlineExceededError,
)
from understudy.runtime.runtime import Runtime
from understudy.runtime.supervisor import WhichChildren
from understudy.testing import SimRuntime


class Worker(Actor):
    """Sleeps for as long as it is told, or crashes at once."""

    async def on_receive(self, message: float) -> float:
        if message < 0:
            raise ZeroDivisionError
        await asyncio.sleep(message)
        return message


async def _outcome(reply: Any) -> Any:
    try:
        return await reply
    except Exception as error:  # noqa: BLE001 - it is looked at
        return error


def test_a_tripped_pool_recovers() -> None:
    """Neither a probe that leaves without an end nor a later success is overlooked."""

    async def main(rt: Runtime) -> str:
        pool = await rt.apool("pool", Worker, size=(0, 3))
        for reply in [pool.submit(-1.0, timeout=INFINITE) for _ in range(12)]:
            await _outcome(reply)
        seconds = 0
        while pool.stats.breaker == "open":  # it tells nobody when it is not any more
            await asyncio.sleep(1.0)
            seconds += 1
        assert seconds >= 1
        probe = pool.submit(5.0, timeout=INFINITE)
        await asyncio.sleep(1.0)
        probe.cancel()
        await asyncio.sleep(1.0)
        for ref in pool.workers:
            await ref.kill()
        for _ in range(5):
            assert await pool.submit(1.0, timeout=INFINITE) == 1.0
        return pool.stats.breaker

    for seed in range(5):
        assert SimRuntime(seed, limit=600.0).run(main) == "closed"


def test_surplus_workers_do_not_block_a_smaller_pool() -> None:
    """After a resize jobs go on at once, also while a bell for idle workers is set."""

    async def main(rt: Runtime) -> float:
        pool = await rt.apool("pool", Worker, size=(1, 4))
        for reply in [pool.submit(0.5) for _ in range(8)]:
            await reply
        replies = [pool.submit(1.0) for _ in range(8)]
        await asyncio.sleep(0.1)
        await pool.aresize((0, 1))
        begin = rt.system.now()
        for reply in replies:
            await reply
        return rt.system.now() - begin

    for seed in range(5):
        assert SimRuntime(seed).run(main) < 6.0


class Deferring(Actor):
    """Begins a job and answers it later, unless it is told to crash before."""

    def __init__(self) -> None:
        self.owed: list[Any] = []

    async def on_receive(self, message: str) -> str | None:
        if message == "crash":
            raise ZeroDivisionError
        if message == "later":
            self.owed.append(self.defer())
            return None
        for deferred in self.owed:
            deferred.set("answered")
        return message


def test_jobs_that_a_lost_worker_has_deferred_are_done_again() -> None:
    """The pool gets them back: they are answered, and the pool can end."""

    async def main(rt: Runtime) -> Any:
        pool = await rt.apool("pool", Deferring, size=1, effects="idempotent")
        job = pool.submit("later", timeout=INFINITE)
        await asyncio.sleep(1.0)
        await pool.workers[0].kill()
        await asyncio.sleep(30.0)
        await pool.submit("now", timeout=INFINITE)
        return await job

    sim = SimRuntime(2)
    assert sim.run(main) == "answered"
    assert sim.report.ledger.running == 0


def test_an_actor_that_crashes_while_it_drains_owes_nothing() -> None:
    """What it had deferred is answered with an error: the life that knew of it is over."""

    async def main(rt: Runtime) -> Any:
        ref = await rt.aspawn(Deferring)
        owed = ref.request("later", timeout=INFINITE)
        failed = ref.request("crash", timeout=INFINITE)
        await ref.stop()
        await _outcome(failed)
        return await _outcome(owed)

    assert isinstance(SimRuntime(3).run(main), ActorRestartedError)


def test_a_supervisor_goes_on_when_a_child_stands_up_otherwise() -> None:
    """A child that is restarted by hand during the backoff does not hold up the group for ever."""

    async def main(rt: Runtime) -> list[float]:
        group = await rt.asupervise("group", [child(Worker).options(name=n) for n in "ab"])
        first, second = await group.request(WhichChildren())
        first.tell(-1.0)
        await asyncio.sleep(0.01)
        await first.restart()
        second.tell(-1.0)
        await asyncio.sleep(30.0)
        return [await ref.request(1.0) for ref in (first, second)]

    for seed in range(5):
        assert SimRuntime(seed).run(main) == [1.0, 1.0]


def test_a_supervisor_goes_on_when_a_child_ends_meanwhile() -> None:
    """One that is killed during the backoff does not keep those behind it from standing up."""

    async def main(rt: Runtime) -> float:
        children = [child(Worker).options(name=name) for name in "abc"]
        group = await rt.asupervise("group", children, strategy="one_for_all")
        first, second, third = await group.request(WhichChildren())
        first.tell(-1.0)
        await asyncio.sleep(0.01)
        await second.kill()
        await asyncio.sleep(30.0)
        assert third.state == ActorState.RUNNING
        answer: float = await third.request(1.0)
        return answer

    for seed in range(5):
        assert SimRuntime(seed).run(main) == 1.0


def test_two_that_fail_too_often_are_both_parked() -> None:
    """The second failure that waits is looked at, also when the first ends in parking."""

    async def main(rt: Runtime) -> list[ActorState]:
        names = [child(Worker).options(name=name) for name in "abc"]
        group = await rt.asupervise("group", names, intensity=1)
        refs = await group.request(WhichChildren())
        for _ in range(2):
            for ref in refs:
                ref.tell(-1.0)
            await asyncio.sleep(1.0)
        return [ref.state for ref in refs]

    for seed in range(5):
        assert SimRuntime(seed).run(main) == [ActorState.PARKED] * 3


def test_an_end_is_the_last_state() -> None:
    """Stopping twice what waits for its next life does not bring back an earlier state."""

    async def main(rt: Runtime) -> ActorState:
        group = await rt.asupervise("group", [child(Worker).options(name="a")])
        (ref,) = await group.request(WhichChildren())
        ref.tell(-1.0)
        await asyncio.sleep(0.01)
        assert ref.state == ActorState.RESTARTING
        ref.kill()
        ref.stop()
        await ref.kill()
        await asyncio.sleep(10.0)
        with pytest.raises(ActorDeadError):
            await ref.request(1.0)
        state: ActorState = ref.state
        return state

    for seed in range(5):
        assert SimRuntime(seed).run(main) == ActorState.STOPPED


def test_a_runtime_leaves_no_runner_behind() -> None:
    """What is still ready when the dispatcher closes is run, by a runner that ends then."""

    async def main(rt: Runtime) -> None:
        refs = [await rt.aspawn(Worker) for _ in range(6)]
        for reply in [ref.request(0.1) for ref in refs]:
            await reply

    for seed in range(30):
        SimRuntime(seed).run(main)


def test_what_expires_before_it_is_sent_was_never_accepted() -> None:
    """A request past its deadline, to an actor that takes no more, is refused and no more."""

    async def main(rt: Runtime) -> None:
        ref = await rt.aspawn(Worker)
        busy = ref.request(5.0)
        await asyncio.sleep(1.0)
        ended = ref.stop()
        with pytest.raises(DeadlineExceededError):
            await ref.request(1.0, timeout=-10.0)
        await busy
        await ended

    sim = SimRuntime(1)
    sim.run(main)
    assert (sim.report.ledger.accepted, sim.report.ledger.refused) == (1, 1)
