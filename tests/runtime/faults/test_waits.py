"""Waiting for each other: circles that are named, and waiting that is none."""

import asyncio
import threading
from typing import Any

import pytest

from understudy import Actor, DeadlineExceededError, DeadlockError, Ref, Runtime, child
from understudy.actors.kernel.context import in_hand
from understudy.actors.kernel.gathering import gather
from understudy.actors.kernel.reply import Reply
from understudy.actors.kernel.waits import asks
from understudy.messages.envelope import Envelope
from understudy.messages.errors import OverloadedError

pytestmark = pytest.mark.anyio


class Loop(Actor):
    """Does what it is told, on the loop, and awaits it."""

    expects = (DeadlockError,)

    async def on_receive(self, message: Any) -> Any:
        value = message(self) if callable(message) else message
        return await value if asyncio.iscoroutine(value) else value


class Thread(Actor):
    """Asks down a list of Refs, blocking a thread for each."""

    expects = (DeadlockError,)

    def on_receive(self, message: tuple[Ref[Any], ...]) -> str:
        return "end" if not message else str(message[0].ask(message[1:]))


@pytest.mark.parametrize("length", [1, 2, 3, 5])
def test_a_circle_of_threads_is_named_at_once(length: int) -> None:
    """With the whole path, by whoever closes it; nobody waits for a deadline, and no edge stays."""
    with Runtime(threads=8) as rt:
        refs = [rt.spawn(Thread, name=f"t{number}") for number in range(length)]
        with pytest.raises(DeadlockError) as caught:
            refs[0].ask((*refs[1:], refs[0]), timeout=600)
        cycle = caught.value.cycle
        assert cycle[0] == cycle[-1]
        assert sorted(cycle[1:]) == [ref.path for ref in refs]
        for order in (refs, refs[::-1]):
            assert order[0].ask(tuple(order[1:])) == "end"


def test_a_circle_with_a_tail_is_named_without_the_tail() -> None:
    """The search ends, and those before the circle hear of it too (B15)."""
    with Runtime(threads=8) as rt:
        tail, one, two = [rt.spawn(Thread, name=name) for name in ("tail", "one", "two")]
        with pytest.raises(DeadlockError) as caught:
            tail.ask((one, two, one), timeout=600)
        assert set(caught.value.cycle) == {"/user/one", "/user/two"}


def test_who_asks_into_a_circle_of_others_is_no_part_of_it() -> None:
    """The search ends also when it finds a circle that the asker does not belong to."""
    with Runtime() as rt:
        one, two, other = [rt.spawn(Loop).cell for _ in range(3)]
        one.waits_for, two.waits_for = [Reply(two)], [Reply(one)]
        other.current = env = Envelope(None, cell=other)
        token = in_hand.set(env)
        try:
            assert asks(Reply(one), one) is other
        finally:
            in_hand.reset(token)
            other.current = one.waits_for = two.waits_for = other.waits_for = None


def test_two_that_close_a_circle_at_once_do_not_miss_each_other() -> None:
    """Each notes its edge before it looks for those of others (B16)."""
    meet = threading.Barrier(2, timeout=10)
    heard: list[object] = []

    class Edges(list[Any]):
        """Both threads add their edge at the same time."""

        def append(self, edge: Any) -> None:
            meet.wait()
            super().append(edge)

    with Runtime() as rt:
        one, two = [rt.spawn(Loop).cell for _ in range(2)]

        def ask(asker: Any, target: Any) -> None:
            asker.current = env = Envelope(None, cell=asker)
            in_hand.set(env)
            try:
                heard.append(asks(Reply(target), target))
            except DeadlockError as error:
                heard.append(error)

        one.waits_for, two.waits_for = Edges(), Edges()
        threads = [threading.Thread(target=ask, args=pair) for pair in ((one, two), (two, one))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=10)
        one.current = two.current = None
        assert len(heard) == 2
        assert any(isinstance(each, DeadlockError) for each in heard)


