import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypedDict

import msgspec
import pytest

from understudy.actors.kernel.actor import Actor
from understudy.actors.kernel.context import in_hand
from understudy.actors.kernel.errors import ActorDeadError, DeadlineExceededError
from understudy.actors.kernel.ref import INFINITE, Ref
from understudy.messages.envelope import Origin
from understudy.messages.errors import RunCancelledError, WouldDeadlockError

if TYPE_CHECKING:
    from tests.actors.kernel.conftest import Stage

pytestmark = pytest.mark.anyio


class Add(msgspec.Struct, frozen=True):
    n: int


class Get(msgspec.Struct, frozen=True):
    pass


class Counter(Actor):
    def __init__(self, start: int = 0) -> None:
        self.value = start

    async def on_receive(self, message: Add | Get) -> int | None:
        match message:
            case Add(n=n):
                self.value += n
            case Get():
                return self.value
        return None


class Shape(Protocol):
    side: int


class Keyed(TypedDict):
    key: str


class Anything(Actor):
    async def on_receive(self, message: Any) -> Any:
        return message


class AnyShape(Actor):
    async def on_receive(self, message: Shape) -> Any:
        return message


class AnyKeyed(Actor):
    async def on_receive(self, message: Keyed | int) -> Any:
        return message


async def test_declared_messages_are_checked_when_sent(stage: "Stage") -> None:
    """The sender hears of a message of another type, and nothing reaches the mailbox."""
    ref = await stage.spawn(Counter)
    sends: list[Callable[[Any], Any]] = [ref.tell, ref.request, lambda m: ref.ask(m, block=False)]
    for send in sends:
        with pytest.raises(TypeError, match=r"takes Add, Get; it was sent a str"):
            send("add")
    assert ref.tell(Add(2))
    assert await ref.request(Get()) == 2
    assert ref.ledger.accepted == 2


@pytest.mark.parametrize("kind", [Anything, AnyShape, AnyKeyed])
async def test_what_cannot_be_checked_is_not_checked(stage: "Stage", kind: type[Actor]) -> None:
    """Annotations that `isinstance` refuses (`Any`, protocols, typed dicts) take every message."""
    ref = await stage.spawn(kind)
    assert kind.traits.accepts is None
    assert await ref.request("anything") == "anything"


@pytest.mark.parametrize("kind", ["doer", "sync_doer", "thread_doer"])
async def test_messages_of_one_sender_arrive_in_order(stage: "Stage", kind: str) -> None:
    """FIFO per sender, on the loop and on threads, over many slices."""
    ref = await getattr(stage, kind)()
    got: list[tuple[str, int]] = []

    def note(who: str, number: int) -> Callable[[Any], None]:
        return lambda _: got.append((who, number))

    def send(who: str) -> None:
        for number in range(200):
            assert ref.tell(note(who, number))

    senders = [stage.thread(lambda who=who: send(who)) for who in "ab"]  # type: ignore[misc]
    send("c")
    for each in senders:
        await each
    await ref.request(lambda _: None)
    for who in "abc":
        assert [number for name, number in got if name == who] == list(range(200))
    assert ref.ledger.handled == 601


async def test_blocking_on_the_loop_is_refused(stage: "Stage") -> None:
    """`ask` and `get` on the loop of the actor name the twin to use; nothing is sent."""
    ref = await stage.doer()
    with pytest.raises(WouldDeadlockError, match=r"await ref\.request"):
        ref.ask("x")
    assert ref.ledger.accepted == 0
    reply = ref.request("y")
    with pytest.raises(WouldDeadlockError, match="await reply"):
        reply.get(timeout=1)
    assert await reply == "y"


async def test_an_expired_request_never_starts(stage: "Stage") -> None:
    """Work that is still queued at its deadline is removed, and its asker told."""
    ref = await stage.doer()
    go, began = asyncio.Event(), []
    first = ref.request(lambda _: go.wait(), timeout=60)
    second = ref.request(lambda _: began.append(2), timeout=5)
    await stage.advance(5.02)
    with pytest.raises(DeadlineExceededError):
        await second
    go.set()
    await first
    assert await ref.request("x") == "x"
    assert began == []
    assert ref.ledger.expired == 1


