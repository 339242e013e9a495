import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pykka
import pytest

from understudy.actors.kernel import reply as kernel_reply
from understudy.actors.kernel.reply import Reply
from understudy.messages.errors import DeadlineExceededError, RunCancelledError

if TYPE_CHECKING:
    from tests.actors.kernel.conftest import Stage

pytestmark = pytest.mark.anyio


async def test_the_first_answer_wins_and_later_ones_are_dead_letters(stage: "Stage") -> None:
    """Whoever answers after the first changes nothing, raises nothing, and is on record."""
    ref = await stage.doer()
    go = asyncio.Event()

    async def slow(_: Any) -> str:
        await go.wait()
        return "late"

    reply = ref.request(slow)
    await stage.turn()
    reply.set("first")
    go.set()
    assert await reply == "first"
    assert await ref.request("alive") == "alive"
    reply.set_exception(ValueError("third"))
    assert await reply == "first"
    assert stage.reasons() == ["late_reply", "late_reply"]
    assert ref.ledger.late_reply == 2
    assert ref.incarnation == 0


async def test_await_does_not_block_the_loop(stage: "Stage") -> None:
    """While one task waits for an answer from a thread, others run on the same loop."""
    ref = await stage.thread_doer()
    reply: Reply[str] = Reply()
    waiting = asyncio.ensure_future(_awaiting(ref.request(lambda _: reply.get(timeout=10))))
    await stage.turn(20)
    assert not waiting.done()
    reply.set("answered by the loop")
    assert await waiting == "answered by the loop"


async def _awaiting(reply: Reply[Any]) -> Any:
    return await reply


async def test_an_answer_is_awaited_on_a_foreign_loop(stage: "Stage") -> None:
    """A request may be made and awaited on another loop than the actor's."""
    ref = await stage.doer()

    async def foreign() -> list[Any]:
        return await asyncio.gather(*(_awaiting(ref.request(n)) for n in range(20)))

    assert await stage.thread(lambda: asyncio.run(foreign())) == list(range(20))


async def test_an_answer_is_had_on_a_thread(stage: "Stage") -> None:
    """`ask` and `get` block a thread that is not the loop's, and raise what the handler raised."""
    ref = await stage.doer()

    def fail(_: Any) -> None:
        raise LookupError("nothing here")

    assert await stage.thread(lambda: ref.ask("x")) == "x"
    assert await stage.thread(lambda: ref.request("y").get(timeout=10)) == "y"
    with pytest.raises(LookupError, match="nothing here"):
        await stage.thread(lambda: ref.ask(fail))


async def test_many_wait_for_one_answer(stage: "Stage") -> None:
    """Tasks, threads and callbacks all get the same answer, each once."""
    ref = await stage.doer()
    go = asyncio.Event()
    seen: list[Reply[Any]] = []
    reply = ref.request(lambda _: _waited(go))
    tasks = [asyncio.ensure_future(_awaiting(reply)) for _ in range(3)]
    threads = [stage.thread(lambda: reply.get(timeout=10)) for _ in range(3)]
    reply.add_done_callback(seen.append)
    await stage.turn()
    assert seen == []
    go.set()
    assert await asyncio.gather(*tasks) == ["go"] * 3
    assert [await each for each in threads] == ["go"] * 3
    reply.add_done_callback(seen.append)
    assert seen == [reply, reply]


async def _waited(event: asyncio.Event) -> str:
    await event.wait()
    return "go"


async def test_get_gives_up_and_the_work_goes_on(stage: "Stage") -> None:
    """The timeout of `get` is for the one who waits; it is `pykka.Timeout` and a TimeoutError."""
    ref = await stage.doer()
    go = asyncio.Event()
    reply = ref.request(lambda _: _waited(go))
    with pytest.raises(pykka.Timeout) as caught:
        await stage.thread(lambda: reply.get(timeout=0.0))
    assert isinstance(caught.value, DeadlineExceededError)
    assert isinstance(caught.value, TimeoutError)
    go.set()
    assert await reply == "go"


@pytest.mark.parametrize("how", ["answer", "fail", "cancel"])
def test_a_settled_reply_stays_as_it_is(how: str) -> None:
    """Its state is one of answered, failed, cancelled; nothing later changes it."""
    reply: Reply[int] = Reply()
    first: dict[str, Callable[[], object]] = {
        "answer": lambda: reply.set(1),
        "fail": lambda: reply.set_exception(ValueError("one")),
        "cancel": reply.cancel,
    }
    first[how]()
    before = repr(reply)
    reply.set(2)
    reply.set_exception(ValueError("two"))
    assert not reply.cancel()
    assert reply.done
    assert repr(reply) == before
    assert reply.cancelled is (how == "cancel")
    outcome = reply.outcome()
    assert (outcome.value == 1) is (how == "answer")
    assert isinstance(outcome.error, RunCancelledError) is (how == "cancel")


