import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from understudy.actors.kernel.actor import Actor
from understudy.actors.kernel.errors import ActorDeadError
from understudy.actors.kernel.options import child
from understudy.actors.kernel.ref import Ref
from understudy.messages.control import ActorState, Directive, Terminated
from understudy.messages.errors import RunCancelledError
from understudy.messages.events import ActorFailed, ActorParked, ActorRestarted

if TYPE_CHECKING:
    from tests.actors.kernel.conftest import Stage

pytestmark = pytest.mark.anyio
KINDS = ["doer", "sync_doer", "thread_doer"]
HOW = ["stop", "stop now", "kill", "restart", "crash"]


class Broken(Actor):
    """Fails where it is told to."""

    def __init__(self, where: str) -> None:
        if where == "init":
            raise OSError("init")
        self.where = where

    async def on_start(self) -> None:
        if self.where == "start":
            raise OSError("start")
        if self.where == "late":
            await asyncio.sleep(0)
            raise OSError("late")

    async def on_receive(self, message: str) -> str:
        return message


class BrokenThread(Actor):
    def on_start(self) -> None:
        raise OSError("thread")

    def on_receive(self, message: str) -> str:
        return message


@pytest.mark.parametrize("where", ["init", "start", "late", "thread"])
async def test_a_failing_start_raises_in_the_spawner(stage: "Stage", where: str) -> None:
    """`__init__` and `on_start` alike (P7, B1); the name is free again and nobody is left."""
    spec = child(BrokenThread) if where == "thread" else child(Broken, where)
    with pytest.raises(OSError, match=where):
        await stage.spawn(spec.options(name="same"))
    assert not stage.system.user.children
    ref = await stage.doer(name="same")
    assert ref.path == "/user/same"


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
        await stage.until(lambda: done.done)
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


async def test_a_restart_keeps_ref_and_queue(stage: "Stage") -> None:
    """The next life begins after the backoff, with a new instance, and serves what was queued."""
    ref = await stage.doer()
    first = await ref.request(lambda a: a)
    for lives, backoff in enumerate((0.1, 0.2, 0.4), start=1):
        await stage.crash(ref)
        queued = ref.request(lambda a: a)
        await stage.advance(backoff - 0.01)
        assert not queued.done
        assert ref.state == ActorState.RESTARTING
        await stage.advance(0.02)
        second = await queued
        assert second is not first
        first = second
        assert ref.incarnation == lives
    kinds = [type(event) for event in stage.heard.events]
    assert kinds.count(ActorRestarted) == kinds.count(ActorFailed) == 3


async def test_a_child_that_fails_too_often_is_parked(stage: "Stage") -> None:
    """It stands still, everybody is answered, and `restart` by hand revives it."""
    ref = await stage.doer(name="poor")
    for _ in range(5):
        await stage.crash(ref)
        await stage.advance(2)
    assert ref.incarnation == 5
    queued = ref.request(lambda _: 1 // 0), ref.request("behind it")
    await stage.until(lambda: ref.state == ActorState.PARKED)
    with pytest.raises(ZeroDivisionError):
        await queued[0]
    for reply in (queued[1], ref.request("later")):
        with pytest.raises(ActorDeadError):
            await reply
    assert not ref.tell("x")
    assert list(stage.system.parked_cells) == ["/user/poor"]
    assert [e.path for e in stage.heard.events if isinstance(e, ActorParked)] == ["/user/poor"]
    assert await ref.restart() == ref
    assert await ref.request("revived") == "revived"
    await stage.crash(ref)
    await stage.advance(0.2)
    assert await ref.request("a clean slate") == "a clean slate"


@pytest.mark.parametrize("directive", list(Directive))
async def test_directives_decide(stage: "Stage", directive: str) -> None:
    """resume goes on, restart starts again, stop ends it, escalate fails the parent."""
    made: list[Ref[Any]] = []

    async def bear(actor: Any) -> None:
        spec = child(Broken, "no").options(directives={TypeError: directive})
        made.append(await actor.spawn(spec))

    parent = await stage.doer()
    await parent.request(bear)
    (ref,) = made
    ref.cell.receive = _fails
    ref.tell("x")
    await stage.until(lambda: stage.system.failures)
    await stage.turn()
    await stage.advance(0.2)
    states = {
        Directive.RESUME: (ActorState.RUNNING, 0, 0),
        Directive.RESTART: (ActorState.RUNNING, 1, 0),
        Directive.STOP: (ActorState.STOPPED, 0, 0),
        Directive.ESCALATE: (ActorState.STOPPED, 0, 1),
    }
    await stage.until(
        lambda: (ref.state, ref.incarnation, parent.incarnation) == states[Directive(directive)]
    )


def _fails(_: object) -> None:
    raise TypeError("on purpose")


class Watcher(Actor):
    def __init__(self, heard: list[Any]) -> None:
        self.heard = heard

    async def on_receive(self, message: Ref[Any] | Terminated) -> None:
        if isinstance(message, Terminated):
            self.heard.append((message.path, type(message.error)))
        else:
            self.watch(message)


async def test_watch_fires_once(stage: "Stage") -> None:
    """When the Ref ends for good: not at a restart, not twice, also when it is already dead."""
    heard: list[Any] = []
    watcher, ref = await stage.spawn(child(Watcher, heard)), await stage.doer(name="a")
    await watcher.request(ref)
    await watcher.request(ref)
    await stage.crash(ref)
    await stage.advance(0.2)
    assert await ref.request("restarted") == "restarted"
    assert heard == []
    await ref.stop()
    await ref.kill()
    await stage.turn()
    assert heard == [("/user/a", type(None))]
    dead = await stage.doer(name="b")
    await dead.stop()
    await watcher.request(dead)
    await stage.until(lambda: len(heard) > 1)
    assert heard[1:] == [("/user/b", type(None))]


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
