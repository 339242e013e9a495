"""State machines of mailbox, ledger, supervisor and pool, each run of them in one simulation.

A simulation owns the thread while it runs, so hypothesis does not step it: the rules of a machine
write a program, and when that is written a `SimRuntime` with a drawn seed runs it, checking after
each of its steps. A failing program is shrunk like any other and says its seed.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Literal

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from understudy import Actor, MailboxOptions, Ref, Reply, Runtime, child
from understudy.actors.kernel.deferred import Deferred
from understudy.actors.kernel.ref import INFINITE
from understudy.messages.control import ActorState
from understudy.runtime.pool.handle import PoolHandle
from understudy.runtime.supervisor import WhichChildren
from understudy.testing import SimRuntime

Step = Callable[[], Awaitable[Any] | None]
SECONDS = st.sampled_from((0.0, 0.0, 0.1, 1.0, 40.0))


class ExpectedError(Exception):
    """An answer that is an error."""


class CrashedError(Exception):
    """A failure."""


class Program(RuleBasedStateMachine):
    """What the machines share: a program and its run; who asked is answered, whatever happened."""

    def __init__(self) -> None:
        super().__init__()
        self.seed = 0
        self.cancelled = False
        self.steps: list[Step] = []
        self.asked: list[Reply[Any]] = []
        self.rt: Runtime

    @initialize(seed=st.integers(0, 10_000))
    def draw(self, seed: int) -> None:
        self.seed = seed

    @rule(seconds=SECONDS)
    def wait(self, seconds: float) -> None:
        self.steps.append(lambda: asyncio.sleep(seconds))

    @rule(which=st.integers(0, 9))
    def cancel(self, which: int) -> None:
        self.cancelled = True

        def step() -> None:
            if self.asked:
                self.asked[which % len(self.asked)].cancel()

        self.steps.append(step)

    def teardown(self) -> None:
        if self.steps:
            SimRuntime(self.seed, shutdown=1000.0).run(self.main)
            assert all(reply.done for reply in self.asked), "an ask was not answered"
            self.over()

    async def main(self, rt: Runtime) -> None:
        self.rt = rt
        await self.begin()
        for step in self.steps:
            waited = step()
            if waited is not None:
                await waited
            assert rt.ledger.balanced, rt.ledger
            self.check()
        await self.end()

    async def begin(self) -> None:
        """Make the actors."""

    def check(self) -> None:
        """What holds after each step."""

    async def end(self) -> None:
        """What is done behind the last step."""

    def over(self) -> None:
        """What holds when all is over."""


class Note(msgspec.Struct, frozen=True):
    """A numbered message, and what the handler does with it."""

    number: int
    act: str
    seconds: float


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


class Job(msgspec.Struct, frozen=True):
    """What each attempt comes to (the last one again), after how many seconds."""

    number: int
    outcomes: tuple[str, ...]
    seconds: float


class Worker(Actor):
    """Does what the job says of its attempt."""

    expects = (ExpectedError,)

    def __init__(self, begun: Counter[int]) -> None:
        self.begun = begun

    async def on_receive(self, message: Job) -> int:
        attempt = self.begun[message.number]
        self.begun[message.number] += 1
        if message.seconds:
            await asyncio.sleep(message.seconds)
        outcome = message.outcomes[min(attempt, len(message.outcomes) - 1)]
        if outcome == "fail":
            raise ExpectedError(message.number)
        if outcome == "crash":
            raise CrashedError(message.number)
        return message.number * 2


OUTCOMES = st.sampled_from((("ok",), ("ok",), ("fail", "ok"), ("crash", "ok"), ("fail",)))


class Pools(Program):
    """A pool: no job lost, none done more often than its retries allow, bounds kept."""

    LARGEST = 4

    def __init__(self) -> None:
        super().__init__()
        self.begun: Counter[int] = Counter()
        self.jobs: list[Job] = []
        self.retries = 0
        self.rough = False
        self.pool: PoolHandle

    @initialize(retries=st.integers(0, 2))
    def choose(self, retries: int) -> None:
        self.retries = retries

    @rule(outcomes=OUTCOMES, seconds=SECONDS)
    def submit(self, outcomes: tuple[str, ...], seconds: float) -> None:
        job = Job(len(self.jobs), outcomes, seconds)
        self.jobs.append(job)
        self.steps.append(lambda: self.asked.append(self.pool.submit(job, timeout=INFINITE)))

    @rule(least=st.integers(0, 2), more=st.integers(1, 2))
    def resize(self, least: int, more: int) -> None:
        self.steps.append(lambda: self.pool.aresize((least, least + more)))

    @rule(which=st.integers(0, 9), how=st.sampled_from(("stop", "replace", "kill", "restart")))
    def lose(self, which: int, how: str) -> None:
        self.rough = self.rough or how in ("kill", "restart")

        def step() -> None:
            workers = self.pool.workers
            if not workers:
                return
            ref = workers[which % len(workers)]
            if how == "replace":
                self.pool.replace(which % len(workers))
            else:
                ends: dict[str, Callable[[], Any]]  # Any: a Reply
                ends = {"stop": ref.stop, "kill": ref.kill, "restart": ref.restart}
                ends[how]()

        self.steps.append(step)

    @rule(paused=st.booleans())
    def pause(self, paused: bool) -> None:
        self.steps.append(lambda: self.pool.pause() if paused else self.pool.resume())

    async def begin(self) -> None:
        worker = child(Worker, self.begun)
        self.pool = await self.rt.apool("pool", worker, size=(1, 3), retries=self.retries)

    def check(self) -> None:
        assert 0 <= self.pool.stats.workers <= self.LARGEST, self.pool.stats

    async def end(self) -> None:
        self.pool.resume()
        await self.pool.adrain()

    def over(self) -> None:
        assert len(self.asked) == len(self.jobs)
        for job, reply in zip(self.jobs, self.asked, strict=True):
            outcome, begun = reply.outcome(), self.begun[job.number]
            said = f"{job}: {outcome}, begun {begun} times, retries {self.retries}"
            assert begun <= self.retries + 1, f"too often: {said}"
            if outcome.error is None:
                assert outcome.value == job.number * 2, f"somebody else's answer: {said}"
                assert begun >= 1, f"answered and never done: {said}"
            if not self.rough and not self.cancelled:
                last = job.outcomes[min(self.retries, len(job.outcomes) - 1)]
                kinds = {"ok": type(None), "fail": ExpectedError, "crash": CrashedError}
                assert isinstance(outcome.error, kinds[last]), f"{last} was due: {said}"


_SETTINGS = settings(
    max_examples=40,
    stateful_step_count=20,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
for _machine in (Mailboxes, Ledgers, Supervisors, Pools):
    _machine.TestCase.settings = _SETTINGS

TestMailboxes = Mailboxes.TestCase
TestLedgers = Ledgers.TestCase
TestSupervisors = Supervisors.TestCase
TestPools = Pools.TestCase
