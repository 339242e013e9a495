"""The account balances where two things happen to one message."""

import asyncio
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from understudy.actors.kernel.actor import Actor
from understudy.actors.kernel.options import MailboxOptions
from understudy.messages.control import Overflow
from understudy.messages.errors import ActorDeadError, MailboxFullError, RunCancelledError

if TYPE_CHECKING:
    from tests.actors.kernel.conftest import Stage
else:
    Stage = Any

pytestmark = pytest.mark.anyio


async def _for_ever(actor: Actor) -> None:
    await asyncio.Event().wait()


def _stubborn(gate: asyncio.Event, first: Callable[[Actor], object]) -> Callable[[Actor], Any]:
    """A handler that does `first`, and then refuses every cancellation until `gate`."""

    async def handler(actor: Actor) -> None:
        first(actor)
        while not gate.is_set():
            try:
                await gate.wait()
            except asyncio.CancelledError:
                continue

    return handler


async def test_a_failure_after_the_deferred_answer_is_counted_once(stage: Stage) -> None:
    """Whoever was answered in hand keeps the answer, whatever the handler raises then."""
    ref = await stage.doer()

    def answers_and_fails(actor: Actor) -> None:
        actor.defer().set("early")
        raise ValueError

    assert await ref.request(answers_and_fails) == "early"
    await stage.until(lambda: not ref.ledger.running)
    assert ref.ledger.handled == 1
    assert ref.ledger.balanced, ref.ledger


async def test_a_failure_after_defer_is_the_answer(stage: Stage) -> None:
    """The asker of a handler that defers and raises gets what it raised, not the restart."""
    ref = await stage.doer()

    def defers_and_fails(actor: Actor) -> None:
        actor.defer()
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        await ref.request(defers_and_fails)
    assert ref.ledger.failed == 1
    assert ref.ledger.late_reply == 0


@pytest.mark.parametrize("kind", ["closed", "full", "wait"])
async def test_a_request_given_up_before_it_is_posted(stage: Stage, kind: str) -> None:
    """What a cancelled handler still asks for is cancelled at once, and counted in one place."""
    asker = await stage.doer()
    overflow = Overflow.WAIT if kind == "wait" else Overflow.REJECT
    other = await stage.doer(mailbox=MailboxOptions(capacity=1, overflow=overflow))
    if kind == "closed":
        await other.stop()
    else:
        other.tell(_for_ever)
        await stage.until(lambda: other.cell.current is not None)
        other.tell("fills it")
    asked: list[Any] = []

    async def asks_in_the_end(actor: Actor) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            asked.append(other.request("too late"))

    first = asker.request(asks_in_the_end)
    await stage.turn()
    first.cancel()
    await stage.until(lambda: asked)
    with pytest.raises(RunCancelledError):
        await asked[0]
    assert other.ledger.balanced, other.ledger
    assert other.ledger.cancelled == 0
    assert other.ledger.refused == (kind != "wait")
    assert other.stats.depth == (kind != "closed")


async def test_giving_up_on_a_deferred_answer_in_a_thread_owes_nothing(stage: Stage) -> None:
    """A thread cannot be interrupted; when its handler ends, nothing keeps a stop waiting."""
    ref = await stage.thread_doer()
    gate = threading.Event()

    def defers(actor: Actor) -> None:
        actor.defer()
        gate.wait()

    asked = ref.request(defers)
    await stage.until(lambda: ref.cell.deferred)
    asked.cancel()
    gate.set()
    await stage.until(lambda: not ref.ledger.running)
    await ref.stop()
    assert ref.ledger.cancelled == 1
    assert ref.ledger.balanced, ref.ledger


async def test_giving_up_on_a_message_that_was_just_stashed(stage: Stage) -> None:
    """While its handler still runs it is in hand, not in the stash: cancelled, and once."""
    ref = await stage.doer()

    async def stashes_and_waits(actor: Actor) -> None:
        actor.stash()
        await asyncio.Event().wait()

    asked = ref.request(stashes_and_waits)
    await stage.until(lambda: ref.ledger.stashed)
    asked.cancel()
    assert ref.ledger.balanced, ref.ledger
    await stage.until(lambda: not ref.ledger.running)
    assert ref.ledger.cancelled == 1
    assert ref.ledger.balanced, ref.ledger


