"""The state machine of a supervisor: see `machines`."""

import asyncio
from collections.abc import Callable
from typing import Any, Literal

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule
from tests.testing.machines import SECONDS, SETTINGS, CrashedError, Note, Program

from understudy import Actor, Ref, child
from understudy.messages.control import ActorState
from understudy.runtime.supervisor import WhichChildren


class Member(Actor):
    """A child of a group: answers with its life, or crashes."""

    def __init__(self, starts: list[int], index: int) -> None:
        self.starts, self.index = starts, index

    async def on_start(self) -> None:
        self.starts.append(self.index)

    async def on_receive(self, message: Note) -> int:
        if message.seconds:
            await asyncio.sleep(message.seconds)
        if message.act == "crash":
            raise CrashedError(self.index)
        return message.number


class Supervisors(Program):
    """A group: at rest each child runs, is parked with the group alive, or ended with a reason."""

    def __init__(self) -> None:
        super().__init__()
        self.strategy: Literal["one_for_one", "one_for_all", "rest_for_one"] = "one_for_one"
        self.intensity = 5
        self.starts: list[int] = []
        self.crashes = self.ends = 0
        self.group: Ref[Any]
        self.members: tuple[Ref[Any], ...]

    @initialize(
        strategy=st.sampled_from(("one_for_one", "one_for_all", "rest_for_one")),
        intensity=st.sampled_from((0, 1, 100)),
    )
    def choose(
        self, strategy: Literal["one_for_one", "one_for_all", "rest_for_one"], intensity: int
    ) -> None:
        self.strategy, self.intensity = strategy, intensity

    @rule(which=st.integers(0, 2), crash=st.booleans(), seconds=SECONDS)
    def ask(self, which: int, crash: bool, seconds: float) -> None:
        self.crashes += crash
        note = Note(len(self.steps), "crash" if crash else "ok", seconds)
        self.steps.append(
            lambda: self.asked.append(self.members[which].request(note, timeout=100.0))
        )

    @rule(which=st.integers(0, 2), how=st.sampled_from(("restart", "stop", "kill")))
    def meddle(self, which: int, how: str) -> None:
        self.ends += 1

        def step() -> None:
            ref = self.members[which]
            ends: dict[str, Callable[[], Any]]  # Any: a Reply
            ends = {"restart": ref.restart, "stop": ref.stop, "kill": ref.kill}
            ends[how]()

        self.steps.append(step)

    async def begin(self) -> None:
        members = [
            child(Member, self.starts, index).options(name=f"m{index}") for index in (0, 1, 2)
        ]
        self.group = await self.rt.asupervise(
            "group", members, strategy=self.strategy, intensity=self.intensity
        )
        self.members = await self.group.request(WhichChildren())
        assert self.starts == [0, 1, 2], "not started left to right"

    async def end(self) -> None:
        await asyncio.sleep(1000.0)
        for ref in self.members:
            said = f"{ref.path} is {ref.state}, its group {self.group.state}\n{self.rt.tree()}"
            if ref.state == ActorState.RUNNING:
                assert await ref.request(Note(7, "ok", 0.0)) == 7, said
            elif ref.state == ActorState.PARKED:
                assert self.strategy == "one_for_one", said
                assert self.group.is_alive(), said
            else:
                assert ref.state == ActorState.STOPPED, said
            if not self.ends and self.intensity == 100:
                assert ref.state == ActorState.RUNNING, said
        if not self.crashes + self.ends:
            assert self.starts == [0, 1, 2], "started again without a reason"


Supervisors.TestCase.settings = SETTINGS

TestSupervisors = Supervisors.TestCase
