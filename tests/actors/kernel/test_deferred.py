import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

import pytest

from understudy.actors.kernel.actor import Actor
from understudy.actors.kernel.deferred import Deferred
from understudy.actors.kernel.errors import ActorDeadError, DeadlineExceededError
from understudy.actors.kernel.options import child
from understudy.messages.control import Outcome
from understudy.messages.errors import (
    ActorRestartedError,
    OverloadedError,
    RunCancelledError,
)

if TYPE_CHECKING:
    from tests.actors.kernel.conftest import Stage
    from tests.conftest import Lines

pytestmark = pytest.mark.anyio


class Desk(Actor):
    """Defers every question; runs work it is given beside its handlers."""

    max_outstanding = 3

    def __init__(self, owed: list[Deferred], outcomes: list[Outcome]) -> None:
        self.owed, self.outcomes = owed, outcomes

    async def on_receive(self, message: Any) -> Any:
        if isinstance(message, Outcome):
            self.outcomes.append(message)
        elif asyncio.iscoroutine(message):
            self.background(message, then=lambda outcome: outcome)
        elif isinstance(message, Exception):
            raise message
        elif message == "now":
            self.defer().set("at once")
            return "too late"
        else:
            self.owed.append(self.defer())
        return None


class Busy(Desk):
    """A desk that may owe many."""

    max_outstanding = 1_000


@pytest.fixture
def owed() -> list[Deferred]:
    """What the desk owes."""
    return []


@pytest.fixture
def outcomes() -> list[Outcome]:
    """What came of its work."""
    return []


@pytest.fixture
async def desk(stage: "Stage", owed: list[Deferred], outcomes: list[Outcome]) -> Any:
    """A desk."""
    return await stage.spawn(child(Desk, owed, outcomes))


async def test_a_deferred_answer_is_given_later(
    stage: "Stage", desk: Any, owed: list[Deferred]
) -> None:
    """Other messages are handled meanwhile; it stays `running` until somebody answers."""
    replies = [desk.request("a"), desk.request("b")]
    assert await desk.request("now") == "at once"
    assert desk.ledger.running == 2
    assert not any(reply.done for reply in replies)
    owed[1].set("B")
    await stage.thread(lambda: owed[0].set_exception(KeyError("A")))
    assert await replies[1] == "B"
    with pytest.raises(KeyError):
        await replies[0]
    assert all(deferred.done for deferred in owed)
    assert (desk.ledger.handled, desk.ledger.failed, desk.ledger.running) == (2, 1, 0)
    owed[0].set("again")
    assert stage.reasons() == ["late_reply"]


async def test_deferred_answers_are_bounded(
    stage: "Stage", desk: Any, owed: list[Deferred]
) -> None:
    """One too many fails its own message, and names the bound."""
    replies = [desk.request(n) for n in range(3)]
    await stage.until(lambda: len(owed) == 3)
    error = desk.request("one too many")
    with pytest.raises(OverloadedError, match="already owes 3"):
        await error
    for reply in replies:  # the failure was not expected: its life is over
        with pytest.raises(ActorRestartedError):
            await reply


@pytest.mark.parametrize(
    ("end", "error"),
    [("crash", ActorRestartedError), ("restart", ActorRestartedError), ("kill", ActorDeadError)],
)
async def test_what_is_owed_ends_with_the_life(
    stage: "Stage", desk: Any, owed: list[Deferred], end: str, error: type[Exception]
) -> None:
    """Askers hear of it; an answer given afterwards is a dead letter."""
    reply = desk.request("a")
    await stage.until(lambda: owed)
    desk.tell(ValueError("crash")) if end == "crash" else getattr(desk, end)()
    with pytest.raises(error):
        await reply
    owed[0].set("too late")
    await stage.turn()
    assert stage.reasons() == ["late_reply"]
    assert desk.ledger.cancelled == 1


async def test_a_stop_waits_for_what_is_owed(
    stage: "Stage", desk: Any, owed: list[Deferred], outcomes: list[Outcome]
) -> None:
    """It ends when the last deferred answer is given and the background work has come back."""
    go = asyncio.Event()
    reply = desk.request("a")
    desk.tell(_after(go, "worked"))
    await stage.until(lambda: owed)
    ended = desk.stop()
    await stage.turn()
    owed[0].set("A")
    assert await reply == "A"
    await stage.turn()
    assert not ended.done
    go.set()
    await ended
    assert [outcome.value for outcome in outcomes] == ["worked"]


