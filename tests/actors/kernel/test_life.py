import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from understudy.actors.kernel.actor import Actor
from understudy.actors.kernel.errors import ActorDeadError
from understudy.actors.kernel.options import child
from understudy.actors.kernel.ref import Ref
from understudy.messages.control import ActorState, Directive, Terminated
from understudy.messages.events import ActorFailed, ActorParked, ActorRestarted

if TYPE_CHECKING:
    from tests.actors.kernel.conftest import Stage

pytestmark = pytest.mark.anyio


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
    """Resume goes on, restart starts again, stop ends it, escalate fails the parent."""
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
