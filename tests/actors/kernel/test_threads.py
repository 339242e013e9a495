import asyncio
import subprocess
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from understudy.actors.kernel.actor import Actor
from understudy.actors.kernel.dispatchers.threads import STACK, ThreadsDispatcher
from understudy.actors.kernel.ref import Ref
from understudy.messages.errors import (
    DeadlineExceededError,
    OverloadedError,
    RunCancelledError,
    WouldDeadlockError,
)

if TYPE_CHECKING:
    from tests.actors.kernel.conftest import Stage

pytestmark = pytest.mark.anyio


class Other(Actor):
    """Works on threads of its own class of work."""

    bulkhead = "others"

    def on_receive(self, message: Any) -> Any:
        return message(self) if callable(message) else message


def _runs(ref: Ref[Any]) -> bool:
    return ref.ledger.running > 0


def _workers(stage: "Stage") -> list[threading.Thread]:
    return [worker for threads in stage.bulkheads for worker in threads.threads]


async def test_threads_are_bounded_and_daemon(stage: "Stage") -> None:
    """Many actors share a few threads, which are made when needed and end with the process."""
    refs = [await stage.thread_doer() for _ in range(40)]
    assert not _workers(stage)
    seen = [await ref.request(lambda _: threading.current_thread()) for ref in refs]
    replies = [ref.request(lambda _: threading.current_thread()) for ref in refs]
    seen += [await reply for reply in replies]
    assert len(set(seen)) <= stage.size
    assert all(worker.daemon for worker in seen)
    assert STACK >= 1 << 20
    assert len(_workers(stage)) <= stage.size


async def test_a_hung_bulkhead_leaves_the_others_alone(stage: "Stage") -> None:
    """All threads of one class of work are stuck; another class works on."""
    go = threading.Event()
    stuck = [
        (await stage.thread_doer()).request(lambda _: go.wait(10)) for _ in range(stage.size + 2)
    ]
    other = await stage.spawn(Other)
    assert await other.request("works") == "works"
    assert not any(reply.done for reply in stuck)
    go.set()
    assert all([await reply for reply in stuck])


async def test_nested_asks_get_spare_threads(stage: "Stage") -> None:
    """A thread that waits for an answer is compensated, up to twice the size, then it says so."""
    stage.size = 1
    first, second, third = [await stage.thread_doer() for _ in range(3)]
    assert await first.request(lambda _: second.ask("deep")) == "deep"
    with pytest.raises(OverloadedError, match="all 1 threads"):
        await first.request(lambda _: second.ask(lambda _: third.ask("deeper")))
    await stage.advance(1)
    assert await first.request("x") == "x"


async def test_an_abandoned_handler_is_replaced(stage: "Stage") -> None:
    """A blocking call cannot be interrupted: it sees the token, and others get its thread."""
    stage.size = 1
    ref, other = await stage.thread_doer(), await stage.thread_doer()
    go = threading.Event()
    seen: list[bool] = []

    def stubborn(actor: Any) -> str:
        context = actor.context
        go.wait(10)
        seen.append(context.cancelled)
        return "too late"

    reply, waiting = ref.request(stubborn), other.request("waits for the thread")
    await stage.until(lambda: ref.ledger.running)
    reply.cancel()
    await stage.turn()
    assert not waiting.done
    await stage.advance(2.1)
    assert await waiting == "waits for the thread"
    with pytest.raises(RunCancelledError):
        await reply
    assert await ref.request("next life") == "next life"
    assert stage.system.ledger().abandoned == 1
    go.set()
    await stage.until(lambda: not stage.system.ledger().abandoned)
    assert seen == [True]
    assert await ref.request("still") == "still"
    await stage.until(lambda: stage.bulkheads[0].abandoned == 0)
    assert len(_workers(stage)) <= 1


async def test_abandoned_handlers_are_replaced_up_to_a_cap(stage: "Stage") -> None:
    """With twice the size of threads lost there are no more; askers get their deadline."""
    stage.size = 1
    go = threading.Event()
    for _ in range(2):
        ref = await stage.thread_doer()
        ref.tell(lambda _: go.wait(10))
        await stage.until(partial(_runs, ref))
        ended = ref.kill()
        await stage.turn()
        await stage.advance(2.1)
        await ended
    assert stage.bulkheads[0].abandoned == 2
    ref = await stage.thread_doer()
    reply = ref.request("nobody is left to hear", timeout=5)
    await stage.advance(5.02)
    with pytest.raises(DeadlineExceededError):
        await reply
    waiting = ref.request("until one has come back")
    go.set()
    assert await waiting == "until one has come back"
    await stage.until(lambda: not stage.system.ledger().abandoned)


