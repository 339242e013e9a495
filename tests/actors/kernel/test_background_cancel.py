import asyncio

import pytest

from understudy import Actor, Outcome, RunCancelledError, Runtime, child
from understudy.testing import assert_quiet

pytestmark = pytest.mark.anyio


class Hasty(Actor):
    """Begins work and cancels all of it before it has taken its first step."""

    def __init__(self, outcomes: list[Outcome]) -> None:
        self._outcomes = outcomes

    async def on_receive(self, message: str | Outcome) -> None:
        if isinstance(message, Outcome):
            self._outcomes.append(message)
            return
        before = asyncio.all_tasks()
        self.background(asyncio.sleep(60), then=lambda outcome: outcome)
        for task in asyncio.all_tasks() - before:
            task.cancel()


async def test_work_cancelled_before_its_first_step_comes_back() -> None:
    """Its outcome is a cancel like any other; nothing is left that would keep the actor alive."""
    outcomes: list[Outcome] = []
    async with Runtime() as rt:
        ref = await rt.aspawn(child(Hasty, outcomes))
        await ref.request("go")
        async with asyncio.timeout(10):
            await ref.stop()
    (outcome,) = outcomes
    assert isinstance(outcome.error, RunCancelledError)
    assert_quiet(rt)
