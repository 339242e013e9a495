"""Going on with a coroutine whose first step was taken by hand."""

import asyncio

import pytest

from understudy.actors.kernel.dispatchers.steps import resume

pytestmark = pytest.mark.anyio


async def test_a_cancel_reaches_what_is_waited_for() -> None:
    """As with a task: an inner task does not run on when the one that awaits it is cancelled."""
    inner = asyncio.ensure_future(asyncio.Event().wait())

    async def handler() -> None:
        await inner

    coroutine = handler()
    waits_on = coroutine.send(None)
    assert waits_on is inner
    with pytest.raises(asyncio.CancelledError):
        await resume(coroutine, waits_on, asyncio.CancelledError())
    await asyncio.wait([inner], timeout=5)
    assert inner.cancelled()


async def test_what_is_shielded_is_left_alone() -> None:
    """A shield keeps what it should, here as anywhere."""
    go = asyncio.Event()
    inner = asyncio.ensure_future(go.wait())

    async def handler() -> None:
        await asyncio.shield(inner)

    coroutine = handler()
    waits_on = coroutine.send(None)
    with pytest.raises(asyncio.CancelledError):
        await resume(coroutine, waits_on, asyncio.CancelledError())
    assert not inner.done()
    go.set()
    assert await inner


async def test_without_a_cancel_it_is_as_if_awaited() -> None:
    """The value comes back, and an error is the coroutine's to catch."""

    async def handler(future: "asyncio.Future[int]") -> int:
        try:
            return await future
        except ValueError:
            return -1

    for outcome, expected in ((7, 7), (ValueError(), -1)):
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        coroutine = handler(future)
        waits_on = coroutine.send(None)
        if isinstance(outcome, int):
            future.set_result(outcome)
        else:
            future.set_exception(outcome)
        assert await resume(coroutine, waits_on, None) == expected
