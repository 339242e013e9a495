"""Hooks that do not end, actors that wait for a thread in vain, results of an old life."""

import asyncio
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from understudy.actors.kernel.actor import Actor
from understudy.actors.kernel.options import child
from understudy.messages.control import Terminated
from understudy.messages.errors import ActorDeadError, RuntimeStoppedError

if TYPE_CHECKING:
    from tests.actors.kernel.conftest import Stage
else:
    Stage = Any

pytestmark = pytest.mark.anyio


class Stuck(Actor):
    """Hangs on its thread in one of its hooks."""

    def __init__(self, where: str, at: threading.Event, go: threading.Event) -> None:
        self.where, self.at, self.go = where, at, go

    def on_start(self) -> None:
        self.hang("start")

    def on_stop(self) -> None:
        self.hang("stop")

    def hang(self, where: str) -> None:
        if where == self.where:
            self.at.set()
            self.go.wait(20)

    def on_receive(self, message: Any) -> Any:
        if isinstance(message, Terminated):
            self.hang("terminated")
            return None
        return message(self) if callable(message) else message


class Stubborn(Actor):
    """Swallows its cancellation in one of its hooks."""

    def __init__(self, where: str, at: asyncio.Event, go: asyncio.Event) -> None:
        self.where, self.at, self.go = where, at, go

    async def on_start(self) -> None:
        await self.hang("start")

    async def on_stop(self) -> None:
        await self.hang("stop")

    async def hang(self, where: str) -> None:
        while where == self.where and not self.go.is_set():
            self.at.set()
            try:
                await self.go.wait()
            except asyncio.CancelledError:
                continue

    async def on_receive(self, message: Any) -> Any:
        if isinstance(message, Terminated):
            await self.hang("terminated")
            return None
        return message(self) if callable(message) else message


@pytest.mark.parametrize("where", ["start", "stop", "terminated"])
@pytest.mark.parametrize("kind", [Stuck, Stubborn])
async def test_a_hook_that_does_not_end_is_left_behind(
    stage: Stage, kind: type[Actor], where: str
) -> None:
    """After the grace: named, its thread replaced, its spawner answered, its end no second one."""
    stage.size = 1
    event: Any = threading.Event if kind is Stuck else asyncio.Event
    at, go = event(), event()
    start = stage.system.spawn(child(kind, where, at, go).options(name="hangs"))
    if where == "stop":
        stopped = (await start).stop()
    elif where == "terminated":
        watched = await stage.doer()
        await (await start).request(lambda actor: actor.watch(watched))
        watched.kill()
    await stage.until(at.is_set)
    cell = (stage.system.user.children or {})["hangs"]
    killed = cell.ref.kill()
    await stage.advance(1.9)
    assert not killed.done
    await stage.advance(0.2)
    await killed
    if where == "start":
        with pytest.raises(ActorDeadError):
            await start
    elif where == "stop":
        assert stopped.done
    assert list(stage.system.left_behind.values()) == ["/user/hangs"]
    assert not cell.ref.is_alive()
    if kind is Stuck:
        assert stage.bulkheads[0].abandoned == 1
    other = await stage.thread_doer()
    assert await other.request("gets a thread") == "gets a thread"
    go.set()
    await stage.until(lambda: not stage.system.left_behind)
    assert cell.state == "stopped"
    assert cell.ledger().balanced
    assert await other.request("still") == "still"


class Quick(Actor):
    """Works on threads; notes its hooks."""

    log: ClassVar[list[str]] = []

    def on_start(self) -> None:
        self.log.append("start")

    def on_receive(self, message: Any) -> Any:
        return message(self) if callable(message) else message


class Polite(Quick):
    """Says goodbye."""

    def on_stop(self) -> None:
        self.log.append("stop")


async def _hold(stage: Stage) -> Callable[[], None]:
    """All threads are stuck until what is returned is called."""
    ref, go = await stage.thread_doer(), threading.Event()
    ref.tell(lambda _: go.wait(20))
    await stage.until(lambda: ref.ledger.running)
    return go.set


@pytest.mark.parametrize("how", ["kill", "stop now", "start"])
async def test_who_is_killed_needs_no_thread(stage: Stage, how: str) -> None:
    """An actor that waits for a stuck thread ends without one; none of its own code is run."""
    stage.size = 1
    Quick.log.clear()
    if how == "start":
        release = await _hold(stage)
        begun = stage.system.spawn(child(Quick).options(name="waits"))
        ref = (stage.system.user.children or {})["waits"].ref
    else:
        ref = await stage.spawn(Quick)
        release = await _hold(stage)
        begun = ref.request(lambda _: Quick.log.append("handled"))
    assert not begun.done
    Quick.log.clear()
    ended = ref.stop(drain=False) if how == "stop now" else ref.kill()
    await stage.until(lambda: ended.done)
    with pytest.raises(ActorDeadError):
        await begun
    assert Quick.log == []
    release()
    other = await stage.thread_doer()
    assert await other.request("next") == "next"
    assert Quick.log == []
    await stage.until(lambda: stage.bulkheads[0]._free == 1)


