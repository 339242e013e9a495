import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from understudy.messages.errors import RunCancelledError, RuntimeStoppedError

if TYPE_CHECKING:
    from tests.actors.kernel.conftest import Stage

    from understudy.actors.kernel.dispatchers.runner import Runner
    from understudy.actors.kernel.ref import Ref

pytestmark = pytest.mark.anyio


def _holder(stage: "Stage", ref: "Ref[Any]") -> "Runner":
    """The runner that sees a handler of `ref` through."""
    (runner,) = (r for r in stage.dispatcher.runners if r.held and r.held.cell is ref.cell)
    return runner


async def test_a_foreign_cancel_ends_the_runner(stage: "Stage") -> None:
    """Its message is answered `RunCancelledError`, the actor goes on elsewhere, nobody failed."""
    ref = await stage.doer()
    reply, queued = ref.request(lambda _: asyncio.Event().wait()), ref.request("queued")
    await stage.until(lambda: ref.ledger.running)
    runner = _holder(stage, ref)
    assert runner.task is not None
    runner.task.cancel()
    with pytest.raises(RunCancelledError, match="cancelled in /user/Doer"):
        await reply
    assert await queued == "queued"
    await stage.until(runner.task.done)
    assert runner.task.cancelled()
    assert runner not in stage.dispatcher.runners
    assert ref.incarnation == 0
    assert not stage.system.failures


async def test_a_foreign_cancel_is_passed_on_although_the_handler_swallows_it(
    stage: "Stage",
) -> None:
    """A handler that ends by itself after it is answered; the next message has a clean task."""
    ref = await stage.doer()

    async def swallow(_: Any) -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "swallowed"
        return "never"

    reply = ref.request(swallow)
    await stage.until(lambda: ref.ledger.running)
    task = _holder(stage, ref).task
    assert task is not None
    task.cancel()
    assert await reply == "swallowed"
    assert await ref.request("next") == "next"


async def test_cancelling_idle_runners_loses_nothing(stage: "Stage") -> None:
    """A parked runner that somebody cancels ends; what comes next gets another one."""
    ref = await stage.doer()
    for n in range(3):
        assert await ref.request(n) == n
        await stage.turn()
        for runner in list(stage.dispatcher.runners):
            assert runner.task is not None
            runner.task.cancel()
    assert await ref.request("x") == "x"


async def test_a_kernel_cancel_that_comes_late_hits_no_other_message(stage: "Stage") -> None:
    """It names the message it is for: when that has ended, the next one is left alone (P20)."""
    ref = await stage.doer()
    go, second = asyncio.Event(), asyncio.Event()
    reply = ref.request(lambda _: go.wait())
    follower = ref.request(lambda _: second.wait())
    await stage.until(lambda: ref.ledger.running)
    runner = _holder(stage, ref)
    envelope = ref.cell.current
    assert envelope is not None
    go.set()
    await reply
    await stage.until(lambda: ref.ledger.handled == 1)
    runner.cancel(envelope)
    ref.cell.cancel_envelope(envelope)
    await stage.advance(3)
    second.set()
    assert await follower
    assert ref.ledger.cancelled == 0


async def test_a_cancel_in_the_tick_of_the_end_is_undone(stage: "Stage") -> None:
    """Cancelled when what it waits for is there already: the next message is not hit."""
    ref = await stage.doer()
    for _ in range(20):
        go = asyncio.Event()
        first = ref.request(lambda _, go=go: go.wait())
        second = ref.request(lambda _: _yields())
        await stage.until(lambda: ref.ledger.running)
        await stage.turn()
        go.set()
        first.cancel()
        assert await second == "whole"
        with pytest.raises(RunCancelledError):
            await first
    assert ref.incarnation == 0
    assert all(not r.task.cancelling() for r in stage.dispatcher.runners if r.task)


async def _yields() -> str:
    for _ in range(3):
        await asyncio.sleep(0)
    return "whole"


async def test_a_swallowed_kernel_cancel_does_not_reach_the_next_message(stage: "Stage") -> None:
    """A handler that goes on after its cancellation leaves no mark on the runner's task."""
    ref = await stage.doer()

    async def swallow(_: Any) -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "anyway"
        return "never"

    async def timed(_: Any) -> str:
        try:
            async with asyncio.timeout(0):
                await asyncio.Event().wait()
        except TimeoutError:
            return "in time"
        return "never"

    reply = ref.request(swallow)
    await stage.until(lambda: ref.ledger.running)
    reply.cancel()
    assert await ref.request(timed) == "in time"
    assert await ref.request(lambda _: _yields()) == "whole"


async def test_the_loop_breathes(stage: "Stage") -> None:
    """Actors that keep each other busy for ever leave turns to everything else on the loop."""
    first, second = await stage.doer(), await stage.sync_doer()
    on = True

    def ping(_: Any) -> None:
        if on:
            second.tell(pong)

    def pong(_: Any) -> None:
        first.tell(ping)

    first.tell(ping)
    for _ in range(5):
        await asyncio.sleep(0)
    on = False
    await stage.until(lambda: not (first.ledger.queued + second.ledger.queued))


async def test_threads_hear_when_the_loop_is_lost(stage: "Stage") -> None:
    """Every pending and later ask from another thread is answered; every message accounted for."""
    ref = await stage.doer()
    endless = lambda _: asyncio.Event().wait()  # noqa: E731
    pending = [stage.thread(lambda: ref.ask(endless)) for _ in range(2)]
    await stage.until(lambda: ref.ledger.running and ref.ledger.queued)
    await stage.thread(stage.system.loop_lost)
    for each in (*pending, stage.thread(lambda: ref.ask("later"))):
        with pytest.raises(RuntimeStoppedError, match="closed under it"):
            await each
    with pytest.raises(RuntimeStoppedError):
        await stage.doer()
    assert stage.system.ledger().balanced


_NEVER_STOPPED = """
import asyncio
from understudy import Actor, Runtime
class Busy(Actor):
    async def on_receive(self, message: str) -> None:
        while True:
            try:
                await asyncio.sleep(3600)
            finally:
                print("cancelled", flush=True)
async def main():
    rt = await Runtime().__aenter__()
    refs = [await rt.aspawn(Busy) for _ in range(3)]
    for ref in refs:
        ref.tell("a"); ref.tell("b")
    await asyncio.sleep(0.01)
    print("leaving", flush=True)
asyncio.run(main())
print("left", flush=True)
"""


def test_leaving_a_busy_loop_ends_the_process() -> None:
    """`asyncio.run` around a runtime that is never stopped exits: nobody swallows its cancels."""
    done = subprocess.run(
        [sys.executable, "-c", _NEVER_STOPPED],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.split()
    assert lines[0] == "leaving"
    assert lines[-1] == "left"
    assert lines.count("cancelled") >= 3