async def test_deferred_answers_and_background_work_wait_for_nobody() -> None:
    """A asks B, B defers its answer and asks A beside its handlers: that is no circle."""

    class Desk(Actor):
        def __init__(self, other: Ref[Any]) -> None:
            self.other = other

        async def on_receive(self, message: Any) -> None:
            if message == "go":
                reply = self.defer()

                async def ask() -> Any:
                    return await self.other.request("echo")

                self.background(ask(), then=lambda outcome: (reply, outcome.value))
            else:
                reply, value = message
                reply.set(value)

    class Front(Actor):
        """Defers too, so that it can answer what it is asked meanwhile."""

        desk: Ref[Any]

        async def on_receive(self, message: Any) -> Any:
            if message == "echo":
                return "echo"
            if message == "start":
                reply = self.defer()

                async def ask() -> Any:
                    return await self.desk.request("go")

                self.background(ask(), then=lambda outcome: (reply, outcome.value))
                return None
            if isinstance(message, Ref):
                self.desk = message
                return None
            reply, value = message
            reply.set(value)
            return None

    async with Runtime() as rt:
        front = await rt.aspawn(Front)
        desk = await rt.aspawn(child(Desk, front))
        await front.request(desk)
        async with asyncio.timeout(10):
            assert await front.request("start") == "echo"


async def test_asking_one_actor_twice_is_no_circle() -> None:
    """Not at once either, nor after an answer: edges go when the wait is over."""
    async with Runtime() as rt:
        one, two = await rt.aspawn(Loop), await rt.aspawn(Loop)

        async def both(_: Actor) -> list[Any]:
            return list(await asyncio.gather(two.request(1), two.request(2)))

        async def back(_: Actor) -> Any:
            return await one.request(3)

        assert await one.request(both) == [1, 2]
        assert not one.cell.waits_for
        assert await two.request(back) == 3


class Nested(Actor):
    """Blocks a thread on a child of its own, and so on."""

    expects = (OverloadedError,)

    def on_receive(self, message: int) -> int:
        return 0 if message == 0 else 1 + int(self.spawn(Nested).ask(message - 1))


def test_nested_asks_never_wait_for_their_ancestors_threads() -> None:
    """Width 4 x the bound, depth 8, every bound 1: refused at once with the chain, never stuck."""
    with Runtime(threads=1) as rt:
        refs = [rt.spawn(Nested) for _ in range(4)]
        replies = [ref.request(8, timeout=600) for ref in refs]
        for reply in replies:
            with pytest.raises(OverloadedError) as caught:
                reply.get(timeout=20)
            assert len(caught.value.chain) >= 2
            assert " -> ".join(caught.value.chain) in str(caught.value)
        assert rt.spawn(Nested).ask(1) == 1  # one spare thread for one that waits
        assert rt.ledger.balanced
        assert not rt.ledger.queued


def test_nested_asks_go_as_deep_as_twice_the_threads() -> None:
    """A spare thread for each that waits: depth 8 needs nine, four have four spare ones."""
    with Runtime(threads=8) as rt:
        replies = [rt.spawn(Nested).request(2, timeout=600) for _ in range(4)]
        assert [reply.get(timeout=20) for reply in replies] == [2] * 4
        assert rt.spawn(Nested).ask(8, timeout=600) == 8


def test_async_actors_nest_without_threads() -> None:
    """Width 4, depth 8, one thread: nothing on the loop occupies one."""

    class NestedAsync(Actor):
        async def on_receive(self, message: int) -> int:
            if message == 0:
                return 0
            inner = await self.spawn(NestedAsync)
            return 1 + int(await inner.request(message - 1))

    with Runtime(threads=1) as rt:
        replies = [rt.spawn(NestedAsync).request(8) for _ in range(4)]
        assert [reply.get(timeout=20) for reply in replies] == [8] * 4


async def test_a_gather_has_one_deadline_for_all() -> None:
    """Then those that are left are cancelled, whatever has been answered (P6)."""
    cancelled: list[int] = []

    async def wait(_: Actor) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(1)

    async with Runtime() as rt:
        refs = [await rt.aspawn(Loop) for _ in range(4)]
        quick = refs[0].request("quick")
        slow = [ref.request(wait) for ref in refs[1:]]
        with pytest.raises(DeadlineExceededError):
            await gather([quick, *slow], timeout=0.05)
        assert quick.outcome().value == "quick"
        assert all(reply.cancelled for reply in slow)
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(cancelled) == 3
        assert await gather([ref.request(1) for ref in refs], timeout=10) == [1] * 4
