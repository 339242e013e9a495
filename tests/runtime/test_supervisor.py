"""Groups that are kept alive together."""

from collections.abc import Sequence
from typing import Any

import pytest

from understudy import Actor, ActorDeadError, Ref, Runtime, child
from understudy.messages.errors import ConfigError
from understudy.runtime.strategy import Strategy, concerned
from understudy.runtime.supervisor import Supervisor, WhichChildren

pytestmark = pytest.mark.anyio


class Member(Actor):
    """Says which life it is in, crashes when told to, and writes its lives into a log."""

    def __init__(self, name: str, log: list[str]) -> None:
        self.name = name
        self.log = log

    async def on_start(self) -> None:
        self.log.append(f"+{self.name}")

    async def on_stop(self) -> None:
        self.log.append(f"-{self.name}")

    async def on_receive(self, message: str) -> int:
        """Crash, stop, or answer."""
        if message == "crash":
            raise ValueError("told to")
        if message == "stop":
            self.stop()
        return self.ref.incarnation


def members(log: list[str], count: int = 3, **options: Any) -> list[Any]:  # Any: ChildSpec
    """Specifications of `count` members named m0, m1, ..."""
    return [
        child(Member, f"m{number}", log).options(name=f"m{number}", **options)
        for number in range(count)
    ]


async def children_of(group: Ref[Any]) -> Sequence[Ref[Any]]:
    """The members of a group, in the order of their start."""
    found: Sequence[Ref[Any]] = await group.request(WhichChildren())
    return found


@pytest.mark.parametrize(
    ("strategy", "lives"),
    [("one_for_one", [0, 1, 0]), ("one_for_all", [1, 1, 1]), ("rest_for_one", [0, 1, 1])],
)
async def test_the_strategy_says_whose_life_begins_anew(
    strategy: Strategy, lives: list[int]
) -> None:
    """Refs and queued messages survive, whoever is restarted; new lives start left to right."""
    log: list[str] = []
    async with Runtime() as rt:
        group = await rt.asupervise("group", members(log), strategy=strategy)
        refs = await children_of(group)
        crash = refs[1].request("crash")
        queued = [ref.request("life") for ref in refs]
        with pytest.raises(ValueError, match="told to"):
            await crash
        assert [await reply for reply in queued][1] == 1
        assert [await ref.request("life") for ref in refs] == lives
    begun = [f"+m{number}" for number, life in enumerate(lives) if life]
    assert log[3 : 3 + len(begun)] == begun
    assert log[-3:] == ["-m2", "-m1", "-m0"]


def test_concerned_knows_only_the_living() -> None:
    """A child that has left concerns nobody."""
    assert concerned("one_for_all", ["a", "b"], "c") == []
    assert concerned("rest_for_one", ["a", "b", "c"], "b") == ["b", "c"]


async def test_a_child_that_fails_too_often_is_parked_and_revived() -> None:
    """One for one: the others go on, the supervisor too, and `restart` begins a new life."""
    async with Runtime() as rt:
        group = await rt.asupervise("group", members([], 2), intensity=1, period=60)
        refs = await children_of(group)
        for _ in range(2):
            with pytest.raises(ValueError, match="told to"):
                await refs[0].request("crash")
        with pytest.raises(ActorDeadError):
            await refs[0].request("life")
        assert refs[0].state == "parked"
        assert await refs[1].request("life") == 0
        await refs[0].restart()
        assert await refs[0].request("life") == 2


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
async def test_a_group_that_fails_too_often_fails_as_one(strategy: Strategy) -> None:
    """The supervisor itself begins a new life, with new children."""
    log: list[str] = []
    async with Runtime() as rt:
        group = await rt.asupervise("group", members(log), strategy=strategy, intensity=0)
        old = await children_of(group)
        with pytest.raises(ValueError, match="told to"):
            await old[0].request("crash")
        new = await children_of(group)
        assert group.incarnation == 1
        assert [ref.is_alive() for ref in old] == [False] * 3
        assert [await ref.request("life") for ref in new] == [0, 0, 0]


async def test_a_significant_child_takes_its_supervisor_along() -> None:
    """It is not parked: the supervisor fails instead."""
    async with Runtime() as rt:
        spec = members([], 1, significant=True)
        group = await rt.asupervise("group", spec, intensity=0)
        (ref,) = await children_of(group)
        with pytest.raises(ValueError, match="told to"):
            await ref.request("crash")
        await children_of(group)
        assert group.incarnation == 1


async def test_supervisors_nest() -> None:
    """An inner group that gives up is one child's failure for the outer one."""
    log: list[str] = []
    inner = child(Supervisor, members(log, 1), strategy="one_for_all", intensity=0)
    async with Runtime() as rt:
        outer = await rt.asupervise("outer", [inner.options(name="inner")])
        (group,) = await children_of(outer)
        (ref,) = await children_of(group)
        with pytest.raises(ValueError, match="told to"):
            await ref.request("crash")
        (again,) = await children_of(group)
        assert await again.request("life") == 0
        assert group.incarnation == 1
        assert outer.incarnation == 0


async def test_a_permanent_child_that_stops_itself_starts_again() -> None:
    """A transient one does not."""
    async with Runtime() as rt:
        specs = [*members([], 1), child(Member, "t", []).options(name="t", restart="transient")]
        permanent, transient = await children_of(await rt.asupervise("group", specs))
        await permanent.request("stop")
        assert await permanent.request("life") == 1
        await transient.request("stop")
        await transient.ajoin()
        assert not transient.is_alive()


async def test_a_child_that_cannot_start_fails_the_spawner() -> None:
    """And nothing of the group is left."""

    class Never(Actor):
        async def on_start(self) -> None:
            raise OSError("no such port")

        async def on_receive(self, message: object) -> None:
            """Nothing."""

    log: list[str] = []
    async with Runtime() as rt:
        with pytest.raises(OSError, match="no such port"):
            await rt.asupervise("group", [*members(log, 1), Never])
        assert "group" not in str(rt.tree())


def test_mistakes_are_named() -> None:
    """Strategies, names and intensities that are none."""
    with Runtime() as rt:
        with pytest.raises(ConfigError, match="one_for_some"):
            rt.supervise("a", [], strategy="one_for_some")  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match="m0"):
            rt.supervise("b", [*members([], 1), *members([], 1)])
        with pytest.raises(ConfigError, match="intensity"):
            rt.supervise("c", [], intensity=-1)
