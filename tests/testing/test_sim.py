"""`SimRuntime` as users see it: what a seed promises, and what a failure says."""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from understudy.actors.kernel.actor import Actor
from understudy.actors.kernel.options import MailboxOptions, child
from understudy.actors.kernel.ref import INFINITE, Ref
from understudy.messages.errors import (
    ActorRestartedError,
    ConfigError,
    DeadlineExceededError,
    MailboxFullError,
)
from understudy.messages.events import ActorRestarted
from understudy.runtime.runtime import Runtime
from understudy.testing import (
    Fault,
    Faults,
    SimRuntime,
    SimulatedCrashError,
    SimulationDeadlockError,
    SimulationError,
)


class Sleeper(Actor):
    """Answers after as many seconds as it is told."""

    async def on_receive(self, message: float) -> float:
        await asyncio.sleep(message)
        return message


class Counter(Actor):
    """Counts what it is told, without a thought for who else does."""

    blocking = False

    def __init__(self) -> None:
        self.seen: list[int] = []

    def on_receive(self, message: int) -> tuple[int, ...]:
        self.seen.append(message)
        return tuple(self.seen)


class Caller(Actor):
    """A blocking actor that asks another one."""

    def __init__(self, other: Ref[Any]) -> None:
        self.other = other

    def on_receive(self, message: float) -> float:
        answer: float = self.other.ask(message)
        return answer + 1


def test_hours_pass_in_no_time_and_exactly() -> None:
    """Virtual time jumps: an hour of a handler is an hour on the clock, and no time at all."""

    async def main(rt: Runtime) -> float:
        ref = await rt.aspawn(Sleeper)
        begin = rt.system.now()
        await ref.request(3600.0, timeout=INFINITE)
        return rt.system.now() - begin

    sim = SimRuntime(1)
    assert sim.run(main) == 3600.0
    assert sim.time >= 3600.0


def test_deadlines_are_virtual_too() -> None:
    """An ask that would be answered too late is answered at its deadline, 10 ms late at most."""

    async def main(rt: Runtime) -> float:
        ref = await rt.aspawn(Sleeper)
        begin = rt.system.now()
        with pytest.raises(DeadlineExceededError):
            await ref.request(100.0, timeout=5.0)
        return rt.system.now() - begin

    assert 5.0 <= SimRuntime(2).run(main) <= 5.011


async def _busy(rt: Runtime) -> list[Any]:
    """Enough actors and waits for scheduling to matter; in a bulkhead of threads too."""
    sleepers = [await rt.aspawn(Sleeper, name=f"sleeper-{index}") for index in range(3)]
    callers = [
        await rt.aspawn(child(Caller, ref), name=f"caller-{ref.path[-1]}") for ref in sleepers
    ]
    counter = await rt.aspawn(Counter, name="counter")
    for number in range(20):
        counter.tell(number)
    replies = [callers[number % 3].request(number % 4 / 10) for number in range(12)]
    async with asyncio.TaskGroup() as group:
        for reply in replies:
            group.create_task(_waiting(reply))
    return [await counter.request(99), [await reply for reply in replies]]


async def _waiting(reply: Any) -> Any:
    return await reply


def test_a_seed_replays_exactly() -> None:
    """The same seed does the same, again and again; other seeds do other things."""
    digests = []
    for seed in (5, 5, 6, 7, 8):
        sim = SimRuntime(seed, faults=Faults(slow=Fault("*", chance=0.3, seconds=(0.1, 0.5))))
        sim.run(_busy)
        digests.append(sim.trace_digest)
    assert digests[0] == digests[1]
    assert len(set(digests)) == 4


_PROGRAM = """
import asyncio, sys
sys.path.insert(0, {folder!r})
from test_sim import _busy, Fault, Faults, SimRuntime
for seed in range(4):
    sim = SimRuntime(seed, faults=Faults(slow=Fault("*", chance=0.3, seconds=(0.1, 0.5))))
    sim.run(_busy)
    print(sim.trace_digest, sim.handled, sim.time)
"""


