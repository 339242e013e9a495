import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from understudy.actors.kernel.errors import ActorDeadError
from understudy.actors.kernel.mailbox import Mailbox
from understudy.actors.kernel.options import MailboxOptions
from understudy.actors.kernel.ref import Ref
from understudy.actors.kernel.reply import WITHDRAWN
from understudy.messages.control import Overflow
from understudy.messages.errors import (
    ConfigError,
    MailboxFullError,
    RunCancelledError,
    UnderstudyError,
)

if TYPE_CHECKING:
    from tests.actors.kernel.conftest import Stage

pytestmark = pytest.mark.anyio


async def _busy(stage: "Stage", policy: str, capacity: int = 2) -> tuple[Ref[Any], asyncio.Event]:
    """An actor that waits in its handler, with nothing queued, and what lets it go on."""
    options = MailboxOptions(capacity=capacity, overflow=Overflow(policy))
    ref = await stage.doer(mailbox=options)
    go = asyncio.Event()
    ref.tell(lambda _: go.wait())
    await stage.until(lambda: ref.ledger.running)
    return ref, go


async def test_reject_refuses_what_comes_too_many(stage: "Stage") -> None:
    """`tell` says False, a request is answered `MailboxFullError`; both are dead letters."""
    ref, go = await _busy(stage, "reject")
    done: list[int] = []
    told = [ref.tell(lambda _, n=n: done.append(n)) for n in range(4)]
    assert told == [True, True, False, False]
    with pytest.raises(MailboxFullError, match="2 messages"):
        await ref.request("x")
    go.set()
    await stage.until(lambda: ref.ledger.handled == 3)
    assert done == [0, 1]
    assert stage.reasons() == ["full"] * 3
    assert ref.stats.refused == 3
    assert ref.stats.peak == 2


@pytest.mark.parametrize(("policy", "kept"), [("drop_oldest", [2, 3]), ("drop_newest", [0, 3])])
async def test_dropping_makes_place(stage: "Stage", policy: str, kept: list[int]) -> None:
    """The message dropped is counted, its asker told; the new one is accepted."""
    ref, go = await _busy(stage, policy)
    replies = [ref.request(n) for n in range(4)]
    go.set()
    for number, reply in enumerate(replies):
        if number in kept:
            assert await reply == number
        else:
            with pytest.raises(MailboxFullError):
                await reply
    assert ref.ledger.dropped == 2
    assert stage.reasons() == ["overflow", "overflow"]


async def test_waiting_senders_are_let_in_in_order(stage: "Stage") -> None:
    """`wait` keeps requests until there is a place, in order; a tell does not wait."""
    ref, go = await _busy(stage, "wait", capacity=1)
    order: list[int] = []
    replies = [ref.request(lambda _, n=n: order.append(n)) for n in range(5)]
    assert not ref.tell("no reply, no waiting")
    assert ref.stats.depth == 1
    go.set()
    for reply in replies:
        await reply
    assert order == [0, 1, 2, 3, 4]
    assert ref.stats.peak == 1


async def test_a_cancelled_head_of_the_queue_blocks_nobody(stage: "Stage") -> None:
    """Those who wait behind one that gave up, or expired, are let in all the same."""
    ref, go = await _busy(stage, "wait", capacity=1)
    replies = [ref.request(n, timeout=5 if n == 2 else 20) for n in range(5)]
    assert replies[1].cancel()
    await stage.advance(5.02)
    assert replies[2].done
    go.set()
    assert [await replies[n] for n in (0, 3, 4)] == [0, 3, 4]
    with pytest.raises(RunCancelledError):
        await replies[1]
    assert ref.ledger.accepted == 4  # those that gave up never were


async def test_a_full_queue_of_cancelled_requests_lets_others_in(stage: "Stage") -> None:
    """When everything queued was withdrawn, those who wait get their turn."""
    ref, go = await _busy(stage, "wait", capacity=1)
    queued, waiting = ref.request("queued"), ref.request("waiting")
    queued.cancel()
    go.set()
    assert await waiting == "waiting"
    assert ref.ledger.cancelled == 1


