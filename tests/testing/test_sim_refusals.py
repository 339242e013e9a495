"""What a simulation refuses or cannot go on with, and that the error says where and why."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from tests.testing.sim_actors import Counter, Sleeper

from understudy.actors.kernel.actor import Actor
from understudy.actors.kernel.ref import INFINITE
from understudy.runtime.runtime import Runtime
from understudy.testing import Fault, Faults, SimRuntime, SimulationDeadlockError, SimulationError


def test_a_failure_carries_its_seed() -> None:
    """Whatever `main` raises has a note with the seed and the faults, as code."""
    faults = Faults(crash=Fault("/user/x", nth=2))

    async def main(rt: Runtime) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        SimRuntime(42, faults=faults).run(main)
    (note,) = caught.value.__notes__
    assert "seed=42; replay with SimRuntime(42, faults=Faults(crash=Fault(" in note
    assert eval(note[note.index("faults=") + 7 : note.index(") (at")]) == faults


def test_a_deadlock_says_who_waits() -> None:
    """When nothing can happen any more it raises instead of hanging, and names who waits."""

    async def main(rt: Runtime) -> None:
        await rt.aspawn(Sleeper, name="idle")
        await asyncio.Event().wait()

    with pytest.raises(SimulationDeadlockError, match=r"nothing is left.*main \(.*refusals.py"):
        SimRuntime(3).run(main)


def test_a_deadlock_of_actors_names_them() -> None:
    """A handler that waits for what never comes is named with its message."""

    class Stuck(Actor):
        async def on_receive(self, message: str) -> None:
            await asyncio.Event().wait()

    async def main(rt: Runtime) -> None:
        ref = await rt.aspawn(Stuck, name="stuck")
        await ref.request("hello", timeout=INFINITE)

    with pytest.raises(SimulationDeadlockError, match=r"/user/stuck \(running: in str\)"):
        SimRuntime(3).run(main)


def test_what_never_ends_is_said_to() -> None:
    """A timer that goes on for ever while somebody waits ends at the limit of virtual time."""

    class Ticker(Actor):
        async def on_start(self) -> None:
            self.timer("tick", every=1.0)

        async def on_receive(self, message: str) -> None:
            pass

    async def main(rt: Runtime) -> None:
        await rt.aspawn(Ticker)
        await asyncio.Event().wait()

    with pytest.raises(SimulationError, match="not at an end after 100 s"):
        SimRuntime(4, limit=100.0).run(main)


def test_time_that_stands_still_is_noticed() -> None:
    """A task that turns the loop for ever without waiting for anything is an error, not a hang."""

    async def main(rt: Runtime) -> None:
        while True:  # noqa: ASYNC110 - that is the mistake
            await asyncio.sleep(0)

    with pytest.raises(SimulationError, match="time stands still"):
        SimRuntime(4).run(main)


def test_tasks_that_are_left_are_named() -> None:
    """What `main` started and forgot is an error that says where it waits."""

    async def main(rt: Runtime) -> None:
        left.append(asyncio.create_task(_forgotten()))
        await asyncio.sleep(0)

    left: list[asyncio.Task[None]] = []
    with pytest.raises(SimulationError, match=r"a task was left: _forgotten \(.*refusals.py"):
        SimRuntime(4).run(main)
    assert left[0].cancelled()


async def _forgotten() -> None:
    await asyncio.sleep(1e6)


@pytest.mark.parametrize(
    ("reach", "named"),
    [
        (lambda: asyncio.open_connection("127.0.0.1", 1), "create_connection"),
        (lambda: asyncio.to_thread(print), "run_in_executor"),
        (lambda: asyncio.create_subprocess_exec("true"), "subprocess_exec"),
        (lambda: asyncio.get_running_loop().getaddrinfo("x", 1), "getaddrinfo"),
    ],
)
def test_the_world_outside_is_refused(reach: Callable[[], Any], named: str) -> None:
    """Sockets, executors, subprocesses and names raise and say what to hand in instead."""

    async def main(rt: Runtime) -> None:
        await reach()

    with pytest.raises(SimulationError, match=rf"loop\.{named}\(\).*FakeModel"):
        SimRuntime(5).run(main)


def test_foreign_threads_are_refused() -> None:
    """A thread of one's own that tells an actor gets an error, and so does the simulation."""
    errors: list[BaseException] = []

    async def main(rt: Runtime) -> None:
        ref = await rt.aspawn(Counter)

        def reach() -> None:
            try:
                ref.request(1)
            except SimulationError as error:
                errors.append(error)

        thread = threading.Thread(target=reach, name="intruder")
        thread.start()
        thread.join()

    with pytest.raises(SimulationError, match="thread 'intruder' reached into"):
        SimRuntime(6).run(main)
    assert "use a blocking actor" in str(errors[0])


def test_nothing_was_simulated_yet() -> None:
    """Before the first run there is no trace, and it says so."""
    with pytest.raises(SimulationError, match="call run"):
        _ = SimRuntime(1).trace_digest
