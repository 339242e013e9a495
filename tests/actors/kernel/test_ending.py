import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from understudy.actors.kernel.actor import Actor
from understudy.actors.kernel.errors import ActorDeadError
from understudy.actors.kernel.options import child
from understudy.messages.control import Terminated
from understudy.messages.errors import RunCancelledError

if TYPE_CHECKING:
    from tests.actors.kernel.conftest import Stage

pytestmark = pytest.mark.anyio
KINDS = ["doer", "sync_doer", "thread_doer"]
HOW = ["stop", "stop now", "kill", "restart", "crash"]


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("kind", KINDS)
async def test_every_ask_resolves(stage: "Stage", kind: str, how: str) -> None:
    """Whatever becomes of the actor: in hand, queued or too late, each asker is answered."""
    ref = await getattr(stage, kind)()
    for again in range(2):
        asks: list[Any] = [ref.request(n) for n in range(100)]
        match how:
            case "stop":
                done: Any = ref.stop()
            case "stop now":
                done = ref.stop(drain=False)
            case "kill":
                done = ref.kill()
            case "restart":
                done = ref.restart()
            case "crash":
                done = ref.request(lambda _: 1 // 0)
        asks += [ref.request(n) for n in range(100)]
        await stage.until(lambda: done.done)  # noqa: B023 - awaited here
        await stage.advance(0.5)
        await stage.until(lambda: all(ask.done for ask in asks))  # noqa: B023 - awaited here
        answers = [ask.outcome() for ask in asks]
        wrong = {type(each.error) for each in answers if each.error is not None}
        assert wrong <= {ActorDeadError}
        answered = sum(each.error is None for each in answers)
        if how in ("restart", "crash"):
            assert answered == 200
        elif how == "stop":
            assert answered == (0 if again else 100)


async def test_a_kill_cancels_the_message_in_hand(stage: "Stage") -> None:
    """The handler is cancelled, its asker and the queued ones get `ActorDeadError`."""
    ref = await stage.doer()
    ended: list[str] = []

    async def endless(_: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    replies = [ref.request(endless), ref.request("queued")]
    await stage.until(lambda: ref.ledger.running)
    await ref.kill()
    assert ended == ["cancelled"]
    for reply in replies:
        with pytest.raises(ActorDeadError):
            await reply


class Family(Actor):
    """Notes when it stops, and has children."""

    def __init__(self, name: str, log: list[str], children: int = 0) -> None:
        self.name, self.log, self.children = name, log, children

    async def on_start(self) -> None:
        for number in range(self.children):
            await self.spawn(child(Family, f"{self.name}{number}", self.log))

    async def on_receive(self, message: str) -> str:
        return message

    async def on_stop(self) -> None:
        await asyncio.sleep(0)
        self.log.append(self.name)


async def test_children_stop_right_to_left_before_their_parent(stage: "Stage") -> None:
    """The last one first, each after its own `on_stop`, then the parent's."""
    log: list[str] = []
    ref = await stage.spawn(child(Family, "p", log, 3))
    await ref.stop()
    assert log == ["p2", "p1", "p0", "p"]
    assert len(stage.system.cells()) == 2


async def test_children_end_with_their_parents_life(stage: "Stage") -> None:
    """A restart kills the children of the old life; the new one makes its own."""
    log: list[str] = []
    ref = await stage.spawn(child(Family, "p", log, 2))
    old = [cell.ref for cell in (ref.cell.children or {}).values()]
    await ref.restart()
    await stage.turn()
    new = [cell.ref for cell in (ref.cell.children or {}).values()]
    assert len(new) == 2
    assert not set(old) & set(new)
    assert not any(each.is_alive() for each in old)
    assert log == []  # who is killed does not get to say goodbye


async def test_stop_waits_for_nobody_and_is_idempotent(stage: "Stage") -> None:
    """Every stop, kill and join is answered once the actor has ended, however often asked."""
    ref = await stage.doer()
    go = asyncio.Event()
    slow = ref.request(lambda _: go.wait())
    await stage.until(lambda: ref.ledger.running)
    ends = [ref.stop(), ref.stop(drain=False), ref.stop()]
    joined = asyncio.ensure_future(ref.ajoin())
    await stage.turn()
    assert not any(end.done for end in ends)
    go.set()
    await slow
    await joined
    assert {(await end).accepted for end in [*ends, ref.kill()]} == {1}
    await stage.thread(lambda: ref.join(timeout=10))


async def test_a_handler_that_refuses_its_cancellation_is_left_behind(stage: "Stage") -> None:
    """After the grace a new life takes the mailbox; the old handler is counted until it ends."""
    ref = await stage.doer()
    go = asyncio.Event()

    async def stubborn(_: Any) -> str:
        while not go.is_set():
            try:
                await go.wait()
            except asyncio.CancelledError:
                continue
        return "far too late"

    reply = ref.request(stubborn)
    await stage.until(lambda: ref.ledger.running)
    reply.cancel()
    with pytest.raises(RunCancelledError):
        await reply
    await stage.advance(2.1)
    assert await ref.request("next life") == "next life"
    assert ref.ledger.abandoned == 1
    assert ref.incarnation == 1
    assert list(stage.system.left_behind.values()) == [ref.path]
    go.set()
    await stage.until(lambda: not ref.ledger.abandoned)
    assert ref.ledger.cancelled == 1


class Mourner(Actor):
    """Takes its time when somebody whom it watches has ended."""

    def __init__(self, heard: asyncio.Event, go: asyncio.Event) -> None:
        self._heard, self._go = heard, go

    async def on_receive(self, message: Any) -> None:
        if isinstance(message, Terminated):
            self._heard.set()
            await self._go.wait()
        else:
            self.watch(message)


async def test_a_stop_waits_for_what_the_kernel_has_told(stage: "Stage") -> None:
    """A handler of `Terminated` is at work although no message is in hand: it is not cut short."""
    heard, go = asyncio.Event(), asyncio.Event()
    ref, other = await stage.spawn(child(Mourner, heard, go)), await stage.doer()
    await ref.request(other)
    other.stop()
    await heard.wait()
    end = ref.stop()
    await stage.turn()
    assert ref.is_alive()
    assert not end.done
    go.set()
    await end