@pytest.mark.parametrize("policy", list(Overflow))
async def test_stop_is_never_refused(stage: "Stage", policy: str) -> None:
    """A full mailbox takes a stop, drains what it has accepted, and ends."""
    ref, go = await _busy(stage, policy)
    replies = [ref.request(n) for n in range(2)]
    ended = ref.stop()
    assert not ref.tell("too late")
    go.set()
    assert (await ended).accepted == 3
    assert [await reply for reply in replies] == [0, 1]


async def test_those_who_wait_for_a_place_hear_of_the_end(stage: "Stage") -> None:
    """A kill answers the message in hand, the queued ones and those who wait for a place."""
    ref, _ = await _busy(stage, "wait", capacity=1)
    replies = [ref.request(n) for n in range(3)]
    await ref.kill()
    for reply in replies:
        with pytest.raises(ActorDeadError):
            await reply


async def test_an_actor_may_stop_itself(stage: "Stage") -> None:
    """It ends after what was accepted before, from within its own handler, also when full."""
    ref = await stage.doer(mailbox=MailboxOptions(capacity=1))
    first = ref.request(lambda a: a.stop())
    await first
    await ref.ajoin()
    assert not ref.tell("x")


async def test_what_is_queued_survives_stashing(stage: "Stage") -> None:
    """Stashed messages come back in front, in order, and are answered; `stashed` shows them."""
    ref = await stage.doer()
    order: list[str] = []

    def once(name: str) -> Any:
        seen: list[str] = []

        def handle(actor: Any) -> str:
            if not seen:
                seen.append(name)
                actor.stash()
                return "ignored"
            order.append(name)
            return name

        return handle

    replies = [ref.request(once("a")), ref.request(once("b"))]
    await stage.until(lambda: ref.ledger.stashed == 2)
    assert ref.ledger.running == 0
    last = ref.request(lambda _: order.append("c"))
    ref.tell(lambda a: a.unstash())
    await last
    assert [await reply for reply in replies] == ["a", "b"]
    assert order == ["c", "a", "b"]


@pytest.mark.parametrize("end", ["stop", "kill", "restart"])
async def test_stashed_messages_are_not_lost(stage: "Stage", end: str) -> None:
    """At the end their askers are told; a restart gives them to the next life."""
    ref = await stage.doer()
    stashed: list[str] = []

    def handle(actor: Any) -> str:
        if stashed:
            return "second time"
        stashed.append("once")
        actor.stash()
        return ""

    reply = ref.request(handle)
    await stage.until(lambda: ref.ledger.stashed)
    if end == "restart":
        await stage.crash(ref)
        await stage.advance(0.2)
        assert await reply == "second time"
        return
    await getattr(ref, end)()
    with pytest.raises(ActorDeadError):
        await reply
    assert ref.ledger.dropped == 1


async def test_stash_and_defer_need_a_message_in_hand(stage: "Stage") -> None:
    """Outside of the handler they say what is wrong."""
    ref = await stage.doer()
    actor = await ref.request(lambda a: a)
    for verb in ("stash", "defer"):
        with pytest.raises(UnderstudyError, match=f"{verb}.. needs a message in hand"):
            getattr(actor, verb)()


def test_mailbox_options_are_checked() -> None:
    """A bound of nothing and an unknown policy are refused, with what would do."""
    with pytest.raises(ConfigError, match="at least 1"):
        MailboxOptions(capacity=0)
    with pytest.raises(ConfigError, match="drop_oldest"):
        MailboxOptions(overflow="block")  # type: ignore[arg-type]


async def test_what_was_claimed_too_late_is_no_ones_work(
    stage: "Stage", monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelled by another thread before it is put aside, it says that it was never begun."""
    ref = await stage.sync_doer()
    bury, found = Mailbox._bury, list[Any]()

    def cancelled_first(cell: Mailbox) -> None:
        for env in cell.fallen or ():
            env.reply.cancel()
        bury(cell)

    monkeypatch.setattr(Mailbox, "_bury", cancelled_first)
    reply = ref.request("late", timeout=0.5)
    reply.add_done_callback(lambda done: found.append((done.work, repr(done))))
    stage.clock.advance(1)
    await stage.turn()
    assert found == [(WITHDRAWN, "<Reply cancelled>")]
    assert ref.ledger.expired == 1
