"""One actor and many senders: order, bounds, overflow, stash, cancels, deadlines, the end.

Each seed has another bound, policy and kind of actor. What was sent and what was handled are
written down on both sides and compared with each other and with the actor's own account.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any, Literal

import msgspec

from understudy.actors.kernel.actor import Actor
from understudy.actors.kernel.options import MailboxOptions, child
from understudy.actors.kernel.ref import INFINITE, Ref
from understudy.actors.kernel.reply import Reply
from understudy.messages.errors import UnhandledMessageError
from understudy.runtime.runtime import Runtime
from understudy.testing.sim import SimRuntime


class Note(msgspec.Struct, frozen=True):
    """The `number`-th message of one sender, and what the handler does with it."""

    sender: int
    number: int
    act: Literal["ok", "fail", "unhandled", "crash", "stash"] = "ok"
    seconds: float = 0.0


class ExpectedError(Exception):
    """An answer that is an error."""


class CrashedError(Exception):
    """A failure."""


class Log:
    """What the actor saw."""

    def __init__(self) -> None:
        self.begun: list[tuple[int, int]] = []
        self.stashed: set[tuple[int, int]] = set()

    def act(self, actor: Actor, note: Note) -> int:
        """Do what the message says."""
        key = (note.sender, note.number)
        if note.act == "stash" and key not in self.stashed:
            self.stashed.add(key)
            actor.stash()
            return -1
        self.begun.append(key)
        if note.act == "fail":
            raise ExpectedError(key)
        if note.act == "unhandled":
            raise UnhandledMessageError(str(key))
        if note.act == "crash":
            raise CrashedError(key)
        if self.stashed:
            actor.unstash()
        return note.number


class Inline(Actor):
    """On the loop, at once."""

    blocking = False
    expects = (ExpectedError,)

    def __init__(self, log: Log) -> None:
        self.log = log

    def on_receive(self, message: Note) -> int:
        """Act."""
        return self.log.act(self, message)


class Async(Inline):
    """On the loop, and it suspends."""

    async def on_receive(self, message: Note) -> int:  # type: ignore[override] # the async twin
        """Act, after a while."""
        if message.seconds:
            await asyncio.sleep(message.seconds)
        return self.log.act(self, message)


class Threaded(Inline):
    """On a thread."""

    blocking = True

    def on_receive(self, message: Note) -> int:
        """Act."""
        return self.log.act(self, message)


class Weather(msgspec.Struct, frozen=True, kw_only=True):
    """What one seed is about."""

    kind: type[Actor]
    capacity: int
    overflow: Literal["reject", "drop_oldest", "drop_newest", "wait"]
    acts: tuple[Literal["ok", "fail", "unhandled", "crash", "stash"], ...]
    senders: int
    each: int
    wild: bool
    end: Literal["stop", "now", "kill", "leave"]


def weather(seed: int) -> Weather:
    """The weather of `seed`."""
    rng = random.Random(f"mailbox/{seed}")
    wild = rng.random() < 0.5
    acts: list[Any] = ["ok"] * 6  # Any: the literals of Note.act
    acts += [act for act in ("fail", "unhandled", "stash") if rng.random() < 0.5]
    return Weather(
        kind=rng.choices((Inline, Async, Threaded), (8, 8, 1))[0],
        capacity=rng.choice((1, 3, 10, 1024)),
        overflow=rng.choice(("reject", "drop_oldest", "drop_newest", "wait")),
        acts=(*acts, "crash") if wild and rng.random() < 0.4 else tuple(acts),
        senders=rng.randint(1, 4),
        each=rng.randint(1, 15),
        wild=wild,
        end=rng.choice(("stop", "now", "kill", "leave")),
    )


def simulate(seed: int) -> SimRuntime:
    """One seed, from start to shutdown.

    Raises:
        AssertionError: something did not hold.
        SimulationError: something was left behind, or nothing could go on.
    """
    plan = weather(seed)
    sim = SimRuntime(seed, shutdown=1000.0)
    log, books = Log(), Books()

    async def main(rt: Runtime) -> None:
        options = MailboxOptions(capacity=plan.capacity, overflow=plan.overflow)
        ref = await rt.aspawn(child(plan.kind, log), name="box", mailbox=options)
        async with asyncio.TaskGroup() as group:
            for sender in range(plan.senders):
                rng = random.Random(f"sender/{seed}/{sender}")
                group.create_task(_send(plan, rng, ref, sender, books))
            if plan.wild:
                group.create_task(_meddle(random.Random(f"chaos/{seed}"), rt, ref, books))
        if plan.end == "stop":
            await ref.stop()
        elif plan.end == "now":
            await ref.stop(drain=False)
        elif plan.end == "kill":
            await ref.kill()
        books.account = ref.ledger if plan.end != "leave" else None

    sim.run(main)
    _check(plan, log, books)
    return sim


class Books:
    """What the senders saw."""

    def __init__(self) -> None:
        self.told: dict[tuple[int, int], bool] = {}
        self.asked: dict[tuple[int, int], Reply[Any]] = {}
        self.account: Any = None  # Any: a Ledger, or nothing


async def _send(
    plan: Weather, rng: random.Random, ref: Ref[Any], sender: int, books: Books
) -> None:
    for number in range(plan.each):
        seconds = rng.choice((0.0, 0.0, 0.1, 2.0))
        note = Note(sender, number, rng.choice(plan.acts), seconds)
        if rng.random() < 0.5:
            books.told[sender, number] = ref.tell(note)
        else:
            timeout = 1.0 if plan.wild and rng.random() < 0.3 else INFINITE
            books.asked[sender, number] = ref.request(note, timeout=timeout)
        if rng.random() < 0.5:
            await asyncio.sleep(rng.choice((0.0, 0.05, 3.0)))


async def _meddle(rng: random.Random, rt: Runtime, ref: Ref[Any], books: Books) -> None:
    for _ in range(10):
        await asyncio.sleep(rng.choice((0.0, 0.1, 1.0)))
        what = rng.random()
        if what < 0.3 and books.asked:
            rng.choice(list(books.asked.values())).cancel()
        elif what < 0.4:
            ref.restart()
        elif what < 0.43:
            ref.stop(drain=rng.random() < 0.5)
        assert rt.ledger.balanced, f"the ledger does not balance on the way: {rt.ledger}"
        assert ref.stats.depth <= ref.cell.capacity + 20, f"over its bound: {ref.stats}"


def _check(plan: Weather, log: Log, books: Books) -> None:
    said = f"in {plan}: handled {log.begun}"
    counted = Counter(log.begun)
    assert max(counted.values(), default=0) <= 1, f"handled twice {said}"
    refused = [key for key, accepted in books.told.items() if not accepted and key in counted]
    assert not refused, f"refused and handled: {refused} {said}"
    if "stash" not in plan.acts and plan.overflow != "wait":
        for sender in range(plan.senders):
            mine = [number for who, number in log.begun if who == sender]
            assert mine == sorted(mine), f"out of order {said}"
    for key, reply in books.asked.items():
        outcome = reply.outcome()
        if outcome.error is None and outcome.value != -1:
            assert outcome.value == key[1], f"{key} was answered {outcome} {said}"
            assert key in counted, f"{key} was answered and not handled {said}"
    account = books.account
    if account is not None:
        assert account.accepted + account.refused <= len(books.told) + len(books.asked), said
        assert account.handled + account.failed <= len(log.begun) + len(log.stashed), (
            f"{account} {said}"
        )
    if plan.wild or plan.end in ("now", "kill") or "stash" in plan.acts:
        return
    if plan.overflow in ("reject", "wait"):
        lost = [key for key, accepted in books.told.items() if accepted and key not in counted]
        assert not lost, f"accepted and lost: {lost} {said}"
    if plan.overflow == "wait":
        lost = [key for key in books.asked if key not in counted]
        assert not lost, f"waited for a place, and lost: {lost} {said}"
