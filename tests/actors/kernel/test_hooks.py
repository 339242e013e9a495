"""What happens before the first message, between two lives and after the last one."""

import asyncio
import threading
from _thread import get_ident
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from understudy.actors.kernel.actor import Actor, as_child
from understudy.actors.kernel.dispatchers.loop import LoopDispatcher
from understudy.actors.kernel.options import child
from understudy.actors.kernel.system import ActorSystem
from understudy.messages.control import ActorState, Directive, Terminated
from understudy.messages.errors import ActorDeadError, RunCancelledError, WouldDeadlockError

if TYPE_CHECKING:
    from tests.actors.kernel.conftest import Stage
else:
    Stage = Any

pytestmark = pytest.mark.anyio


class Waiter(Actor):
    """Waits for ever where it is told to."""

    def __init__(self, where: str, at: asyncio.Event) -> None:
        self.where = where
        self.at = at

    async def on_start(self) -> None:
        await self.wait("start")

    async def on_stop(self) -> None:
        await self.wait("stop")

    async def wait(self, where: str) -> None:
        if where == self.where:
            self.at.set()
            await asyncio.Event().wait()

    async def on_receive(self, message: Any) -> Any:
        return message


async def test_a_kill_ends_a_start_that_waits(stage: Stage) -> None:
    """The hook is cancelled, and whoever spawned it gets an error that is no cancel of its own."""
    at = asyncio.Event()
    start = stage.system.spawn(child(Waiter, "start", at).options(name="slow"))
    await at.wait()
    cell = (stage.system.user.children or {})["slow"]
    await cell.ref.kill()
    with pytest.raises(ActorDeadError):
        await start
    assert cell.ref.state == ActorState.STOPPED


async def test_a_start_that_somebody_else_cancels_fails_in_the_spawner(stage: Stage) -> None:
    """As `RunCancelledError`: a CancelledError there would look like the spawner's own."""
    at = asyncio.Event()
    start = stage.system.spawn(child(Waiter, "start", at))
    await at.wait()
    [runner] = [each for each in stage.dispatcher.runners if each.held]
    assert runner.task is not None
    runner.task.cancel()
    with pytest.raises(RunCancelledError):
        await start
    await stage.until(runner.task.done)


async def test_a_kill_ends_an_on_stop_that_waits(stage: Stage) -> None:
    """A stop that hangs in its hook is over with the kill."""
    at = asyncio.Event()
    ref = await stage.spawn(child(Waiter, "stop", at))
    stopped = ref.stop()
    await at.wait()
    assert not stopped.done
    await ref.kill()
    assert stopped.done


async def test_an_actor_may_kill_itself_and_then_wait(stage: Stage) -> None:
    """Also in the first step of its handler, which is in nobody's hand yet."""
    ref = await stage.doer()

    async def kills_and_waits(actor: Actor) -> None:
        actor.ref.kill()
        await asyncio.Event().wait()

    with pytest.raises(ActorDeadError):
        await ref.request(kills_and_waits)
    await ref.ajoin()


async def test_a_cancel_from_a_thread_reaches_a_handler_in_its_first_step(stage: Stage) -> None:
    """The asker gives up while the handler computes; it is cancelled where it first waits."""
    ref = await stage.doer()
    begun, given_up = threading.Event(), threading.Event()
    ended: list[str] = []

    async def computes_and_waits(actor: Actor) -> None:
        begun.set()
        given_up.wait()  # the loop's thread is busy here
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    def gives_up() -> None:
        begun.wait()
        asked.cancel()
        given_up.set()

    asked = ref.request(computes_and_waits)
    helper = stage.thread(gives_up)
    await stage.until(lambda: ended)
    await helper
    assert stage.clock.now() == 1000.0  # it took no grace


class Fickle(Actor):
    """Its second life does not start at once."""

    starts: ClassVar[list[int]] = []

    async def on_start(self) -> None:
        self.starts.append(1)
        if len(self.starts) == 2:
            raise ValueError("not yet")

    async def on_receive(self, message: Any) -> Any:
        return message(self) if callable(message) else message


async def test_resume_starts_again_what_never_started(stage: Stage) -> None:
    """There is nothing to resume when `on_start` fails: the next life is tried instead."""
    Fickle.starts.clear()
    ref = await stage.spawn(child(Fickle).options(directives={ValueError: Directive.RESUME}))
    await stage.crash(ref)
    asked = ref.request("served in the third life")
    await stage.advance(1.0)
    await stage.until(lambda: len(Fickle.starts) == 2)
    await stage.advance(1.0)
    assert await asked == "served in the third life"