@pytest.mark.parametrize("what", ["defer", "stash"])
async def test_what_an_abandoned_handler_had_put_aside_is_counted_once(
    stage: Stage, what: str
) -> None:
    """A message that was deferred or stashed by the handler left behind is `abandoned` alone."""
    ref = await stage.doer()
    gate = asyncio.Event()
    asked = ref.request(_stubborn(gate, lambda actor: getattr(actor, what)()))
    await stage.turn()
    asked.cancel()
    await stage.turn()
    await stage.advance(3.0)
    await stage.until(lambda: ref.ledger.abandoned)
    assert ref.ledger.balanced, ref.ledger
    gate.set()
    await stage.until(lambda: not ref.ledger.abandoned)
    assert ref.ledger.cancelled == 1
    assert ref.ledger.balanced, ref.ledger


async def test_those_who_wait_get_in_when_a_restart_empties_the_queue(stage: Stage) -> None:
    """Answers of the old life held all places; they go with it, and who waited is let in."""
    ref = await stage.doer(mailbox=MailboxOptions(capacity=1, overflow="wait"))
    gate = asyncio.Event()

    async def nothing() -> None:
        pass

    async def fails_when_told(actor: Actor) -> None:
        actor.background(nothing(), then=lambda _: "an answer")
        await gate.wait()
        raise ValueError

    ref.tell(fails_when_told)
    await stage.until(lambda: ref.stats.depth)
    waiting = ref.request("waits")
    gate.set()
    await stage.until(lambda: ref.state == "restarting")
    await stage.advance(1.0)
    assert await waiting == "waits"


@pytest.mark.parametrize("how", ["now", "kill", "park"])
async def test_those_who_wait_are_answered_at_once(stage: Stage, how: str) -> None:
    """An end without draining lets nobody in any more: those who wait for a place are told."""
    ref = await stage.doer(mailbox=MailboxOptions(capacity=1, overflow="wait"))
    gate = asyncio.Event()
    ref.tell(lambda _: gate.wait())
    await stage.until(lambda: ref.cell.current is not None)
    queued, waiting = ref.request("queued"), ref.request("waiting")
    match how:
        case "now":
            ref.stop(drain=False)
        case "kill":
            ref.kill()
        case _:
            ref.cell.post_system(ref.cell.park)
    gate.set()
    for asked in (queued, waiting):
        with pytest.raises(ActorDeadError):
            await asked
    assert ref.ledger.balanced, ref.ledger


async def test_a_lost_loop_answers_those_who_wait_for_a_place(stage: Stage) -> None:
    """And whoever waits for a start: nobody is left in silence."""
    ref = await stage.doer(mailbox=MailboxOptions(capacity=1, overflow="wait"))
    gate = asyncio.Event()
    ref.tell(lambda _: gate.wait())
    await stage.until(lambda: ref.cell.current is not None)
    asked = [ref.request(number) for number in range(3)]
    stage.system.loop_lost()
    assert [reply.done for reply in asked] == [True, True, True]
    gate.set()


async def test_a_full_mailbox_says_so_although_the_asker_is_in_a_hurry(stage: Stage) -> None:
    """A refused request is answered with the reason, and counts as refused alone."""
    ref = await stage.doer(mailbox=MailboxOptions(capacity=1))
    ref.tell(_for_ever)
    await stage.until(lambda: ref.cell.current is not None)
    ref.tell("fills it")
    with pytest.raises(MailboxFullError):
        await ref.request("one too many")
    assert ref.ledger.accepted == 2
    assert ref.ledger.refused == 1


async def test_a_tell_expires_with_the_deadline_it_inherits(stage: Stage) -> None:
    """It was told while a message with a deadline was handled, and is never begun after that."""
    teller, receiver = await stage.doer(), await stage.doer()
    go = asyncio.Event()
    begun: list[int] = []
    held = receiver.request(lambda _: go.wait())
    await stage.until(lambda: receiver.ledger.running)

    def tells(_: Any) -> bool:
        return receiver.tell(lambda _: begun.append(1))

    assert await teller.request(tells, timeout=5)
    assert receiver.tell(lambda _: begun.append(2))  # from outside: no deadline
    await stage.advance(5.1)
    go.set()
    assert await held is True
    await stage.until(lambda: begun)
    assert begun == [2]
    assert (receiver.ledger.expired, receiver.ledger.handled) == (1, 2)
    assert stage.reasons() == ["expired"]
