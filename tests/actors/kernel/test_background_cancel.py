import asyncio

import pytest

from understudy import Actor, Outcome, Reply, RunCancelledError, Runtime, child
from understudy.testing import assert_quiet

pytestmark = pytest.mark.anyio


class Hasty(Actor):
    """Begins work and has itself cancelled, before the work or right after its first step."""

    def __init__(self, outcomes: list[Outcome], requests: list[Reply[None]], busy: int) -> None:
        self._outcomes = outcomes
        self._requests = requests
        self._busy = busy

    async def on_receive(self, message: str | Outcome) -> None:
        if isinstance(message, Outcome):
            self._outcomes.append(message)
            return
        for _ in range(self._busy):  # who could take a first step at once
            self.background(asyncio.sleep(60), then=lambda outcome: outcome)
        self.background(asyncio.sleep(60), then=lambda outcome: outcome)
        self._requests[0].cancel()


@pytest.mark.parametrize("busy", [0, 20])
async def test_work_cancelled_at_its_first_step_ends(busy: int) -> None:
    """Nothing is left that would keep the actor alive; nobody waits for what it gave."""
    outcomes: list[Outcome] = []
    requests: list[Reply[None]] = []
    async with Runtime() as rt:
        ref = await rt.aspawn(child(Hasty, outcomes, requests, busy))
        requests.append(ref.request("go"))
        with pytest.raises(RunCancelledError):
            await requests[0]
        async with asyncio.timeout(10):
            await ref.stop()
        assert_quiet(rt)
    assert outcomes == []


async def test_work_whose_task_is_cancelled_comes_back() -> None:
    """Whoever cancels it: its outcome is a cancel, and the actor goes on."""
    outcomes: list[Outcome] = []

    async def cancels_itself() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(60)

    class Owner(Actor):
        async def on_receive(self, message: str | Outcome) -> None:
            if isinstance(message, Outcome):
                outcomes.append(message)
            else:
                self.background(cancels_itself(), then=lambda outcome: outcome)

    async with Runtime() as rt:
        ref = await rt.aspawn(Owner)
        await ref.request("go")
        await ref.request("go")
        async with asyncio.timeout(10):
            await ref.stop()
        assert_quiet(rt)
    assert [type(each.error) for each in outcomes] == [RunCancelledError, RunCancelledError]


class Errands(Actor):
    """Begins work that ends at once, that waits, that fails."""

    def __init__(self, outcomes: list[Outcome], tasks: list[object]) -> None:
        self._outcomes = outcomes
        self._tasks = tasks

    async def on_receive(self, message: str | Outcome) -> None:
        if isinstance(message, Outcome):
            self._outcomes.append(message)
            return
        for work in (self._at_once(), self._waiting(), self._failing()):
            self.background(work, then=lambda outcome: outcome)

    async def _at_once(self) -> str:
        self._tasks.append(asyncio.current_task())
        return "at once"

    async def _waiting(self) -> str:
        before = asyncio.current_task()
        try:
            async with asyncio.timeout(0.001):
                await asyncio.sleep(60)
        except TimeoutError:
            self._tasks.append(asyncio.current_task())
            assert asyncio.current_task() is before
        return "waited"

    async def _failing(self) -> None:
        await asyncio.sleep(0)
        raise KeyError("no")


async def test_work_beside_handlers_is_in_a_real_task() -> None:
    """Timeouts work in it from its first step on, and every way to end comes back."""
    outcomes: list[Outcome] = []
    tasks: list[object] = []
    async with Runtime() as rt:
        ref = await rt.aspawn(child(Errands, outcomes, tasks))
        await ref.request("go")
        async with asyncio.timeout(10):
            await ref.stop()
        assert_quiet(rt)
    assert sorted(str(each.value) for each in outcomes) == ["None", "at once", "waited"]
    assert [type(each.error) for each in outcomes if each.error] == [KeyError]
    assert None not in tasks


async def test_work_does_not_outlive_its_actor() -> None:
    """A killed actor's work is cancelled, wherever it stands."""
    outcomes: list[Outcome] = []
    ended: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("ended")

    class Killed(Actor):
        async def on_receive(self, message: str | Outcome) -> None:
            if isinstance(message, Outcome):
                outcomes.append(message)
                return
            self.background(work(), then=lambda outcome: outcome)

    async with Runtime() as rt:
        ref = await rt.aspawn(Killed)
        await ref.request("go")
        await ref.kill()
        async with asyncio.timeout(10):
            while not ended:  # noqa: ASYNC110 - it ends on this very loop
                await asyncio.sleep(0)
    assert outcomes == []