@pytest.mark.parametrize("debug", ["", "1"])
def test_a_seed_replays_in_every_process(debug: str) -> None:
    """Neither the hash seed nor addresses nor asyncio's debug mode change what a seed does."""
    said = set()
    for hash_seed in ("1", "2"):
        environ = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONASYNCIODEBUG": debug}
        program = _PROGRAM.format(folder=str(Path(__file__).parent))
        done = subprocess.run(
            [sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=True
        )
        said.add(done.stdout)
    assert len(said) == 1
    assert len(said.pop().splitlines()) == 4


class Account(Actor):
    """Keeps a balance."""

    blocking = False
    balance = 0

    def on_receive(self, message: int | None) -> int:
        self.balance = self.balance if message is None else message
        return self.balance


class Teller(Actor):
    """Has the classic race: what it has asked for is old when it is written."""

    def __init__(self, account: Ref[Any]) -> None:
        self.account = account

    async def on_receive(self, message: int) -> None:
        balance = await self.account.request(None)
        await self.account.request(balance + message)


def _race(seed: int) -> int:
    async def main(rt: Runtime) -> int:
        account = await rt.aspawn(Account)
        tellers = [await rt.aspawn(child(Teller, account)) for _ in range(2)]
        for reply in [teller.request(1) for teller in tellers]:
            await reply
        balance: int = await account.request(None)
        return balance

    return SimRuntime(seed).run(main)


def test_a_planted_race_is_found() -> None:
    """Two actors that share a variable lose an update with some seeds, and not with others."""
    results = {_race(seed) for seed in range(40)}
    assert results == {1, 2}


def test_a_failure_carries_its_seed() -> None:
    """Whatever `main` raises has a note with the seed and the faults, as code."""
    faults = Faults(crash=Fault("/user/x", nth=2))

    async def main(rt: Runtime) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        SimRuntime(42, faults=faults).run(main)
    (note,) = caught.value.__notes__
    assert "seed=42; replay with SimRuntime(42, faults=Faults(crash=Fault(" in note
    assert eval(note[note.index("faults=") + 7 : note.index(") (at")]) == faults


def test_a_deadlock_says_who_waits() -> None:
    """When nothing can happen any more it raises instead of hanging, and names who waits."""

    async def main(rt: Runtime) -> None:
        await rt.aspawn(Sleeper, name="idle")
        await asyncio.Event().wait()

    with pytest.raises(SimulationDeadlockError, match=r"nothing is left.*main \(.*test_sim.py"):
        SimRuntime(3).run(main)


def test_a_deadlock_of_actors_names_them() -> None:
    """A handler that waits for what never comes is named with its message."""

    class Stuck(Actor):
        async def on_receive(self, message: str) -> None:
            await asyncio.Event().wait()

    async def main(rt: Runtime) -> None:
        ref = await rt.aspawn(Stuck, name="stuck")
        await ref.request("hello", timeout=INFINITE)

    with pytest.raises(SimulationDeadlockError, match=r"/user/stuck \(running: in str\)"):
        SimRuntime(3).run(main)


def test_what_never_ends_is_said_to() -> None:
    """A timer that goes on for ever while somebody waits ends at the limit of virtual time."""

    class Ticker(Actor):
        async def on_start(self) -> None:
            self.timer("tick", every=1.0)

        async def on_receive(self, message: str) -> None:
            pass

    async def main(rt: Runtime) -> None:
        await rt.aspawn(Ticker)
        await asyncio.Event().wait()

    with pytest.raises(SimulationError, match="not at an end after 100 s"):
        SimRuntime(4, limit=100.0).run(main)


def test_time_that_stands_still_is_noticed() -> None:
    """A task that turns the loop for ever without waiting for anything is an error, not a hang."""

    async def main(rt: Runtime) -> None:
        while True:  # noqa: ASYNC110 - that is the mistake
            await asyncio.sleep(0)

    with pytest.raises(SimulationError, match="time stands still"):
        SimRuntime(4).run(main)


def test_tasks_that_are_left_are_named() -> None:
    """What `main` started and forgot is an error that says where it waits."""

    async def main(rt: Runtime) -> None:
        left.append(asyncio.create_task(_forgotten()))
        await asyncio.sleep(0)

    left: list[asyncio.Task[None]] = []
    with pytest.raises(SimulationError, match=r"a task was left: _forgotten \(.*test_sim.py"):
        SimRuntime(4).run(main)
    assert left[0].cancelled()


async def _forgotten() -> None:
    await asyncio.sleep(1e6)


@pytest.mark.parametrize(
    ("reach", "named"),
    [
        (lambda: asyncio.open_connection("127.0.0.1", 1), "create_connection"),
        (lambda: asyncio.to_thread(print), "run_in_executor"),
        (lambda: asyncio.create_subprocess_exec("true"), "subprocess_exec"),
        (lambda: asyncio.get_running_loop().getaddrinfo("x", 1), "getaddrinfo"),
    ],
)
def test_the_world_outside_is_refused(reach: Callable[[], Any], named: str) -> None:
    """Sockets, executors, subprocesses and names raise and say what to hand in instead."""

    async def main(rt: Runtime) -> None:
        await reach()

    with pytest.raises(SimulationError, match=rf"loop\.{named}\(\).*FakeModel"):
        SimRuntime(5).run(main)


def test_foreign_threads_are_refused() -> None:
    """A thread of one's own that tells an actor gets an error, and so does the simulation."""
    errors: list[BaseException] = []

    async def main(rt: Runtime) -> None:
        ref = await rt.aspawn(Counter)

        def reach() -> None:
            try:
                ref.request(1)
            except SimulationError as error:
                errors.append(error)

        thread = threading.Thread(target=reach, name="intruder")
        thread.start()
        thread.join()

    with pytest.raises(SimulationError, match="thread 'intruder' reached into"):
        SimRuntime(6).run(main)
    assert "use a blocking actor" in str(errors[0])


def test_blocking_asks_work_in_virtual_time() -> None:
    """A handler on a thread blocks in `ask`, virtual time passes, and no thread is left."""
    before = threading.active_count()

    async def main(rt: Runtime) -> float:
        sleeper = await rt.aspawn(Sleeper)
        caller = await rt.aspawn(child(Caller, sleeper))
        begin = rt.system.now()
        assert await caller.request(20.0) == 21.0
        return rt.system.now() - begin

    assert SimRuntime(7).run(main) == 20.0
    assert threading.active_count() == before


def test_a_blocking_ask_has_its_deadline() -> None:
    """`ask(timeout=)` on a thread ends in virtual time, with the error of production."""

    class Impatient(Actor):
        def __init__(self, other: Ref[Any]) -> None:
            self.other = other

        def on_receive(self, message: float) -> str:
            try:
                self.other.ask(message, timeout=1.0)
            except DeadlineExceededError:
                return "late"
            return "in time"

    async def main(rt: Runtime) -> list[str]:
        ref = await rt.aspawn(child(Impatient, await rt.aspawn(Sleeper)))
        return [await ref.request(0.5), await ref.request(5.0)]

    assert SimRuntime(8).run(main) == ["in time", "late"]


def test_crashes_hit_the_message_they_name() -> None:
    """`crash` on the third message: it fails, the actor begins a new life, the rest goes on."""
    faults = Faults(crash=Fault("/user/box", nth=3))
    restarts: list[ActorRestarted] = []

    async def main(rt: Runtime) -> list[Any]:
        rt.events.subscribe(ActorRestarted, restarts.append)
        ref = await rt.aspawn(Counter, name="box")
        replies = [ref.request(number) for number in range(5)]
        return [await _outcome(reply) for reply in replies]

    answers = SimRuntime(9, faults=faults).run(main)
    assert answers[:2] == [(0,), (0, 1)]
    assert isinstance(answers[2], SimulatedCrashError)
    assert answers[3:] == [(3,), (3, 4)]
    assert [event.path for event in restarts] == ["/user/box"]


async def _outcome(reply: Any) -> Any:
    try:
        return await reply
    except Exception as error:  # noqa: BLE001 - it is looked at
        return error


@pytest.mark.parametrize("kind", [Sleeper, Counter])
def test_slow_handlers_take_virtual_time(kind: type[Actor]) -> None:
    """`slow` delays async handlers while others run, and keeps the loop busy for sync ones."""
    faults = Faults(slow=Fault("/user/box", nth=1, seconds=12.0))

    async def main(rt: Runtime) -> float:
        ref = await rt.aspawn(kind, name="box")
        begin = rt.system.now()
        await ref.request(0 if kind is Counter else 0.0)
        return rt.system.now() - begin

    assert SimRuntime(10, faults=faults).run(main) == 12.0


def test_a_dropped_reply_costs_the_deadline() -> None:
    """`drop_reply`: the work is done and counted, and who asked gets its deadline."""
    faults = Faults(drop_reply=Fault("/user/box", nth=1))

    async def main(rt: Runtime) -> tuple[int, ...]:
        ref = await rt.aspawn(Counter, name="box")
        with pytest.raises(DeadlineExceededError):
            await ref.request(1, timeout=3.0)
        seen: tuple[int, ...] = await ref.request(2)
        return seen

    assert SimRuntime(11, faults=faults).run(main) == (1, 2)


def test_a_full_mailbox_refuses() -> None:
    """`full_mailbox`: the message is refused as production refuses it, and counted so."""
    faults = Faults(full_mailbox=Fault("/user/box", nth=(1, 2)))

    async def main(rt: Runtime) -> int:
        ref = await rt.aspawn(Counter, name="box")
        assert ref.tell(1) is False
        with pytest.raises(MailboxFullError):
            await ref.request(2)
        assert await ref.request(3) == (3,)
        return ref.ledger.refused

    assert SimRuntime(12, faults=faults).run(main) == 2


def test_waiting_mailboxes_are_never_full() -> None:
    """A mailbox with overflow `wait` refuses nobody who asks, so a fault does not either."""
    faults = Faults(full_mailbox=Fault("/user/box", chance=1.0))

    async def main(rt: Runtime) -> Any:
        options = MailboxOptions(overflow="wait")
        return await (await rt.aspawn(Counter, name="box", mailbox=options)).request(1)

    assert SimRuntime(13, faults=faults).run(main) == (1,)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Fault("/x"), "hits nothing"),
        (lambda: Fault("/x", nth=0), "the first message is 1"),
        (lambda: Fault("/x", chance=2.0), "from 0 to 1"),
        (lambda: Faults(slow=Fault("/x", nth=1)), "seconds= belongs to slow="),
        (lambda: Faults(crash=Fault("/x", nth=1, seconds=1.0)), "seconds= belongs to slow="),
        (lambda: Fault("/x", nth=1, seconds=(2.0, 1.0)), "the lesser one first"),
    ],
)
def test_plans_that_mean_nothing_are_refused(make: Callable[[], object], said: str) -> None:
    """A fault that can hit nothing, or carries what it does not use, is a mistake."""
    with pytest.raises(ConfigError, match=said):
        make()


