import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from understudy import (
    Actor,
    Agent,
    DeadlineExceededError,
    RunCancelledError,
    Runtime,
    RuntimeStoppedError,
    Workflow,
    WorkflowError,
    WouldDeadlockError,
    step,
)
from understudy.testing import FakeModel, ManualClock, assert_quiet

if TYPE_CHECKING:
    from tests.conftest import Gate

pytestmark = pytest.mark.anyio


class Slow(Actor):
    """Holds a message until it is cancelled."""

    async def on_receive(self, message: threading.Event) -> None:
        message.set()
        await asyncio.get_running_loop().create_future()


def busy(rt: Runtime, gate: "Gate", runs: int = 1) -> list[object]:
    """Runs that wait at the gate."""
    agent = Agent(FakeModel(gate))
    started = [rt.submit(agent, "x") for _ in range(runs)]
    gate.until(waiting=runs)
    return list(started)


def test_a_shutdown_finishes_what_is_under_way(gate: "Gate") -> None:
    """Open runs are drained, new ones refused, and the report says how many and balances."""
    rt = Runtime(name="drain")
    rt.start()
    runs = busy(rt, gate, 3)
    reports: list[object] = []
    stopping = threading.Thread(target=lambda: reports.append(rt.stop()))
    stopping.start()
    while not rt._refusing:
        pass
    with pytest.raises(RuntimeStoppedError, match="'drain' is stopping and takes no new runs"):
        rt.run(Agent(FakeModel.echo()), "late")
    gate.open("done", count=3)
    stopping.join(timeout=10)
    assert [run.get(timeout=10).output for run in runs] == ["done"] * 3  # type: ignore[attr-defined]
    (report,) = reports
    assert (report.drained, report.cancelled, report.abandoned) == (3, 0, ())  # type: ignore[attr-defined]
    assert report.ledger.balanced  # type: ignore[attr-defined]
    assert report.duration < 20  # type: ignore[attr-defined]
    assert not rt.is_running
    assert_quiet(rt)


def test_what_runs_may_start_what_it_needs(gate: "Gate") -> None:
    """While it drains, a runtime still serves what its own steps ask for."""
    echo = Agent(FakeModel.echo())

    async def outer() -> str:
        await gate()
        result = await echo.arun("inner")
        return str(result.output)

    with Runtime() as rt:
        run = Workflow.sequential("w", step("a", outer)).submit(runtime=rt)
        gate.until(waiting=1)
        stopping = threading.Thread(target=rt.stop)
        stopping.start()
        while not rt._refusing:
            pass
        gate.open()
        assert run.get(timeout=10).output == "echo: inner"
        stopping.join(timeout=10)


def test_a_shutdown_without_draining_cancels(gate: "Gate") -> None:
    """`drain=False` cancels at once; whoever waits is told, and the report counts it."""
    rt = Runtime()
    rt.start()
    runs = busy(rt, gate, 2)
    report = rt.stop(drain=False)
    assert (report.drained, report.cancelled, report.abandoned) == (0, 2, ())
    for run in runs:
        with pytest.raises(RunCancelledError):
            run.get(timeout=10)  # type: ignore[attr-defined]
    assert gate.cancelled == 2
    assert_quiet(rt)


def test_when_the_time_is_over_the_rest_is_cancelled(gate: "Gate") -> None:
    """Draining ends at its share of the time; then what is left is cancelled."""
    rt = Runtime(shutdown=0.2)
    rt.start()
    busy(rt, gate, 2)
    report = rt.stop()
    assert (report.drained, report.cancelled, report.abandoned) == (0, 2, ())
    assert gate.cancelled == 2


def test_a_second_shorter_stop_shortens_the_first(gate: "Gate") -> None:
    """Whoever is in a hurry wins; both get the same report."""
    rt = Runtime()
    rt.start()
    busy(rt, gate)
    reports: list[object] = []
    first = threading.Thread(target=lambda: reports.append(rt.stop(timeout=600)))
    first.start()
    while not rt._refusing:
        pass
    second = rt.stop(timeout=0.1)
    first.join(timeout=10)
    assert reports == [second]
    assert second.cancelled == 1
    assert rt.stop(timeout=1) is second


def test_a_second_stop_may_give_up_draining(gate: "Gate") -> None:
    """`drain=False` also ends a drain that is under way."""
    rt = Runtime()
    rt.start()
    busy(rt, gate)
    first = threading.Thread(target=rt.stop)
    first.start()
    while not rt._refusing:
        pass
    assert rt.stop(drain=False).cancelled == 1
    first.join(timeout=10)
    assert not first.is_alive()


def test_user_actors_drain_too() -> None:
    """What an actor has accepted is handled before the end."""
    handled: list[int] = []

    class Note(Actor):
        async def on_receive(self, message: int) -> None:
            await asyncio.sleep(0)
            handled.append(message)

        async def on_stop(self) -> None:
            handled.append(-1)

    with Runtime() as rt:
        ref = rt.spawn(Note)
        for number in range(100):
            ref.tell(number)
    assert handled == [*range(100), -1]
    assert_quiet(rt)


def test_an_actor_that_does_not_drain_is_cancelled() -> None:
    """A handler that waits for ever is ended when the drain's time is over."""
    rt = Runtime(shutdown=0.3)
    rt.start()
    started = threading.Event()
    ref = rt.spawn(Slow)
    ref.tell(started)
    assert started.wait(timeout=10)
    report = rt.stop()
    assert report.abandoned == ()
    assert report.ledger.cancelled == 1
    assert not ref.is_alive()