async def test_an_asker_that_gives_up_is_owed_nothing(
    stage: "Stage", desk: Any, owed: list[Deferred]
) -> None:
    """A cancelled or expired request leaves the account, and a stop does not wait for it."""
    first, second = desk.request("a", timeout=9), desk.request("b", timeout=5)
    await stage.until(lambda: len(owed) == 2)
    first.cancel()
    await stage.advance(5.02)
    with pytest.raises(DeadlineExceededError):
        await second
    assert [deferred.done for deferred in owed] == [True, True]
    await desk.stop()
    assert (desk.ledger.cancelled, desk.ledger.expired) == (1, 1)


async def test_giving_up_costs_the_same_however_much_is_owed(
    stage: "Stage", owed: list[Deferred], lines_of: "Lines"
) -> None:
    """The answer that is owed to who gives up is found, and not looked for."""
    desk = await stage.spawn(child(Busy, owed, []))
    replies: list[Any] = []
    for count in (2, 400):
        while len(replies) < count:
            replies.append(desk.request("question"))
        await stage.until(lambda: len(owed) == len(replies))
    many = lines_of(replies.pop().cancel)
    for reply in replies[1:-1]:
        reply.cancel()
    few = lines_of(replies[-1].cancel)
    assert many < 2 * few
    assert (desk.ledger.cancelled, desk.ledger.running) == (399, 1)


async def test_giving_up_ends_no_answer_that_is_owed_to_somebody_else(
    desk: Any, owed: list[Deferred], stage: "Stage"
) -> None:
    """Keys come again: what is found under a stale one is left alone."""
    stale, other = desk.request("a"), desk.request("b")
    await stage.until(lambda: len(owed) == 2)
    stale.debt = other.debt
    stale.cancel()
    assert desk.ledger.running == 2
    owed[1].set("B")
    assert await other == "B"


async def _after(go: asyncio.Event, value: Any) -> Any:
    await go.wait()
    return value


async def _fail() -> None:
    raise LookupError("in the background")


async def test_background_work_comes_back_as_a_message(
    stage: "Stage", desk: Any, outcomes: list[Outcome]
) -> None:
    """Value or error, while the actor serves others; its failure is not the actor's."""
    go = asyncio.Event()
    await desk.request(_after(go, 7))
    await desk.request(_fail())
    await stage.until(lambda: outcomes)
    assert isinstance(outcomes[0].error, LookupError)
    go.set()
    await stage.until(lambda: len(outcomes) == 2)
    assert outcomes[1].value == 7
    assert desk.incarnation == 0


async def test_background_work_is_bounded_and_closed(stage: "Stage", desk: Any) -> None:
    """One too many is refused and its coroutine closed, so that nothing warns of it."""
    go = asyncio.Event()
    works: list[Coroutine[Any, Any, Any]] = [_after(go, n) for n in range(4)]
    for work in works[:3]:
        await desk.request(work)
    with pytest.raises(OverloadedError, match="already runs 3"):
        await desk.request(works[3])
    await stage.until(lambda: not any(work.cr_frame for work in works))  # type: ignore[attr-defined]


@pytest.mark.parametrize("end", ["crash", "restart", "kill"])
async def test_background_work_ends_with_the_life(
    stage: "Stage", desk: Any, outcomes: list[Outcome], end: str
) -> None:
    """It is cancelled, and what it says goes to nobody: the next life knows nothing of it."""
    ended: list[str] = []

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    await desk.request(endless())
    await stage.turn()
    desk.tell(ValueError("crash")) if end == "crash" else getattr(desk, end)()
    await stage.until(lambda: ended)
    await stage.advance(0.2)
    assert outcomes == []


async def test_cancelling_the_asker_cancels_its_background_work(
    stage: "Stage", outcomes: list[Outcome]
) -> None:
    """The work carries deadline and cancellation of the message whose answer is deferred."""
    found: list[float] = []

    class Clerk(Actor):
        async def on_receive(self, message: Any) -> None:
            if isinstance(message, Outcome):
                outcomes.append(message)
                return
            found.append(self.context.deadline or 0.0)
            deferred = self.defer()
            self.background(asyncio.Event().wait(), then=lambda outcome: outcome, of=deferred)

    clerk = await stage.spawn(Clerk)
    reply = clerk.request("x", timeout=8)
    await stage.until(lambda: found)
    await stage.turn()
    reply.cancel()
    with pytest.raises(RunCancelledError):
        await reply
    await stage.until(lambda: not clerk.cell.background)
    await stage.turn()
    assert found == [pytest.approx(stage.clock.now() + 8)]
    assert clerk.ledger.cancelled == 2  # the question, and the outcome nobody waits for
    assert outcomes == []
