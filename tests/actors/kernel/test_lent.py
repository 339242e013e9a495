import asyncio
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from understudy.actors.kernel.ref import Ref
from understudy.messages.errors import RunCancelledError

if TYPE_CHECKING:
    from tests.actors.kernel.conftest import Stage

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _time_stands_still(stage: "Stage") -> None:
    """Haste is bounded by time: on a busy machine it would be over before it has begun."""
    stage.dispatcher.now = lambda: 0.0


async def _yields() -> str:
    for _ in range(3):
        await asyncio.sleep(0)
    return "whole"


async def test_first_steps_taken_in_haste_have_a_task_of_their_own(stage: "Stage") -> None:
    """A handler lent to a parked runner sees that runner's task, and the asker sees its own."""
    ref = await stage.doer()
    mine = asyncio.current_task()
    await ref.request("makes a runner")
    await stage.turn()
    assert stage.dispatcher.idle

    async def look(_: Any) -> list[Any]:
        first = asyncio.current_task()
        with anyio.CancelScope() as scope:
            with anyio.move_on_after(0):
                await anyio.sleep_forever()
            async with asyncio.timeout(None):
                await asyncio.sleep(0)
            scope.cancel()
            await anyio.sleep_forever()
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0))
        return [first, asyncio.current_task(), scope.cancelled_caught]

    order: list[str] = []
    asyncio.get_running_loop().call_soon(order.append, "a turn of the loop")

    def begin(actor: Any) -> Any:
        order.append("first step")
        return look(actor)

    first, last, caught = await ref.request(begin)
    assert order == ["first step", "a turn of the loop"]
    assert first is last
    assert first in [runner.task for runner in stage.dispatcher.runners]
    assert caught
    assert asyncio.current_task() is mine
    (at_once,) = await ref.request(lambda _: [asyncio.current_task()])
    assert at_once is not mine
    assert asyncio.current_task() is mine


async def test_a_lent_handler_can_be_cancelled_at_once(stage: "Stage") -> None:
    """By its asker, in the turn in which it has suspended."""
    ref = await stage.doer()
    await ref.request("makes a runner")
    await stage.turn()
    waiting = asyncio.ensure_future(_awaiting(ref))
    await asyncio.sleep(0)
    assert ref.ledger.running == 1
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await ref.request("next") == "next"
    assert ref.ledger.cancelled == 1


async def _awaiting(ref: "Ref[Any]") -> Any:
    return await ref.request(lambda _: asyncio.Event().wait())


@pytest.mark.parametrize("waits", [True, False])
async def test_a_lent_handler_may_cancel_itself(stage: "Stage", waits: bool) -> None:
    """Before it has suspended for the first time: only its own message ends by it."""
    ref = await stage.doer()
    await ref.request("makes a runner")
    await stage.turn()

    async def cancels(_: Any) -> str:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        if waits:
            await asyncio.Event().wait()
        return "ended before it hit"

    if waits:
        with pytest.raises(RunCancelledError):
            await ref.request(cancels)
    else:
        assert await ref.request(cancels) == "ended before it hit"
    assert await ref.request("next") == "next"
    assert await ref.request(lambda _: _yields()) == "whole"


async def test_what_a_plain_handler_begins_may_ask_another_plain_one(stage: "Stage") -> None:
    """In its first step, which is taken inside of the handler: one is served within the other."""
    doer, asker, asked = await stage.doer(), await stage.sync_doer(), await stage.sync_doer()
    await doer.request("makes a runner")
    await stage.turn()
    assert stage.dispatcher.idle

    async def ask() -> str:
        return str(await asked.request("asked"))

    def begin(actor: Any) -> None:
        deferred = actor.defer()
        actor.background(ask(), then=lambda outcome: lambda _: deferred.set(outcome.value))

    assert await asker.request(begin) == "asked"
    assert await asker.request("goes on") == "goes on"
