"""State machines of mailbox and ledger: see `machines`."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any, Literal

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule
from tests.testing.machines import SECONDS, SETTINGS, CrashedError, ExpectedError, Note, Program

from understudy import Actor, MailboxOptions, Ref, Reply, child
from understudy.actors.kernel.deferred import Deferred
from understudy.actors.kernel.ref import INFINITE


class Box(Actor):
    """Does what its messages say, and notes it."""

    expects = (ExpectedError,)

    def __init__(self, machine: "Mailboxes") -> None:
        self.machine = machine

    async def on_receive(self, message: Note) -> int | None:
        if message.act == "stash" and message.number not in self.machine.stashed:
            self.machine.stashed.add(message.number)
            self.stash()
            return None
        self.machine.begun.append(message.number)
        if message.act == "defer":
            self.machine.owed.append(self.defer())
        elif message.act == "unstash":
            self.unstash()
        elif message.act == "timer":
            self.timer(Note(-1 - message.number, "ok", 0.0), after=message.seconds)
        if message.seconds:
            await asyncio.sleep(message.seconds)
        if message.act == "fail":
            raise ExpectedError(message.number)
        if message.act == "crash":
            raise CrashedError(message.number)
        return message.number


class Mailboxes(Program):
    """One actor: order, bounds, overflow; nothing twice, nothing that was refused."""

    CAPACITY = 3
    acts: tuple[str, ...] = ("ok", "ok", "ok", "fail")

    def __init__(self) -> None:
        super().__init__()
        self.begun: list[int] = []
        self.stashed: set[int] = set()
        self.owed: list[Deferred] = []
        self.told: dict[int, bool] = {}
        self.replies: dict[int, Reply[Any]] = {}
        self.policy: Literal["reject", "drop_oldest", "drop_newest", "wait"] = "reject"
        self.disturbed = False
        self.count = 0
        self.ref: Ref[Any]

    @initialize(policy=st.sampled_from(("reject", "drop_oldest", "drop_newest", "wait")))
    def choose(self, policy: Literal["reject", "drop_oldest", "drop_newest", "wait"]) -> None:
        self.policy = policy

    @rule(act=st.integers(0, 9), ask=st.booleans(), seconds=SECONDS, timely=st.booleans())
    def send(self, act: int, ask: bool, seconds: float, timely: bool) -> None:
        self.count += 1
        note = Note(self.count, self.acts[act % len(self.acts)], seconds)

        def step() -> None:
            if not ask:
                self.told[note.number] = self.ref.tell(note)
                return
            reply = self.ref.request(note, timeout=0.5 if timely else INFINITE)
            self.replies[note.number] = reply
            self.asked.append(reply)

        self.steps.append(step)

    async def begin(self) -> None:
        options = MailboxOptions(capacity=self.CAPACITY, overflow=self.policy)
        self.ref = await self.rt.aspawn(child(Box, self), name="box", mailbox=options)

    def check(self) -> None:
        if self.policy != "wait" and not self.stashed:
            assert self.ref.stats.depth <= self.CAPACITY, self.ref.stats

    def over(self) -> None:
        begun = Counter(self.begun)
        assert max(begun.values(), default=0) <= 1, f"handled twice: {begun}"
        for number, accepted in self.told.items():
            assert accepted or number not in begun, f"{number} was refused and handled"
        for number, reply in self.replies.items():
            outcome = reply.outcome()
            if outcome.error is None and outcome.value not in ("owed", None):
                assert outcome.value == number, f"{number} has somebody else's answer: {outcome}"
                assert number in begun, f"{number} was answered and not handled"
        if self.policy != "wait" and not self.stashed:
            mine = [number for number in self.begun if number > 0]
            assert mine == sorted(mine), f"out of order: {mine}"
        if self.policy == "reject" and not self.disturbed:
            lost = [n for n, accepted in self.told.items() if accepted and n not in begun]
            assert not lost, f"accepted and lost: {lost}"

    async def end(self) -> None:
        if not self.disturbed:
            await self.ref.stop()


class Ledgers(Mailboxes):
    """One actor with everything that a message can come to: its account balances all the time."""

    acts = ("ok", "fail", "crash", "defer", "stash", "unstash", "timer")

    @rule(which=st.integers(0, 9), fail=st.booleans())
    def answer(self, which: int, fail: bool) -> None:
        def step() -> None:
            if self.owed:
                deferred = self.owed[which % len(self.owed)]
                deferred.set_exception(ExpectedError()) if fail else deferred.set("owed")

        self.steps.append(step)

    @rule(how=st.sampled_from(("restart", "restart", "stop", "now", "kill")))
    def meddle(self, how: str) -> None:
        self.disturbed = True

        def step() -> None:
            ends: dict[str, Callable[[], Any]]  # Any: a Reply
            ends = {"restart": self.ref.restart, "kill": self.ref.kill, "stop": self.ref.stop}
            ends[how]() if how in ends else self.ref.stop(drain=False)

        self.steps.append(step)

    def check(self) -> None:
        super().check()
        assert self.ref.ledger.balanced, self.ref.ledger

    async def end(self) -> None:
        await asyncio.sleep(100.0)  # what is owed to the end is answered by the shutdown

    def over(self) -> None:
        self.disturbed = True  # what a crash or a stash has lost is on the account
        super().over()
        ledger = self.ref.ledger
        assert not ledger.queued + ledger.stashed + ledger.running, ledger
        timers = sum(number < 0 for number in self.begun)
        sent = sum(self.told.values()) + len(self.replies)
        assert ledger.accepted <= sent + timers + len(self.begun), ledger


Mailboxes.TestCase.settings = SETTINGS
Ledgers.TestCase.settings = SETTINGS

TestMailboxes = Mailboxes.TestCase
TestLedgers = Ledgers.TestCase
