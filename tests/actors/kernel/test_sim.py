"""The loop, the dispatcher and the baton of a simulation."""

import asyncio
from random import Random
from typing import Any

import pytest

from understudy.actors.kernel.actor import Actor
from understudy.actors.kernel.dispatchers.sim import Drawn, stream
from understudy.actors.kernel.dispatchers.sim_loop import (
    SimLoop,
    SimulationDeadlockError,
    SimulationError,
)
from understudy.actors.kernel.options import child
from understudy.runtime.runtime import Runtime
from understudy.testing import SimRuntime


@pytest.fixture
def loop() -> Any:
    """A loop of the simulation, closed at the end."""
    loop = SimLoop()
    yield loop
    loop.cancel_all()
    loop.close()


def test_time_jumps_to_the_next_timer_exactly(loop: SimLoop) -> None:
    """Timers ring in order and at their very time, however far away they are."""
    rung: list[float] = []

    async def main() -> None:
        begin = loop.time()
        for delay in (3e7, 0.1, 1e-3, 7.25):
            loop.call_later(delay, _note, rung, begin + delay)
        await asyncio.sleep(4e7)

    loop = SimLoop(limit=1e9)
    loop.run_until_complete(main())
    loop.close()
    assert rung == [0.0] * 4


def _note(rung: list[float], at: float) -> None:
    rung.append(asyncio.get_running_loop().time() - at)


def test_timeouts_and_locks_are_simulated(loop: SimLoop) -> None:
    """What asyncio itself waits with works in virtual time."""

    async def main() -> str:
        lock = asyncio.Lock()
        await lock.acquire()
        try:
            async with asyncio.timeout(50):
                await lock.acquire()
        except TimeoutError:
            return f"{loop.time():.0f}"
        return "never"

    assert loop.run_until_complete(main()) == "1050"


def test_sets_of_tasks_have_an_order(loop: SimLoop) -> None:
    """A group cancels its tasks in the order of a set: here, that of their making."""
    ended: list[int] = []

    async def one(number: int) -> None:
        try:
            await asyncio.sleep(1e6)
        finally:
            ended.append(number)

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(7):
                group.create_task(one(number))
            await asyncio.sleep(0)
            raise ValueError

    with pytest.raises(ExceptionGroup):
        loop.run_until_complete(main())
    assert sorted(ended) == list(range(7))
    assert ended == sorted(ended)


def test_a_loop_with_nothing_to_do_raises(loop: SimLoop) -> None:
    """No timer, nothing ready, somebody waits: that can only be an error."""
    with pytest.raises(SimulationDeadlockError):
        loop.run_until_complete(loop.create_future())


def test_a_busy_handler_makes_timers_late(loop: SimLoop) -> None:
    """`advance` is time in which the loop turns no more: what was due comes after it."""
    rung: list[float] = []

    async def main() -> None:
        loop.call_later(1.0, lambda: rung.append(loop.time()))
        loop.advance(5.0)
        await asyncio.sleep(0.5)

    loop.run_until_complete(main())
    assert rung == [1005.0]


def test_streams_do_not_disturb_each_other() -> None:
    """Numbers for one purpose stay the same, however many are drawn for another."""
    first = stream(1, "faults").random()
    stream(1, "schedule").random()
    assert stream(1, "faults").random() == first
    assert stream(2, "faults").random() != first


@pytest.mark.parametrize("seed", range(8))
def test_every_ready_actor_is_drawn_once(seed: int) -> None:
    """Looking at what is next does not lose it, and nobody is drawn twice or forgotten."""
    drawn = Drawn(Random(seed))
    for number in range(50):
        drawn.append(number)  # type: ignore[arg-type]
    taken = []
    while drawn:
        following = drawn[0]
        taken.append(drawn.popleft())
        assert taken[-1] is following
    assert sorted(taken) == list(range(50))  # type: ignore[type-var,comparison-overlap]


def test_a_thread_that_blocks_elsewhere_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A handler that waits for a lock of its own keeps the baton: said, after a while."""
    import threading

    monkeypatch.setattr("understudy.actors.kernel.dispatchers.sim_baton.PATIENCE", 0.05)
    gate = threading.Event()

    class Blind(Actor):
        def on_receive(self, message: str) -> None:
            gate.wait()

    async def main(rt: Runtime) -> None:
        await (await rt.aspawn(Blind)).request("wait")

    try:
        with pytest.raises(SimulationError, match="blocks on something that a simulation"):
            SimRuntime(1).run(main)
    finally:
        gate.set()


def test_threads_take_turns_in_an_order_that_is_drawn() -> None:
    """Blocking actors of one bulkhead interleave differently with each seed, and replay."""

    class Writer(Actor):
        def __init__(self, page: list[str], name: str) -> None:
            self.page, self.name = page, name

        def on_receive(self, message: int) -> None:
            self.page.append(f"{self.name}{message}")

    def write(seed: int) -> str:
        page: list[str] = []

        async def main(rt: Runtime) -> None:
            writers = [await rt.aspawn(child(Writer, page, name)) for name in "abc"]
            replies = [writer.request(number) for number in range(3) for writer in writers]
            for reply in replies:
                await reply

        SimRuntime(seed, threads=2).run(main)
        for name in "abc":
            assert [line for line in page if line[0] == name] == [f"{name}{n}" for n in range(3)]
        return " ".join(page)

    pages = [write(seed) for seed in range(10)]
    assert len(set(pages)) > 3
    assert [write(seed) for seed in range(10)] == pages
