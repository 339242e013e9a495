"""Lives that end and begin again, under supervisors and by hand."""

import asyncio
from typing import Any

import pytest

from understudy import Actor, ActorDeadError, Ref, Runtime, child
from understudy.messages.control import Terminated
from understudy.runtime.supervisor import WhichChildren

pytestmark = pytest.mark.anyio


async def _turns(count: int = 20) -> None:
    """Let the loop turn."""
    for _ in range(count):
        await asyncio.sleep(0)


class Echo(Actor):
    """Answers, raises what it is sent, or does it."""

    async def on_receive(self, message: Any) -> Any:
        if isinstance(message, BaseException):
            raise message
        return message(self) if callable(message) else message


class Lingers(Actor):
    """Holds its message, and takes its time to let go of it."""

    def __init__(self, log: list[str]) -> None:
        self.log = log

    async def on_start(self) -> None:
        self.log.append("begins")

    async def on_receive(self, message: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(50):
                await asyncio.sleep(0)
            self.log.append("ends")


class Parent(Actor):
    """Has a child of a fixed name in each of its lives."""

    def __init__(self, log: list[str]) -> None:
        self.log = log

    async def on_start(self) -> None:
        self.child = await self.spawn(child(Lingers, self.log), name="only")
        self.child.tell("hold on")

    async def on_receive(self, message: str) -> int:
        if message == "crash":
            raise ValueError(message)
        return self.ref.incarnation


@pytest.mark.parametrize("how", ["crash", "by hand"])
async def test_a_new_life_waits_for_the_children_of_the_old_one(how: str) -> None:
    """Their names, ports and files are theirs until they have ended."""
    log: list[str] = []
    async with Runtime() as rt:
        ref = await rt.aspawn(child(Parent, log))
        await _turns()
        if how == "crash":
            with pytest.raises(ValueError, match="crash"):
                await ref.request("crash")
        else:
            await ref.restart()
        assert await ref.request("which life") == 1
        assert log == ["begins", "ends", "begins"]
        assert len(rt.system.failures) == (how == "crash")
        await ref.kill()


async def test_who_is_stopped_between_two_lives_ends_after_its_children() -> None:
    """So a join of the parent is one of the whole family, and `on_stop` is not run on the dead."""
    log: list[str] = []

    class Mourned(Parent):
        async def on_stop(self) -> None:
            log.append("on_stop")

    async with Runtime() as rt:
        ref = await rt.aspawn(child(Mourned, log))
        await _turns()
        ref.tell("crash")
        await _turns(5)
        assert ref.state == "restarting"
        await ref.stop()
        assert log == ["begins", "ends"]


async def test_a_group_restarted_by_hand_has_its_children_again() -> None:
    """Under the same names, at once."""
    async with Runtime() as rt:
        group = await rt.asupervise("group", [child(Echo).options(name="one")])
        (before,) = await group.request(WhichChildren())
        await group.restart()
        (after,) = await group.request(WhichChildren())
        assert before.path == after.path
        assert not before.is_alive()
        assert await after.request(1) == 1


async def test_an_escalation_ends_at_the_root() -> None:
    """`/user` parks whom nobody supervises, and takes nobody else along."""
    async with Runtime() as rt:
        other = await rt.aspawn(Echo)
        ref = await rt.aspawn(Echo, directives={ValueError: "escalate"})
        with pytest.raises(ValueError, match="x"):
            await ref.request(ValueError("x"))
        await _turns()
        assert ref.state == "parked"
        assert await other.request(1) == 1
        assert other.incarnation == 0
        await ref.restart()
        assert await ref.request(2) == 2


async def test_an_escalation_is_the_parents_failure() -> None:
    """Its own directive decides then."""
    async with Runtime() as rt:
        inner = child(Echo).options(name="inner", directives={ValueError: "escalate"})
        group = await rt.asupervise("group", [inner])
        (ref,) = await group.request(WhichChildren())
        with pytest.raises(ValueError, match="x"):
            await ref.request(ValueError("x"))
        (again,) = await group.request(WhichChildren())
        assert group.incarnation == 1
        assert not ref.is_alive()
        assert await again.request(1) == 1


async def test_there_is_nothing_to_resume_when_a_life_cannot_begin() -> None:
    """A `resume` for what `on_start` raises starts it again instead of leaving it nowhere."""
    lives: list[int] = []

    class Moody(Echo):
        async def on_start(self) -> None:
            lives.append(self.ref.incarnation)
            if self.ref.incarnation == 1:
                raise OSError("not yet")

    async with Runtime() as rt:
        ref = await rt.aspawn(Moody, directives={OSError: "resume"})
        with pytest.raises(ValueError, match="x"):
            await ref.request(ValueError("x"))
        assert await ref.request(1) == 1
        assert lives == [0, 1, 2]


async def test_the_next_life_hears_who_has_ended_between_the_two() -> None:
    """`Terminated` is not handled by an instance whose life is over."""
    heard: list[int] = []

    class Watcher(Actor):
        async def on_receive(self, message: Any) -> None:
            if isinstance(message, Ref):
                self.watch(message)
            elif isinstance(message, Terminated):
                heard.append(self.ref.incarnation)
            elif message == "crash":
                raise ValueError(message)

    async with Runtime() as rt:
        watched, watcher = await rt.aspawn(Echo), await rt.aspawn(Watcher)
        await watcher.request(watched)
        watcher.tell("crash")
        await _turns(5)
        assert watcher.state == "restarting"
        await watched.stop()
        await watcher.request("are you there")
        assert heard == [1]


async def test_a_permanent_child_may_be_stopped_in_the_middle_of_stopping_itself() -> None:
    """The stop wins; it does not hang between two lives."""
    async with Runtime() as rt:
        group = await rt.asupervise("group", [Echo])
        (ref,) = await group.request(WhichChildren())

        def both(actor: Echo) -> None:
            actor.ref.stop()
            actor.stop()

        await ref.request(both)
        await ref.ajoin()
        assert ref.state == "stopped"


async def test_stopping_itself_twice_is_one_failure() -> None:
    """A permanent child that says so twice begins one new life."""
    async with Runtime() as rt:
        group = await rt.asupervise("group", [Echo], intensity=1)
        (ref,) = await group.request(WhichChildren())

        def twice(actor: Echo) -> None:
            actor.stop()
            actor.stop()

        await ref.request(twice)
        assert await ref.request(1) == 1
        assert ref.incarnation == 1


@pytest.mark.parametrize("hook", ["on_start", "on_stop"])
async def test_a_kill_ends_a_hook_that_does_not_end(hook: str) -> None:
    """Whoever waits for the kill, or for the restart, is answered."""

    class Hangs(Echo):
        async def on_start(self) -> None:
            if hook == "on_start" and self.ref.incarnation:
                await asyncio.Event().wait()

        async def on_stop(self) -> None:
            await asyncio.Event().wait()

    async with Runtime() as rt:
        ref = await rt.aspawn(Hangs)
        begun = ref.restart() if hook == "on_start" else ref.stop()
        await _turns()
        assert not begun.done
        await asyncio.wait_for(asyncio.wrap_future(_future(ref.kill())), 10)
        if hook == "on_start":
            with pytest.raises(ActorDeadError):
                await begun
        assert not ref.is_alive()


def _future(reply: Any) -> Any:
    """A thread future for a Reply, so that waiting for it can be bounded."""
    from concurrent.futures import Future

    future: Future[None] = Future()
    reply.add_done_callback(lambda _: future.set_result(None))
    return future


async def test_a_message_is_in_one_place_only() -> None:
    """Stashed twice, stashed and deferred, deferred twice, given up while stashed: it balances."""

    def stash_twice(actor: Actor) -> None:
        actor.stash()
        actor.stash()

    def stash_and_defer(actor: Actor) -> None:
        actor.stash()
        with pytest.raises(Exception, match="stashed"):
            actor.defer()

    def defer_and_stash(actor: Actor) -> None:
        actor.defer().set("deferred")
        with pytest.raises(Exception, match="deferred"):
            actor.stash()

    def defer_twice(actor: Actor) -> None:
        actor.defer().set("first")
        actor.defer().set("second")

    async with Runtime() as rt:
        ref = await rt.aspawn(Echo)
        stashed = [ref.request(stash_twice), ref.request(stash_and_defer)]
        assert await ref.request(defer_and_stash) == "deferred"
        assert await ref.request(defer_twice) == "first"
        ledger = rt.ledger
        assert (ledger.stashed, ledger.late_reply, ledger.balanced) == (2, 1, True)
        for reply in stashed:
            reply.cancel()
        assert (rt.ledger.stashed, rt.ledger.cancelled, rt.ledger.balanced) == (0, 2, True)


async def test_giving_up_what_is_being_stashed_ends_its_handler() -> None:
    """It is counted once, though it is stashed and in hand."""
    ended = asyncio.Event()

    class Stasher(Actor):
        async def on_receive(self, message: asyncio.Event) -> None:
            self.stash()
            message.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

    async with Runtime() as rt:
        ref = await rt.aspawn(Stasher)
        begun = asyncio.Event()
        reply = ref.request(begun)
        await begun.wait()
        reply.cancel()
        await ended.wait()
        await _turns()
        assert (rt.ledger.cancelled, rt.ledger.stashed, rt.ledger.balanced) == (1, 0, True)