async def test_a_deadline_cancels_the_handler_that_runs(stage: "Stage") -> None:
    """The asker is told at the deadline, and the async handler is cancelled then."""
    ref = await stage.doer()
    ended: list[BaseException] = []

    async def endless(_: Any) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            ended.append(error)
            raise

    reply = ref.request(endless, timeout=5)
    await stage.turn()
    await stage.advance(4.9)
    assert not reply.done
    await stage.advance(0.12)
    with pytest.raises(DeadlineExceededError):
        await reply
    await stage.until(lambda: ended)
    assert await ref.request("x") == "x"
    assert ref.ledger.expired == 1
    assert ref.incarnation == 0


async def test_deadlines_are_inherited(stage: "Stage") -> None:
    """What is sent while handling has the earlier of its own deadline and the one in hand."""
    outer, inner = await stage.doer(), await stage.doer()
    now = stage.clock.now()

    async def ask(timeout: float | None) -> Any:
        return await inner.request(lambda a: a.context.deadline, timeout=timeout)

    for own, expected in ((None, 10.0), (60, 10.0), (INFINITE, 10.0), (3, 3.0)):
        found = await outer.request(lambda _, own=own: ask(own), timeout=10)
        assert found == pytest.approx(now + expected)
    assert await inner.request(lambda a: a.context.deadline) == pytest.approx(now + 30)
    assert await inner.request(lambda a: a.context.deadline, timeout=INFINITE) is None
    told: list[float] = []
    inner_told = lambda a: told.append(a.context.deadline)  # noqa: E731
    await outer.request(lambda _: inner.tell(inner_told), timeout=7)
    await inner.request("after it")
    assert told == [pytest.approx(now + 7)]


async def test_cancellation_reaches_nested_requests(stage: "Stage") -> None:
    """Cancelling a request ends what its handler asked for, however deep, queued or running."""
    first, second, third = await stage.doer(), await stage.doer(), await stage.doer()
    ended: list[str] = []

    async def endless(_: Any) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("third")
            raise

    async def through(ref: Ref[Any], message: Any) -> Any:
        return await ref.request(message)

    reply = first.request(lambda _: through(second, lambda _: through(third, endless)))
    await stage.until(lambda: third.ledger.running)
    reply.cancel()
    with pytest.raises(RunCancelledError):
        await reply
    await stage.until(lambda: ended)
    for ref in (first, second, third):
        assert await ref.request("x") == "x"
        assert ref.ledger.cancelled == 1


async def test_a_ref_is_an_address(stage: "Stage") -> None:
    """It has a path, is equal to itself alone, keys a dict, and has no proxy."""
    ref = await stage.doer(name="search")
    other = await stage.doer()
    assert ref.path == ref.actor_urn == "/user/search"
    assert other.path.startswith("/user/Doer-")
    assert {ref: 1}[Ref(ref.cell)] == 1
    assert ref != other
    assert ref.is_alive()
    with pytest.raises(TypeError, match="has no proxy"):
        ref.proxy()
    await ref.stop()
    assert not ref.is_alive()
    assert not ref.tell("x")
    with pytest.raises(ActorDeadError, match="/user/search"):
        await ref.request("x")
    assert ref.ledger.refused == 2


async def test_a_request_is_sent_for_the_run_that_it_names(stage: "Stage") -> None:
    """And not for the one in hand, where it names one; what is asked there goes on with it."""
    ref = await stage.doer()

    def asked(_: Any) -> str:
        hand = in_hand.get()
        return "" if hand is None or hand.origin is None else hand.origin.run_id or ""

    async def asks(_: Any) -> list[str]:
        other = await stage.doer()
        named = other.request(asked, origin=Origin(run_id="inner"))
        return [await named, await other.request(asked)]

    assert await ref.request(asked) == ""
    assert await ref.request(asks, origin=Origin(run_id="outer")) == ["inner", "outer"]
