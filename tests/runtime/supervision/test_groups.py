"""Who is restarted with whom, how often, and in which order."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from understudy import Actor, ActorDeadError, Ref, Runtime, child
from understudy.messages.control import Terminated
from understudy.runtime.supervisor import Supervisor, WhichChildren
from understudy.testing import ManualClock

pytestmark = pytest.mark.anyio


async def _turns(count: int = 40) -> None:
    """Let the loop turn."""
    for _ in range(count):
        await asyncio.sleep(0)


async def _pass(clock: ManualClock, seconds: float) -> None:
    """Let time pass, and what rings be done."""
    clock.advance(seconds)
    await _turns()


class Member(Actor):
    """Writes down its lives; raises what it is sent; may be kept from starting."""

    broken: set[str] = set()  # noqa: RUF012 - the test's own switch

    def __init__(self, name: str, log: list[str]) -> None:
        self.name = name
        self.log = log

    async def on_start(self) -> None:
        if self.name in self.broken:
            raise OSError(f"{self.name} cannot start")
        self.log.append(f"+{self.name}")

    async def on_stop(self) -> None:
        self.log.append(f"-{self.name}")

    async def on_receive(self, message: Any) -> Any:
        if isinstance(message, BaseException):
            raise message
        if isinstance(message, asyncio.Event):
            await message.wait()
            raise ValueError("late")  # noqa: TRY004 - what the test asks for
        return self.ref.incarnation


@pytest.fixture(autouse=True)
def _nobody_is_broken() -> None:
    Member.broken = set()


def _members(log: list[str], names: str = "abc", **options: Any) -> list[Any]:  # Any: ChildSpec
    return [child(Member, name, log).options(name=name, **options) for name in names]


async def _children(group: Ref[Any]) -> Sequence[Ref[Any]]:
    found: Sequence[Ref[Any]] = await group.request(WhichChildren())
    return found


async def test_one_for_one_children_do_not_wait_for_each_other() -> None:
    """A child in a long backoff keeps no sibling from its next life."""
    clock = ManualClock()
    async with Runtime(clock=clock, seed=1) as rt:
        group = await rt.asupervise("group", _members([], "ab"))
        a, b = await _children(group)
        for _ in range(4):
            a.tell(ValueError("again"))
            await _turns()
            await _pass(clock, 2)
        a.tell(ValueError("again"))
        b.tell(ValueError("once"))
        await _turns()
        await _pass(clock, 0.13)
        assert (a.state, b.state) == ("restarting", "running")
        await _pass(clock, 3)
        assert a.state == "running"


async def test_failures_are_forgotten_after_their_window() -> None:
    """So many within the period are tolerated, of each child; and as many in the next one."""
    clock = ManualClock()
    async with Runtime(clock=clock, seed=1) as rt:
        group = await rt.asupervise("group", _members([], "ab"), intensity=2, period=10)
        a, b = await _children(group)
        for _ in range(2):
            for _ in range(2):
                for ref in (a, b):
                    ref.tell(ValueError("x"))
                await _turns()
                await _pass(clock, 3)
            assert (a.state, b.state) == ("running", "running")
            await _pass(clock, 11)
        for _ in range(3):
            a.tell(ValueError("x"))
            await _turns()
            await _pass(clock, 4)
        assert (a.state, b.state) == ("parked", "running")
        with pytest.raises(ActorDeadError):
            await a.request("life")


async def test_a_budget_for_the_group_makes_it_fail() -> None:
    """One child's own budget only parks that child."""
    async with Runtime() as rt:
        group = await rt.asupervise("group", _members([], "ab"), intensity=0, total_intensity=1)
        a, b = await _children(group)
        a.tell(ValueError("x"))
        await _turns()
        assert (a.state, b.state, group.incarnation) == ("parked", "running", 0)
        b.tell(ValueError("x"))
        await _turns()
        assert not b.is_alive()
        assert [ref.state for ref in await _children(group)] == ["running", "running"]
        assert group.incarnation == 1


