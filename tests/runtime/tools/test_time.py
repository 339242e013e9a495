import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future

import pytest

from understudy import Runtime, ToolCall, arun_tools, run_tools, tool
from understudy.testing import ManualClock, assert_quiet

pytestmark = pytest.mark.anyio

Call = Callable[..., ToolCall]


async def turns(count: int = 20) -> None:
    """Let the loop turn."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_an_inline_tool_is_cancelled_at_its_timeout(call: Call) -> None:
    """It gets the cancellation, and the model is told how long it had."""
    clock, cancelled = ManualClock(), asyncio.Event()

    @tool(timeout=5)
    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with Runtime(clock=clock) as rt:
        task = asyncio.create_task(arun_tools([call("slow")], [slow], runtime=rt))
        await turns()
        clock.advance(4.9)
        await turns()
        assert not task.done()
        clock.advance(0.2)
        (result,) = await task
        assert result.error == "The tool 'slow' did not return within 5 s."
        assert result.attempts == 1
        await cancelled.wait()
        assert_quiet(rt)


async def test_a_tool_that_refuses_its_cancellation_is_left_behind(call: Call) -> None:
    """The caller gets its answer in time, and the next call has an actor."""
    clock, release = ManualClock(), asyncio.Event()

    @tool(timeout=5)
    async def stubborn() -> str:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        return "late"

    @tool
    async def quick() -> int:
        return 1

    async with Runtime(clock=clock) as rt:
        task = asyncio.create_task(arun_tools([call("stubborn")], [stubborn], runtime=rt))
        await turns()
        clock.advance(5.1)
        assert "within 5 s" in str((await task)[0].error)
        clock.advance(3)
        await turns()
        assert rt.ledger.abandoned == 1
        assert (await arun_tools([call("quick")], [quick], runtime=rt))[0].value == 1
        release.set()
        await turns()
        assert rt.ledger.abandoned == 0
        assert str(rt.tree()).count("(InlineToolActor)") == 1  # the one of `quick`


def test_a_thread_that_does_not_return_is_replaced(call: Call) -> None:
    """With one thread in all, the next call runs although the first one still blocks."""
    clock, began, release = ManualClock(), threading.Event(), threading.Event()

    @tool(timeout=5)
    def stuck() -> None:
        began.set()
        release.wait(20)

    def quick() -> int:
        return 1

    async def until_replaced(rt: Runtime) -> None:
        task = asyncio.create_task(arun_tools([call("stuck")], [stuck], runtime=rt))
        assert await asyncio.to_thread(began.wait, 10)
        clock.advance(5.1)
        assert "within 5 s" in str((await task)[0].error)
        clock.advance(3)
        await turns()

    with Runtime(clock=clock, threads=1) as rt:
        rt.complete(until_replaced(rt), "until_replaced")
        assert rt.ledger.abandoned == 1
        assert run_tools([call("quick")], [quick], runtime=rt)[0].value == 1
        release.set()


@pytest.mark.parametrize("isolation", ["inline", "thread"])
def test_a_runtime_that_stops_answers_its_callers(call: Call, isolation: str) -> None:
    """Whoever waits for a tool in another thread is told; nobody hangs."""
    began, release = threading.Event(), threading.Event()

    async def wait() -> None:
        began.set()
        await asyncio.Event().wait()

    def block() -> None:
        began.set()
        release.wait(20)

    target = wait if isolation == "inline" else block
    outcome: Future[object] = Future()

    def work() -> None:
        try:
            outcome.set_result(run_tools([call(target.__name__)], [target], runtime=rt))
        except BaseException as error:  # noqa: BLE001 - it is what is looked at
            outcome.set_exception(error)

    with Runtime() as rt:
        thread = threading.Thread(target=work)
        thread.start()
        assert began.wait(10)
        rt.stop(timeout=0.2, drain=False)
        outcome.exception(timeout=10)
        release.set()
        thread.join(10)


@pytest.mark.parametrize(("own", "given", "told"), [(5, 60, 5), (None, 60, 60), (None, None, 30)])
async def test_which_timeout_counts(
    call: Call, own: float | None, given: float | None, told: float
) -> None:
    """The tool's own, then the caller's, then the runtime's 30 seconds."""
    clock = ManualClock()

    @tool(timeout=own)
    async def slow() -> None:
        await asyncio.Event().wait()

    async with Runtime(clock=clock) as rt:
        work = arun_tools([call("slow")], [slow], runtime=rt, timeout=given)
        task = asyncio.create_task(work)
        await turns()
        clock.advance(told - 0.5)
        await turns()
        assert not task.done()
        clock.advance(1)
        assert f"within {told} s" in str((await task)[0].error)
