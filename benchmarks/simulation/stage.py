"""A stage of actors that call each other: tells, asks, deferred answers, background work, threads.

Each request travels through a few actors, in a way that is drawn, and some of it is cancelled,
killed or restarted on the way. Who asked is always answered, and at every moment the accounts of
all actors balance: that is the ledger's promise, and the reason why nothing may be lost anywhere.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any

import msgspec

from understudy.actors.kernel.actor import Actor
from understudy.actors.kernel.deferred import Deferred
from understudy.actors.kernel.options import child
from understudy.actors.kernel.ref import Ref
from understudy.messages.control import Outcome
from understudy.messages.errors import UnderstudyError
from understudy.runtime.runtime import Runtime
from understudy.testing.sim import Fault, Faults, SimRuntime


class Carry(msgspec.Struct, frozen=True):
    """Pass on along `way`, and come back with `value`."""

    value: int
    way: tuple[tuple[str, int], ...]


class Back(msgspec.Struct, frozen=True):
    """Work in the background has come to an end."""

    number: int
    outcome: Outcome


class Bell(msgspec.Struct, frozen=True):
    """It is time to answer."""

    number: int
    value: int


class Tell(msgspec.Struct, frozen=True):
    """Nobody waits for this."""

    hops: int


class Relay(Actor):
    """Passes on, in one of several ways."""

    expects = (UnderstudyError,)

    def __init__(self, refs: list[Ref[Any]]) -> None:
        self.refs = refs
        self.owed: dict[int, Deferred] = {}
        self.count = 0

    async def on_receive(self, message: Carry | Back | Bell | Tell) -> int | None:
        """See the messages."""
        if isinstance(message, Carry):
            return await self._carry(message)
        if isinstance(message, Back):
            deferred = self.owed.pop(message.number)
            if message.outcome.error is None:
                deferred.set(message.outcome.value)
            else:
                deferred.set_exception(message.outcome.error)
        elif isinstance(message, Bell):
            self.owed.pop(message.number).set(message.value)
        elif message.hops:
            self.refs[message.hops % len(self.refs)].tell(Tell(message.hops - 1))
        return None

    async def _carry(self, message: Carry) -> int | None:
        if not message.way:
            return message.value
        (how, to), *rest = message.way
        onward = Carry(message.value, tuple(rest))
        if how == "await":
            return int(await self.refs[to].request(onward))
        self.count += 1
        self.owed[self.count] = self.defer()
        number = self.count
        if how == "timer":
            self.timer(Bell(number, message.value), after=0.5)
        else:
            self.background(self._ask(to, onward), then=lambda outcome: Back(number, outcome))
        return None

    async def _ask(self, to: int, onward: Carry) -> int:
        return int(await self.refs[to].request(onward))


class Blocking(Actor):
    """Passes on and blocks its thread meanwhile."""

    expects = (UnderstudyError,)

    def __init__(self, refs: list[Ref[Any]]) -> None:
        self.refs = refs

    def on_receive(self, message: Carry | Tell) -> int | None:
        """See the messages."""
        if isinstance(message, Tell):
            return None
        if not message.way:
            return message.value
        (_, to), *rest = message.way
        return int(self.refs[to].ask(Carry(message.value, tuple(rest))))


def simulate(seed: int) -> SimRuntime:
    """One seed, from start to shutdown.

    Raises:
        AssertionError: something did not hold.
        SimulationError: something was left behind, or nothing could go on.
    """
    rng = random.Random(f"stage/{seed}")
    crash = Fault("/user/r*", chance=0.02) if rng.random() < 0.4 else ()
    slow = Fault("/user/r*", chance=0.1, seconds=(0.1, 1.5)) if rng.random() < 0.4 else ()
    lose = Fault("/user/r*", chance=0.03) if rng.random() < 0.2 else ()
    wild = rng.random() < 0.5
    sim = SimRuntime(
        seed, faults=Faults(crash=crash, slow=slow, drop_reply=lose), shutdown=1000.0, threads=8
    )
    calm = not (wild or crash or lose)

    async def main(rt: Runtime) -> None:
        refs: list[Ref[Any]] = []
        count = rng.randint(2, 6)
        blocking = rng.random() < 0.1
        for index in range(count):
            kind = Blocking if blocking and index == 0 else Relay
            refs.append(await rt.aspawn(child(kind, refs), name=f"r{index}"))
        asked = []
        for value in range(rng.randint(3, 25)):
            asked.append(rng.choice(refs).request(Carry(value, _way(rng, count)), timeout=20.0))
            rng.choice(refs).tell(Tell(rng.randint(0, 5)))
            if wild:
                _meddle(rng, refs, asked)
            if rng.random() < 0.3:
                await asyncio.sleep(rng.choice((0.0, 0.2, 3.0)))
            assert rt.ledger.balanced, f"the ledger does not balance on the way: {rt.ledger}"
        for value, reply in enumerate(asked):
            try:
                assert await reply == value, f"somebody else's answer to {value}: {reply.outcome()}"
            except UnderstudyError as error:
                deadlock = type(error).__name__ in ("DeadlockError", "DeadlineExceededError")
                if calm and not deadlock:
                    raise AssertionError(f"nothing went wrong, and yet {error!r}") from error

    sim.run(main)
    return sim


def _way(rng: random.Random, count: int) -> tuple[tuple[str, int], ...]:
    hows = ("await", "timer", "background", "background")
    return tuple((rng.choice(hows), rng.randrange(count)) for _ in range(rng.randint(0, 4)))


def _meddle(rng: random.Random, refs: list[Ref[Any]], asked: list[Any]) -> None:
    what = rng.random()
    if what < 0.2:
        rng.choice(asked).cancel()
    elif what < 0.25:
        rng.choice(refs).restart()
    elif what < 0.27:
        rng.choice(refs).stop(drain=rng.random() < 0.5)
    elif what < 0.29:
        rng.choice(refs).kill()