@pytest.mark.parametrize("restart", ["permanent", "transient", "temporary"])
async def test_the_restart_type_says_what_follows_a_failure(restart: str) -> None:
    """A temporary child never comes back, the others do."""
    async with Runtime() as rt:
        group = await rt.asupervise("group", _members([], "a", restart=restart))
        (ref,) = await _children(group)
        ref.tell(ValueError("x"))
        if restart == "temporary":
            await ref.ajoin()
            assert await _children(group) == ()
        else:
            assert await ref.request("life") == 1


async def test_the_most_specific_directive_wins() -> None:
    """By the order of the error's own classes, not of the mapping."""

    class OursError(ValueError):
        """More specific."""

    rules = {Exception: "stop", OursError: "resume", ValueError: "restart"}
    async with Runtime() as rt:
        (ref,) = await _children(await rt.asupervise("group", _members([], "a", directives=rules)))
        ref.tell(OursError("x"))
        assert await ref.request("life") == 0
        ref.tell(ValueError("x"))
        assert await ref.request("life") == 1
        ref.tell(OSError("x"))
        await ref.ajoin()


async def test_siblings_keep_queue_and_ref_when_the_group_begins_anew() -> None:
    """What is queued at a sibling is handled by its next life; what it has in hand first ends."""
    log: list[str] = []
    async with Runtime() as rt:
        options: dict[str, Any] = {"strategy": "one_for_all", "total_intensity": 1}
        group = await rt.asupervise("group", _members(log), **options)
        a, b, c = await _children(group)
        gate = asyncio.Event()
        held = c.request(gate)
        await _turns()
        queued = [ref.request("life") for ref in (a, c)]
        crash = b.request(ValueError("x"))
        with pytest.raises(ValueError, match="x"):
            await crash
        gate.set()
        with pytest.raises(ValueError, match="late"):
            await held  # a child that fails while its group stands down: one restart, not two
        assert await queued[1] == 1
        assert [await ref.request("life") for ref in (a, b, c)] == [1, 1, 1]
        assert group.incarnation == 0
    assert log == ["+a", "+b", "+c", "+a", "+b", "+c", "-c", "-b", "-a"]


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
async def test_a_child_that_fails_while_its_group_stands_up(strategy: str) -> None:
    """Those after it wait, and stand up with its next try."""
    clock, log = ManualClock(), list[str]()
    async with Runtime(clock=clock) as rt:
        group = await rt.asupervise("group", _members(log), strategy=strategy)
        a, b, c = await _children(group)
        Member.broken = {"b"}
        a.tell(ValueError("x"))
        await _turns()
        await _pass(clock, 1)
        assert (b.state, c.state) == ("restarting", "restarting")
        Member.broken = set()
        await _pass(clock, 1)
        assert [ref.state for ref in (a, b, c)] == ["running"] * 3
        assert await c.request("life") == 1
    again = ["+a"] if strategy == "one_for_all" else []
    assert log[3:] == ["+a", *again, "+b", "+c", "-c", "-b", "-a"]


async def test_a_life_that_cannot_begin_again_is_parked_in_the_end() -> None:
    """Each try counts as a failure, with a growing backoff."""
    clock = ManualClock()
    async with Runtime(clock=clock) as rt:
        (ref,) = await _children(await rt.asupervise("group", _members([], "a")))
        Member.broken = {"a"}
        ref.tell(ValueError("x"))
        await _turns()
        for _ in range(6):
            await _pass(clock, 2)
        assert ref.state == "parked"
        assert "a cannot start" in str(rt.tree())
        Member.broken = set()
        await ref.restart()
        assert await ref.request("life") == 6


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all", "rest_for_one"])
@pytest.mark.parametrize("urgency", ["stop", "kill"])
async def test_a_group_that_is_stopped_in_the_middle_of_a_restart(
    strategy: str, urgency: str
) -> None:
    """It ends with all its children, and everybody who waits is told."""
    clock, log = ManualClock(), list[str]()
    async with Runtime(clock=clock) as rt:
        group = await rt.asupervise("group", _members(log), strategy=strategy)
        refs = await _children(group)
        refs[0].tell(ValueError("x"))
        await _turns()
        queued = refs[0].request("life")
        await (group.stop() if urgency == "stop" else group.kill())
        with pytest.raises(ActorDeadError):
            await queued
        assert [ref.state for ref in refs] == ["stopped"] * 3
        await _pass(clock, 60)
        assert log[:3] == ["+a", "+b", "+c"]
        assert not [line for line in log[3:] if line.startswith("+")]