async def test_a_slice_is_shared(stage: "Stage") -> None:
    """An actor with a long queue hands over: another one on the same thread gets its turn."""
    stage.size = 1
    long, short = await stage.thread_doer(), await stage.thread_doer()
    go = threading.Event()
    order: list[str] = []
    long.tell(lambda _: go.wait(10))
    for _ in range(500):
        long.tell(lambda _: order.append("long"))
    reply = short.request(lambda _: order.append("short"))
    go.set()
    await reply
    await long.request("all of it")
    assert len(order) == 501
    assert order.index("short") < 500


async def test_a_thread_may_not_wait_on_its_own_loop(stage: "Stage") -> None:
    """A sync handler on the loop that asks is refused; on a thread it may."""
    on_loop, target = await stage.sync_doer(), await stage.doer()
    with pytest.raises(WouldDeadlockError):
        await on_loop.request(lambda _: target.ask("x"))
    await stage.advance(1)
    blocking = await stage.thread_doer()
    assert await blocking.request(lambda _: target.ask("x")) == "x"


def test_closing_ends_the_threads() -> None:
    """Idle threads end, and nothing is made any more."""
    threads = ThreadsDispatcher("closing", 2)
    with threads._lock:
        worker = threads._make()
    assert worker is not None
    worker.start()
    threads.close()
    worker.join(10)
    assert not worker.is_alive()
    with threads._lock:
        assert threads._make() is None


_STUCK = """
import threading
from understudy import Actor, Runtime
class Stuck(Actor):
    def on_receive(self, message: threading.Event) -> None:
        message.set()
        threading.Event().wait()
with Runtime() as rt:
    began = threading.Event()
    ref = rt.spawn(Stuck)
    ref.tell(began)
    began.wait(10)
    report = rt.stop(timeout=0.2)
print("abandoned", *report.abandoned, flush=True)
"""


def test_a_process_with_a_stuck_handler_exits() -> None:
    """No thread of ours is joined at interpreter exit (P16, P19); the report names the actor."""
    done = subprocess.run(
        [sys.executable, "-c", _STUCK], capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "/user/Stuck-1" in done.stdout.split()


async def test_many_may_wait_for_what_needs_no_thread(stage: "Stage") -> None:
    """More than twice as many as there are threads ask an actor on the loop: nobody is refused."""
    stage.size = 2
    target, gate = await stage.doer(), asyncio.Event()
    asks = [
        (await stage.thread_doer()).request(lambda _: target.ask(lambda _: gate.wait()))
        for _ in range(10)
    ]
    await stage.until(lambda: target.ledger.accepted == 4)  # the others have no thread yet
    await stage.turn()
    assert not any(reply.done for reply in asks)
    gate.set()
    assert await asyncio.gather(*asks) == [True] * 10
    await stage.until(lambda: len(_workers(stage)) <= 2)


async def test_what_would_need_another_thread_is_refused_wherever_it_is_asked(
    stage: "Stage",
) -> None:
    """All threads wait; an actor on the loop asks here on behalf of one of them: it is told so."""
    stage.size = 1
    outer, other, leaf = [await stage.thread_doer() for _ in range(3)]
    middle, idle = await stage.doer(), await stage.doer()
    begin, end = asyncio.Event(), asyncio.Event()

    async def asks_back(_: Any) -> Any:
        await begin.wait()
        return await leaf.request("from below")

    waits = outer.request(lambda _: middle.ask(asks_back))
    held = other.request(lambda _: idle.ask(lambda _: end.wait()))
    await stage.until(lambda: middle.ledger.running and idle.ledger.running)
    # A thread that has sent its request may not wait for the answer yet.
    await stage.until(lambda: stage.bulkheads[0].blocked == 2)
    stranger = (await stage.thread_doer()).request("only waits for a thread")
    await stage.turn()
    assert not stranger.done
    begin.set()
    with pytest.raises(OverloadedError) as refused:
        await waits
    assert refused.value.chain == (outer.path, middle.path, leaf.path)
    await stage.advance(1)
    assert await stranger == "only waits for a thread"
    end.set()
    assert await held is True
    assert await leaf.request("free again") == "free again"


async def test_who_waits_may_have_work_in_the_background(stage: "Stage") -> None:
    """All threads wait for handlers with background work on the loop: that waits for no thread."""
    stage.size = 1
    target, gate = await stage.doer(), asyncio.Event()
    inner, outer, third = [await stage.thread_doer() for _ in range(3)]

    def both(actor: Actor) -> Any:
        actor.background(gate.wait(), then=lambda _: None)
        return target.ask(lambda _: gate.wait())

    first = outer.request(lambda _: inner.ask(both))
    await stage.until(lambda: target.ledger.accepted == 1)
    second = third.request(lambda _: target.ask(lambda _: gate.wait()))
    await stage.turn()
    gate.set()
    assert [await first, await second] == [True, True]