class Watcher(Actor):
    """Notes who it is when it hears of an end."""

    heard: ClassVar[list[Actor]] = []

    async def on_receive(self, message: Any) -> Any:
        if isinstance(message, Terminated):
            self.heard.append(self)
            return None
        return message(self)


async def test_an_end_between_two_lives_is_told_to_the_next_one(stage: Stage) -> None:
    """The instance that has failed gets no messages any more, of no lane."""
    Watcher.heard.clear()
    watcher, watched = await stage.spawn(Watcher), await stage.doer()
    await watcher.request(lambda actor: actor.watch(watched))
    first = watcher.cell.actor
    await stage.crash(watcher)
    await watched.kill()
    await stage.turn()
    assert Watcher.heard == []
    await stage.advance(1.0)
    await stage.until(lambda: Watcher.heard)
    assert Watcher.heard == [watcher.cell.actor]
    assert Watcher.heard != [first]


async def test_a_restart_by_hand_gives_back_the_stash(stage: Stage) -> None:
    """What one life has put aside is served by the next one, however that came to be."""
    ref = await stage.doer()
    asked = ref.request(lambda actor: actor.stash() if not actor.ref.incarnation else "served")
    await stage.until(lambda: ref.ledger.stashed)
    await ref.restart()
    assert await asked == "served"


async def test_a_revived_actor_is_no_longer_listed_as_parked(stage: Stage) -> None:
    """The list names those that stand still now."""
    ref = await stage.doer()
    ref.cell.post_system(ref.cell.park)
    await stage.until(lambda: ref.path in stage.system.parked_cells)
    await ref.restart()
    assert stage.system.parked_cells == {}


async def test_blocking_on_an_end_or_a_start_on_the_loop_is_refused(stage: Stage) -> None:
    """`get` on what only the loop can bring about would block it for ever."""
    gate = asyncio.Event()
    ref = await stage.doer()
    ref.tell(lambda _: gate.wait())
    await stage.until(lambda: ref.cell.current is not None)
    for wait in (ref.stop().get, ref.restart().get, ref.join):
        with pytest.raises(WouldDeadlockError, match="await"):
            wait()
    with pytest.raises(WouldDeadlockError):
        ref.stop(block=True)
    start = stage.system.spawn(as_child(Fickle))
    with pytest.raises(WouldDeadlockError):
        start.get()
    gate.set()
    await start


async def test_awaiting_the_end_of_who_waits_for_oneself_is_no_circle(stage: Stage) -> None:
    """A kill ends the handler that waits, so the one who kills may wait for it."""
    killer, victim = await stage.doer(), await stage.doer()

    async def kills(actor: Actor) -> str:
        await victim.kill()
        return "killed"

    asked = victim.request(lambda _: killer.request("never served, for it is busy"))
    ended = killer.request(kills)
    assert await ended == "killed"
    assert asked.done


async def test_what_then_raises_is_a_failure_of_the_actor(stage: Stage) -> None:
    """Not a lost message: it is reported, and the supervisor decides."""
    ref = await stage.doer()

    async def nothing() -> None:
        pass

    def refuses(outcome: object) -> None:
        raise ValueError(outcome)

    await ref.request(lambda actor: actor.background(nothing(), then=refuses))
    await stage.until(lambda: stage.system.failures)
    [(path, error)] = stage.system.failures
    assert path == ref.path
    assert isinstance(error, ValueError)
    assert ref.state == ActorState.RESTARTING


async def test_background_work_of_a_cancelled_asker_never_begins(stage: Stage) -> None:
    """Whoever has given up by then is not worked for."""
    ref = await stage.doer()
    begun: list[str] = []

    async def work() -> None:
        begun.append("work")

    async def begins_too_late(actor: Actor) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            actor.background(work(), then=lambda outcome: outcome)

    asked = ref.request(begins_too_late)
    await stage.turn()
    asked.cancel()
    await ref.stop()
    assert begun == []


def test_ctrl_c_in_a_plain_handler_reaches_the_loop() -> None:
    """In the main thread it is nobody's failure: the asker is told, and the loop hears of it."""
    answers: list[BaseException] = []

    class Plain(Actor):
        blocking = False

        def on_receive(self, message: object) -> None:
            raise KeyboardInterrupt

    async def main() -> None:
        loop = asyncio.get_running_loop()
        dispatcher = LoopDispatcher(loop, get_ident(), loop.time)
        system = ActorSystem(loop=loop, loop_thread=get_ident(), dispatchers={"loop": dispatcher})
        ref = await system.spawn(as_child(Plain))
        reply = ref.request("go")
        reply.add_done_callback(lambda it: answers.append(it.outcome().error or SystemError()))
        try:
            await reply
        finally:
            assert not system.failures
            system.wheel.close()

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())
    assert isinstance(answers[0], RunCancelledError)
