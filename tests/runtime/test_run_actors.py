"""Actors that do one run after the other: nothing of one reaches the next."""

import asyncio
from contextlib import suppress

import pytest

from understudy import Runtime, Workflow, step
from understudy.actors.kernel.reply import Reply
from understudy.messages.workflows import CancelRun, StepDone
from understudy.runtime.executor import RunActor
from understudy.runtime.plan import Launch
from understudy.runtime.planning.compiled import graph_of
from understudy.runtime.run_actors import KEPT
from understudy.testing import SimRuntime, assert_quiet

pytestmark = pytest.mark.anyio


async def nap(seconds: float) -> float:
    """Take so long."""
    await asyncio.sleep(seconds)
    return seconds


FLOW = Workflow.sequential("w", step("nap", nap))


def actors(rt: Runtime) -> int:
    """How many there are."""
    return sum(cell.spec.cls is RunActor for cell in rt.system.cells())


def test_an_actor_is_used_again() -> None:
    """As many as there were runs at a time; a timeout of one run is no other's."""

    async def main(rt: Runtime) -> int:
        for _ in range(5):
            assert (await rt.arun(FLOW, 1.0, timeout=3)).output == 1.0
        assert not any(cell.timers for cell in rt.system.cells() if cell.spec.cls is RunActor)
        assert (await rt.arun(FLOW, 100.0)).output == 100.0
        return actors(rt)

    assert SimRuntime(1).run(main) == 1


def test_a_cancel_that_comes_late_is_for_nobody() -> None:
    """The run that it is for is over; the actor has another one in hand."""

    async def main(rt: Runtime) -> float:
        first = rt.submit(FLOW, 1.0)
        await first
        second = rt.submit(FLOW, 5.0)
        await asyncio.sleep(1.0)
        first._cancel()
        ref = next(cell.ref for cell in rt.system.cells() if cell.spec.cls is RunActor)
        ref.tell(CancelRun(why="late", of=Reply()))
        result: float = (await second).output
        return result

    assert SimRuntime(1).run(main) == 5.0


def test_an_answer_that_comes_late_is_for_nobody() -> None:
    """A step of an earlier run has the same path as one of this."""

    async def main(rt: Runtime) -> float:
        run = rt.submit(FLOW, 5.0)
        await asyncio.sleep(1.0)
        node = graph_of(FLOW).by_name["nap"]
        stale = Launch("nap", node, node, 1.0, nap, 0.0)
        stale.reply = Reply()
        stale.reply.set(StepDone(path="nap", output=-1.0))
        ref = next(cell.ref for cell in rt.system.cells() if cell.spec.cls is RunActor)
        ref.tell(stale)
        result: float = (await run).output
        return result

    assert SimRuntime(1).run(main) == 5.0


async def test_an_actor_whose_run_was_given_up_ends() -> None:
    """It does not come back, and nothing of it stays."""
    begun = asyncio.Event()

    async def hang(value: float) -> None:
        begun.set()
        await asyncio.sleep(1_000 + value)

    async with Runtime() as rt:
        task = asyncio.create_task(rt.arun(Workflow.sequential("w", step("hang", hang)), 0.0))
        await begun.wait()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await rt.arun(FLOW, 0.0)
        assert actors(rt) == 1
    assert_quiet(rt)


async def test_only_so_many_are_kept() -> None:
    """After a crowd, the rest ends."""
    async with Runtime() as rt:
        await asyncio.gather(*(rt.arun(FLOW, 0.01) for _ in range(KEPT + 50)))
        await rt.arun(FLOW, 0.0)
        assert actors(rt) == KEPT
    assert_quiet(rt)