async def test_a_group_that_cannot_start_leaves_nobody() -> None:
    """The children before the one that failed are stopped again, and their names are free."""
    log: list[str] = []
    async with Runtime() as rt:
        Member.broken = {"c"}
        with pytest.raises(OSError, match="c cannot start"):
            await rt.asupervise("group", _members(log))
        Member.broken = set()
        await _turns()
        assert "group" not in str(rt.tree())
        group = await rt.asupervise("group", _members(log))
        assert len(await _children(group)) == 3


async def test_an_inner_group_fails_as_one_child_of_the_outer_one() -> None:
    """And the outer one parks it when it fails too often."""
    inner = child(Supervisor, _members([], "a"), strategy="one_for_all", intensity=0)
    async with Runtime() as rt:
        outer = await rt.asupervise("outer", [inner.options(name="inner")], intensity=1)
        (group,) = await _children(outer)
        for life in range(2):
            (ref,) = await _children(group)
            ref.tell(ValueError("x"))
            await ref.ajoin()
            if life == 0:
                await _children(group)
        await _turns()
        assert (group.state, outer.incarnation) == ("parked", 0)
        await group.restart()
        (ref,) = await _children(group)
        assert await ref.request("life") == 0


async def test_watch_hears_of_the_end_and_not_of_restarts() -> None:
    """Once, also when the target has ended before."""
    heard: list[str] = []

    class Watcher(Actor):
        async def on_receive(self, message: Any) -> None:
            if isinstance(message, Terminated):
                heard.append(message.path)
            else:
                self.watch(message)
                self.watch(message)

    async with Runtime() as rt:
        (ref,) = await _children(await rt.asupervise("group", _members([], "a")))
        watcher = await rt.aspawn(Watcher)
        await watcher.request(ref)
        ref.tell(ValueError("x"))
        assert await ref.request("life") == 1
        assert heard == []
        await ref.kill()
        await _turns()
        assert heard == ["/user/group/a"]
        await watcher.request(ref)
        await _turns()
        assert heard == ["/user/group/a"] * 3  # two watches of somebody dead, each answered


async def test_the_tree_shows_who_is_there_and_how_they_are() -> None:
    """As a struct and as text: states, restarts, queue, what is in hand, the last error."""
    clock = ManualClock()
    async with Runtime(clock=clock, name="stage") as rt:
        group = await rt.asupervise("group", _members([], "ab"))
        a, b = await _children(group)
        a.tell(ValueError("x"))
        await _turns()
        await _pass(clock, 1)
        gate = asyncio.Event()
        held = b.request(gate)
        await _turns()
        b.tell("waits")
        await _pass(clock, 2)
        (user,) = [node for node in rt.tree().children if node.path == "/user"]
        (node,) = user.children
        first, second = node.children
        assert (node.path, node.kind) == ("/user/group", "Supervisor")
        assert (first.restarts, first.state, first.last_error) == (1, "running", "ValueError: x")
        assert (second.current, second.mailbox.depth, second.mailbox.peak) == ("Event", 1, 1)
        assert second.current_age == pytest.approx(2)
        assert second.mailbox.oldest == pytest.approx(2)
        text = str(rt.tree()).splitlines()
        assert text[0] == "/ (stage) running"
        assert text[2] == "│  └─ group (Supervisor) running"
        assert text[3] == "│     ├─ a (Member) running, 1 restarts, ValueError: x"
        assert text[4] == "│     └─ b (Member) running, 1 queued (2.0 s), in Event for 2.0 s"
        gate.set()
        with pytest.raises(ValueError, match="late"):
            await held
