"""What a Reply keeps of its children and of those who wait, while others come and go."""

import asyncio
import builtins
import logging
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from understudy.actors.kernel import reply as kernel_reply
from understudy.actors.kernel.context import in_hand
from understudy.actors.kernel.gathering import gather
from understudy.actors.kernel.reply import Reply
from understudy.messages.errors import DeadlineExceededError

if TYPE_CHECKING:
    from tests.actors.kernel.conftest import Stage

pytestmark = pytest.mark.anyio


def test_a_child_that_comes_while_the_only_one_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread may run wherever `disown` calls something: who has ended is let go of."""
    parent, first, second = Reply[int](), Reply[int](), Reply[int]()
    parent.adopt(first)
    hurried = False

    def kind_of(value: object) -> type:
        nonlocal hurried
        if not hurried:
            hurried = True
            parent.adopt(second)
        return builtins.type(value)

    monkeypatch.setattr(kernel_reply, "type", kind_of, raising=False)
    parent.disown(first)
    if not hurried:
        parent.adopt(second)
    assert parent.children() == [second]


@pytest.mark.parametrize("late", ["answer", "cancel"])
def test_children_of_two_threads(late: str) -> None:
    """Two threads adopt while a third answers the child before theirs, or cancels the parent."""
    parents = [Reply[int]() for _ in range(2_000)]
    first, second, third = ([Reply[int]() for _ in parents] for _ in range(3))
    for parent, child in zip(parents, first, strict=True):
        parent.adopt(child)
    barrier = threading.Barrier(3)

    def adopt(children: list[Reply[int]]) -> None:
        barrier.wait()
        for parent, child in zip(parents, children, strict=True):
            parent.adopt(child)

    def end() -> None:
        barrier.wait()
        for parent, child in zip(parents, first, strict=True):
            if late == "answer":
                child.set(1)
            else:
                parent.cancel()

    threads = [
        threading.Thread(target=adopt, args=(second,)),
        threading.Thread(target=adopt, args=(third,)),
        threading.Thread(target=end),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if late == "cancel":
        assert all(child.cancelled for child in (*first, *second, *third))
    else:
        kept = [{id(child) for child in parent.children()} for parent in parents]
        assert kept == [{id(a), id(b)} for a, b in zip(second, third, strict=True)]


@pytest.mark.parametrize("kind", ["doer", "sync_doer", "thread_doer"])
async def test_a_callback_that_fails_harms_nobody(
    stage: "Stage", kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged: the actor lives on, and the others who wait are told."""
    ref = await getattr(stage, kind)()
    heard: list[Any] = []

    def fail(reply: Reply[Any]) -> None:
        raise ValueError(reply)

    began = threading.Event()

    def work(_: Any) -> int:
        began.wait(10)
        return 1

    with caplog.at_level(logging.ERROR, "understudy.kernel"):
        reply = ref.request(work)
        reply.add_done_callback(fail)
        reply.add_done_callback(heard.append)
        began.set()
        assert await reply == 1
        reply.add_done_callback(fail)
        assert await ref.request("alive") == "alive"
    assert heard == [reply]
    assert len(caplog.records) == 2
    assert "done callback" in caplog.text
    assert ref.incarnation == 0


def test_a_map_that_exits_is_answered() -> None:
    """Whoever waits for it hears of it, and only they."""
    reply = Reply[int]()
    mapped = reply.map(lambda _: sys.exit())
    reply.set(1)
    assert isinstance(mapped.outcome().error, SystemExit)


def test_who_asks_again_and_again_leaves_nothing() -> None:
    """A thread that waits a little at a time waits once, and takes nobody else out."""
    reply = Reply[int]()
    heard: list[Any] = []
    for _ in range(3):
        with pytest.raises(DeadlineExceededError):
            reply.get(timeout=0.0)
        reply.add_done_callback(heard.append)
    assert len(reply._waiter) == 6  # what is kept is the point
    reply.set(1)
    assert heard == [reply] * 3


def test_an_answer_that_comes_as_the_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is there: who waited has it."""
    reply = Reply[int]()

    def too_late(lock: object, timeout: float | None) -> bool:
        del lock, timeout
        reply.set(1)
        return False

    monkeypatch.setattr(kernel_reply, "park", too_late)
    assert reply.get(timeout=0.0) == 1


async def test_a_handler_that_gathers_again_and_again_keeps_nothing(stage: "Stage") -> None:
    """What it has waited for, with a time for all of it, is no child of its message any more."""
    ref, other = await stage.doer(), await stage.sync_doer()

    async def work(_: Any) -> tuple[list[Any], int]:
        found = await gather([other.request(1), other.request(2)], timeout=10)
        hand = in_hand.get()
        assert hand is not None
        assert hand.scope is not None
        return found, len(hand.scope.children())

    assert await ref.request(work) == ([1, 2], 0)


async def test_what_is_gathered_ends_with_its_time_and_with_its_handler(stage: "Stage") -> None:
    """All that is left is cancelled, whichever comes first."""
    ref, other = await stage.doer(), await stage.doer()
    asked: list[Reply[Any]] = []

    async def work(_: Any) -> Any:
        asked.extend(other.request(lambda _: asyncio.Event().wait()) for _ in range(2))
        try:
            return await gather(asked[-2:], timeout=1)
        except DeadlineExceededError:
            return "too late"

    late = ref.request(work)
    await stage.turn()
    stage.clock.advance(1.1)
    assert await late == "too late"
    cancelled = ref.request(work)
    await stage.turn()
    cancelled.cancel()
    await stage.turn()
    assert [reply.cancelled for reply in asked] == [True] * 4