def test_who_is_late_takes_nobody_along() -> None:
    """An actor that ends when the time is over leaves the others the turns they need to end."""
    clock = ManualClock()

    class Late(Actor):
        async def on_receive(self, message: threading.Event) -> None:
            message.set()
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                clock.advance(100)

    rt = Runtime(clock=clock)
    rt.start()
    held = threading.Event()
    rt.spawn(Late).tell(held)
    assert held.wait(10)
    assert rt.stop(timeout=1, drain=False).abandoned == ()


def test_leaving_by_an_exception_does_not_drain(gate: "Gate") -> None:
    """An error in the block is not kept waiting: runs are cancelled."""
    with pytest.raises(ZeroDivisionError), Runtime() as rt:  # noqa: PT012 - the block is the test
        (run,) = busy(rt, gate)
        raise ZeroDivisionError
    with pytest.raises(RunCancelledError):
        run.get(timeout=10)  # type: ignore[attr-defined]
    assert gate.cancelled == 1


def test_no_thread_is_left() -> None:
    """After the end there is no thread of the runtime any more."""
    with Runtime(name="mine") as rt:
        rt.events.subscribe(object, print)  # type: ignore[type-var]
        Workflow.sequential("w", step("a", lambda: 1)).run(runtime=rt)
        mine = [t for t in threading.enumerate() if t.name.startswith("understudy-mine")]
        assert len(mine) >= 3
    for thread in mine:
        thread.join(timeout=10)
        assert not thread.is_alive(), thread.name


async def test_no_task_is_left() -> None:
    """A hosted runtime leaves the caller's loop as it found it."""
    before = asyncio.all_tasks()
    async with Runtime():
        agent = Agent(FakeModel.echo())
        await agent.amap([str(n) for n in range(50)])
        async with agent.astream("x") as stream:
            await stream.await_result()
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


async def test_a_cancelled_exit_still_ends(gate: "Gate") -> None:
    """A cancel of who is leaving the block shortens the shutdown and is passed on afterwards."""
    entered = asyncio.Event()
    rt = Runtime()

    async def main() -> None:
        async with rt:
            agent = Agent(FakeModel(gate))
            agent.submit("x")
            await gate.auntil(waiting=1)
            entered.set()

    task = asyncio.ensure_future(main())
    await entered.wait()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not rt.is_running
    assert gate.cancelled == 1
    assert_quiet(rt)


async def test_astop_goes_on_when_its_waiter_is_cancelled(gate: "Gate") -> None:
    """The shutdown belongs to the runtime, not to who asked for it."""
    rt = await Runtime().__aenter__()
    agent = Agent(FakeModel(gate))
    run = rt.submit(agent, "x")
    await gate.auntil(waiting=1)
    task = asyncio.ensure_future(rt.astop())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gate.open("finished")
    assert (await run).output == "finished"
    report = await rt.astop()
    assert report.drained == 1
    with pytest.raises(WouldDeadlockError, match="astop"):
        rt.stop()


def test_several_runtimes_know_nothing_of_each_other() -> None:
    """Two may live in one process: one stops, the other goes on; nothing is counted twice."""
    agent = Agent(FakeModel.echo())
    with Runtime(name="a") as a:
        with Runtime(name="b") as b:
            a.run(agent, "1")
            b.run(agent, "2")
            b.run(agent, "3")
        assert a.run(agent, "4").output == "echo: 4"
        assert not b.is_running
    assert a.ledger.handled == b.ledger.handled


def test_a_runtime_whose_loop_was_closed_says_so() -> None:
    """A hosted runtime that nobody stopped is over with its loop; stopping it does not hang."""
    rt = Runtime(name="orphan")

    async def main() -> None:
        await rt.__aenter__()
        await rt.arun(Agent(FakeModel.echo()), "x")

    asyncio.run(main())
    assert not rt.is_running
    report = rt.stop()
    assert report.ledger.balanced
    with pytest.raises(RuntimeStoppedError):
        rt.run(Agent(FakeModel.echo()), "x")


def test_a_runtime_whose_time_stands_still_stops(gate: "Gate") -> None:
    """A shutdown waits for those who end, never for a clock: it needs no tick of a manual one."""
    clock = ManualClock()
    with Runtime(clock=clock) as rt:
        run = rt.submit(Agent(FakeModel(gate)), "x")
        gate.until(waiting=1)
        stopping = threading.Thread(target=rt.stop)
        stopping.start()
        gate.open("done")
        stopping.join(timeout=10)
        assert not stopping.is_alive()
        assert run.get(timeout=10).output == "done"
    assert_quiet(rt)


def test_deadlines_follow_the_clock_that_was_given(gate: "Gate") -> None:
    """A run's and a step's timeout pass when the runtime's clock says so."""
    clock = ManualClock()
    with Runtime(clock=clock) as rt:
        run = rt.submit(Agent(FakeModel(gate)), "x", timeout=60)
        flow = rt.submit(Workflow.sequential("w", step("a", gate, timeout=60)))
        gate.until(waiting=2)
        clock.advance(59)
        assert run.status == flow.status == "running"
        clock.advance(2)
        with pytest.raises(DeadlineExceededError):
            run.get(timeout=10)
        with pytest.raises(WorkflowError, match="a took longer than its timeout of 60 s"):
            flow.get(timeout=10)
        gate.until(cancelled=2)
    assert_quiet(rt)
