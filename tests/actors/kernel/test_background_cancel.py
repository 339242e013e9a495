import asyncio
from collections.abc import Coroutine
from contextvars import ContextVar
from typing import Any

import pytest

from understudy import Actor, Outcome, Reply, RunCancelledError, Runtime, child
from understudy.testing import assert_quiet

pytestmark = pytest.mark.anyio

marked: ContextVar[int] = ContextVar("marked", default=0)


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


class Busy(Actor):
    """Runs what it is told to in the background, and keeps what came of it."""

    def __init__(self, outcomes: list[Outcome]) -> None:
        self._outcomes = outcomes

    async def on_receive(self, message: Any) -> None:
        if isinstance(message, Outcome):
            self._outcomes.append(message)
        else:
            message(self)


def _begin(actor: Busy, work: Coroutine[Any, Any, Any]) -> None:
    actor.background(work, then=lambda outcome: outcome)


async def test_work_that_does_not_wait_takes_no_task_and_no_turn() -> None:
    """It has ended, and its outcome was handled, when somebody on the loop has asked for more."""
    outcomes: list[Outcome] = []

    async def work() -> int:
        return 7

    async with Runtime() as rt:
        ref = await rt.aspawn(child(Busy, outcomes))
        for _ in range(5):  # until there is a parked runner
            await ref.request(lambda _: None)
            await asyncio.sleep(0)
        tasks = asyncio.all_tasks()
        turned: list[int] = []
        asyncio.get_running_loop().call_soon(turned.append, 1)
        await ref.request(lambda actor: _begin(actor, work()))
        await ref.request(lambda _: None)
        assert [outcome.value for outcome in outcomes] == [7]
        assert not turned
        assert asyncio.all_tasks() == tasks
    assert_quiet(rt)


async def test_work_has_a_task_of_its_own_while_it_waits() -> None:
    """Time limits and task groups of asyncio work in it, from its first step on."""
    outcomes: list[Outcome] = []

    async def work() -> int:
        try:
            async with asyncio.timeout(0.001):
                await asyncio.Event().wait()
        except TimeoutError:
            pass
        async with asyncio.TaskGroup() as group:
            task = group.create_task(asyncio.sleep(0, 7))
        return task.result()

    async with Runtime() as rt:
        ref = await rt.aspawn(child(Busy, outcomes))
        await ref.request(lambda actor: _begin(actor, work()))
        await ref.stop()
        assert [outcome.value for outcome in outcomes] == [7]
    assert_quiet(rt)


async def test_work_sees_the_context_that_it_was_begun_in() -> None:
    """A handler that sets a context variable passes it on, and the next message does not see it."""
    outcomes: list[Outcome] = []

    async def work() -> int:
        return marked.get()

    def set_and_begin(actor: Busy) -> None:
        marked.set(3)
        _begin(actor, work())

    async with Runtime() as rt:
        ref = await rt.aspawn(child(Busy, outcomes))
        await ref.request(set_and_begin)
        await ref.request(lambda actor: _begin(actor, work()))
        await ref.stop()
        assert sorted(outcome.value for outcome in outcomes) == [0, 3]
    assert_quiet(rt)


async def test_a_kill_before_its_first_step_closes_the_work() -> None:
    """It is never begun, and nothing warns of a coroutine that nobody awaited."""
    outcomes: list[Outcome] = []
    begun: list[int] = []

    async def work() -> None:
        begun.append(1)

    def begin_and_die(actor: Busy) -> None:
        _begin(actor, work())
        actor.ref.kill()

    async with Runtime() as rt:
        ref = await rt.aspawn(child(Busy, outcomes))
        ref.tell(begin_and_die)
        await ref.ajoin()
    assert not begun
    assert not outcomes