async def test_who_is_killed_with_children_needs_no_thread_either(stage: Stage) -> None:
    """It waits for them, and comes back without a thread."""
    stage.size = 1

    class Keeper(Actor):
        def on_receive(self, message: Any) -> Any:
            return message(self)

    keeper = await stage.spawn(Keeper)
    go = asyncio.Event()
    made = await keeper.request(lambda actor: actor.spawn(child(Stubborn, "stop", go, go)))
    release = await _hold(stage)
    keeper.tell(lambda _: None)
    killed = keeper.kill()
    await stage.until(lambda: killed.done)
    assert not made.is_alive()
    release()


async def test_who_says_goodbye_waits_for_its_thread(stage: Stage) -> None:
    """`on_stop` is the actor's own code: it runs on a thread, when there is one."""
    stage.size = 1
    Quick.log.clear()
    ref = await stage.spawn(Polite)
    release = await _hold(stage)
    asked = ref.request("dropped")
    stopped = ref.stop(drain=False)
    await stage.turn()
    assert not stopped.done
    release()
    await stopped
    assert Quick.log == ["start", "stop"]
    with pytest.raises(ActorDeadError):
        await asked


async def test_the_result_of_an_old_life_does_not_reach_the_next(stage: Stage) -> None:
    """A threaded actor restarts at the very moment at which its background work is through."""
    heard: list[Any] = []
    second = threading.Event()

    class Worker(Actor):
        lives: ClassVar[list[int]] = []

        def __init__(self) -> None:
            self.lives.append(1)
            if len(self.lives) == 2:
                second.set()

        def on_receive(self, message: Any) -> Any:
            if callable(message):
                return message(self)
            heard.append(message)
            return None

    ref = await stage.spawn(Worker)

    async def work() -> str:
        return "of the first life"

    def then(outcome: Any) -> Any:  # on the loop's thread
        ref.restart()
        assert second.wait(10)
        return outcome.value

    await ref.request(lambda actor: actor.background(work(), then=then))
    await stage.until(second.is_set)
    await ref.request(lambda _: None)
    assert heard == []
    assert ref.ledger.cancelled == 1
    await ref.request(lambda actor: actor.background(work(), then=lambda each: each.value))
    await stage.until(lambda: heard)
    assert heard == ["of the first life"]


def _closed() -> Any:
    raise RuntimeError("Event loop is closed")


async def test_a_bell_set_under_a_lock_may_find_the_loop_closed(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever notices may hold the lock of an actor: everybody is answered all the same."""
    stage.quiet = False
    ref = await stage.doer()
    asked = ref.request(lambda _: asyncio.Event().wait())
    await stage.until(lambda: ref.ledger.running)

    class Closed:
        def call_soon_threadsafe(self, *_: Any) -> None:
            _closed()

    def notice() -> None:
        with ref.cell.lock:
            stage.system.after(1.0, lambda: None)

    monkeypatch.setattr(stage.system, "loop", Closed())
    helper = stage.thread(notice)
    await stage.until(lambda: helper.done)
    await stage.until(lambda: asked.done)
    monkeypatch.undo()
    with pytest.raises(RuntimeStoppedError):
        await asked


@pytest.mark.parametrize("begun", [True, False])
async def test_a_restart_is_answered_when_the_loop_is_lost(stage: Stage, begun: bool) -> None:
    """Whether its operation was begun, or waits in a lane that nobody looks into any more."""
    stage.quiet = False
    go, at = threading.Event(), threading.Event()
    ref = await stage.spawn(child(Stuck, "", at, go))

    def hang(_: Actor) -> None:
        at.set()
        go.wait(20)

    if begun:
        ref.cell.spec.args[1].clear()
        await ref.request(lambda _: setattr(Stuck, "on_start", hang))
    else:
        ref.tell(hang)
        await stage.until(at.is_set)
    try:
        restarted = ref.restart()
        await stage.until(at.is_set)
    finally:
        Stuck.on_start = _ON_START  # type: ignore[method-assign]
    await stage.thread(stage.system.loop_lost)
    with pytest.raises(RuntimeStoppedError):
        await restarted
    go.set()
    await stage.until(lambda: stage.bulkheads[0]._free == 1)
    assert not ref.tell("too late")
    assert ref.cell.state == "stopped"


_ON_START = Stuck.on_start