async def test_a_cancelled_waiter_cancels_the_work(stage: "Stage") -> None:
    """Cancelling the task that awaits a request ends the handler behind it."""
    ref = await stage.doer()
    ended: list[str] = []

    async def endless(_: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    waiting = asyncio.ensure_future(_awaiting(ref.request(endless)))
    await stage.until(lambda: ref.ledger.running)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await stage.until(lambda: ended)
    assert await ref.request("next") == "next"
    assert ref.ledger.cancelled == 1


def test_combinators_of_pykka() -> None:
    """`map`, `filter`, `reduce` and `join` work on values; errors pass; hooks are refused."""
    one: Reply[list[int]] = Reply()
    two: Reply[int] = Reply()
    both = one.map(sum).join(two)
    evens = one.filter(lambda n: n % 2 == 0)
    total = one.reduce(lambda a, b: a * b, 10)
    broken = two.map(lambda n: n / 0)
    one.set([1, 2, 3])
    two.set(7)
    assert both.get() == [6, 7]
    assert evens.get() == [2]
    assert total.get() == 60
    with pytest.raises(ZeroDivisionError):
        broken.map(str).get()
    with pytest.raises(TypeError, match="add_done_callback"):
        one.set_get_hook(list)


def test_the_first_error_of_several_wins_at_once() -> None:
    """A joined reply fails as soon as one part does, while the others are still open."""
    open_, failing = Reply[int](), Reply[int]()
    joined = open_.join(failing)
    failing.set_exception(KeyError("x"))
    assert joined.done
    with pytest.raises(KeyError):
        joined.get()


def test_exceptions_are_given_in_pykkas_ways() -> None:
    """An exception, pykka's triple, or the one being handled."""
    triple, handled = Reply[int](), Reply[int]()
    triple.set_exception((ValueError, ValueError("triple"), None))
    try:
        raise KeyError("handled")
    except KeyError:
        handled.set_exception()
    with pytest.raises(ValueError, match="triple"):
        triple.get()
    with pytest.raises(KeyError, match="handled"):
        handled.get()


async def test_who_waits_is_told_in_order(stage: "Stage") -> None:
    """Callbacks and those who await, on this loop and on others, as they came; each once."""
    reply: Reply[str] = Reply()
    told: list[str] = []
    reply.add_done_callback(lambda _: told.append("first"))
    waiting = asyncio.ensure_future(_awaiting(reply))
    await asyncio.sleep(0)
    reply.add_done_callback(lambda _: told.append(f"second, {waiting.done()}"))
    elsewhere = asyncio.create_task(asyncio.to_thread(lambda: asyncio.run(_awaiting(reply))))
    on_thread = asyncio.create_task(asyncio.to_thread(reply.get, timeout=10))
    await stage.until(lambda: len(reply._waiter) == 10)
    reply.set("answered")
    assert told == ["first", "second, False"]
    assert {*await asyncio.gather(waiting, elsewhere, on_thread)} == {"answered"}


@pytest.mark.parametrize("count", [1, 2, 5])
def test_what_was_begun_for_an_answer_ends_with_it(count: int) -> None:
    """All that is left of it, and only that; one that is begun afterwards at once."""
    reply: Reply[None] = Reply()
    children: list[Reply[None]] = [Reply() for _ in range(count)]
    ended: Reply[None] = Reply()
    for each in (*children[:1], ended, *children[1:]):
        reply.adopt(each)
    ended.set(None)
    assert reply.children() == children
    reply.cancel(expired=True)
    assert all(each.cancelled for each in children)
    assert not ended.cancelled
    assert not reply.children()
    late: Reply[None] = Reply()
    reply.adopt(late)
    assert isinstance(late.outcome().error, DeadlineExceededError)


def test_an_only_child_that_has_ended_makes_room() -> None:
    """One after the other, as a run asks its model turn by turn."""
    reply: Reply[None] = Reply()
    for _ in range(3):
        child: Reply[None] = Reply()
        reply.adopt(child)
        assert reply.children() == [child]
        child.set(None)
        assert reply.children() == []


def test_an_only_child_may_end_while_another_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """On another thread, in the middle of it: the one that has ended is not kept, or brought back.

    The hook stands for that thread: it runs where this one can be interrupted.
    """
    reply: Reply[None] = Reply()
    first: Reply[None] = Reply()
    second: Reply[None] = Reply()
    reply.adopt(first)

    def interrupted(each: object) -> int:
        monkeypatch.delattr(kernel_reply, "id")
        first.set(None)
        return id(each)

    monkeypatch.setattr(kernel_reply, "id", interrupted, raising=False)
    reply.adopt(second)
    assert first.done
    assert reply.children() == [second]