def test_answers_of_an_earlier_life_do_not_reach_the_next() -> None:
    """What a life asked for in the background is not handed to the one after it."""

    class Worker(Actor):
        def __init__(self) -> None:
            self.got: list[Any] = []

        async def on_receive(self, message: Any) -> Any:
            if message == "begin":
                self.background(asyncio.sleep(0.5, "old"), then=lambda outcome: outcome.value)
                self.defer()
            if message == "wait":
                await asyncio.sleep(1.0)
            elif message == "look":
                return self.got
            else:
                self.got.append(message)
            return None

    async def main(rt: Runtime) -> list[Any]:
        ref = await rt.aspawn(Worker)
        begun = ref.request("begin", timeout=INFINITE)
        await asyncio.sleep(0)
        ref.tell("wait")
        await asyncio.sleep(0.1)
        restarted = ref.restart()  # when the handler has ended; the answer has come by then
        await restarted
        with pytest.raises(ActorRestartedError):
            await begun
        got: list[Any] = await ref.request("look")
        return got

    for seed in range(20):
        assert SimRuntime(seed).run(main) == []


def test_each_run_starts_from_the_seed() -> None:
    """A SimRuntime may run again, and what it says afterwards is about the last run."""
    sim = SimRuntime(20)
    sim.run(_busy)
    digest, handled = sim.trace_digest, sim.handled
    sim.run(_busy)
    assert (sim.trace_digest, sim.handled) == (digest, handled)
    assert sim.report.ledger.balanced


def test_nothing_was_simulated_yet() -> None:
    """Before the first run there is no trace, and it says so."""
    with pytest.raises(SimulationError, match="call run"):
        _ = SimRuntime(1).trace_digest
