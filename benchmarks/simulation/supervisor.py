"""A supervised group in bad weather: crashes one by one and at once, kills, restarts by hand.

In calm seeds a child crashes only when the group has come to rest, and how often each child begins
a new life follows from the strategy alone. In wild seeds anything happens at any time, and
afterwards the group has to be at rest in one of the ways that are promised: every child runs and
answers, is parked, or has ended; and if the supervisor has given up, so has everybody.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any, Literal

import msgspec

from understudy.actors.kernel.actor import Actor
from understudy.actors.kernel.options import ChildSpec, child
from understudy.actors.kernel.ref import Ref
from understudy.actors.kernel.reply import Reply
from understudy.messages.control import ActorState
from understudy.runtime.runtime import Runtime
from understudy.runtime.strategy import Strategy
from understudy.runtime.supervisor import WhichChildren
from understudy.testing.sim import Fault, Faults, SimRuntime, SimulatedCrashError

QUIET = 300.0
"""Seconds after which nothing of a group may still be on its way."""


class Ping(msgspec.Struct, frozen=True):
    """Answer with `number`, after some seconds."""

    number: int
    seconds: float = 0.0


class Boom(msgspec.Struct, frozen=True):
    """Crash."""


class CrashedError(Exception):
    """What a child raises."""


class Child(Actor):
    """One of the group; some cannot start again at once."""

    def __init__(self, log: list[str], name: str, bad_starts: tuple[int, ...]) -> None:
        self.log, self.name, self.bad_starts = log, name, bad_starts

    async def on_start(self) -> None:
        """Note it, or fail."""
        life = self.ref.incarnation
        if life in self.bad_starts:
            raise CrashedError(f"{self.name} does not start")
        self.log.append(f"{self.name}/{life}")

    async def on_receive(self, message: Ping | Boom) -> int:
        """Answer, or crash."""
        if isinstance(message, Boom):
            raise CrashedError(self.name)
        if message.seconds:
            await asyncio.sleep(message.seconds)
        return message.number


class Weather(msgspec.Struct, frozen=True, kw_only=True):
    """What one seed is about."""

    strategy: Strategy
    children: int
    intensity: int
    total: int | None
    significant: int | None
    bad_starts: tuple[int, ...]
    steps: int
    wild: bool
    end: Literal["leave", "kill"]
    faults: Faults


def weather(seed: int) -> Weather:
    """The weather of `seed`."""
    rng = random.Random(f"supervisor/{seed}")
    wild = rng.random() < 0.7
    at = "/user/group/*"
    crash = Fault(at, chance=0.05) if wild and rng.random() < 0.3 else ()
    slow = Fault(at, chance=0.1, seconds=(0.1, 5.0)) if wild and rng.random() < 0.3 else ()
    return Weather(
        strategy=rng.choice(("one_for_one", "one_for_all", "rest_for_one")),
        children=rng.randint(1, 5),
        intensity=rng.choice((0, 1, 3, 5, 100)) if wild else 100,
        total=rng.choice((None, None, 4)) if wild else None,
        significant=rng.choice((None, 0)) if wild else None,
        bad_starts=(2, 4) if wild and rng.random() < 0.2 else (),
        steps=rng.randint(3, 20),
        wild=wild,
        end=rng.choice(("leave", "leave", "kill")),
        faults=Faults(crash=crash, slow=slow),
    )


def simulate(seed: int) -> SimRuntime:
    """One seed, from start to shutdown.

    Raises:
        AssertionError: something did not hold.
        SimulationError: something was left behind, or nothing could go on.
    """
    plan = weather(seed)
    sim = SimRuntime(seed, faults=plan.faults, shutdown=1000.0)
    log: list[str] = []

    async def main(rt: Runtime) -> None:
        group = await rt.asupervise(
            "group",
            [_spec(plan, log, index) for index in range(plan.children)],
            strategy=plan.strategy,
            intensity=plan.intensity,
            total_intensity=plan.total,
        )
        children = await group.request(WhichChildren())
        if [f"c{index}/0" for index in range(plan.children)] != log:
            raise AssertionError(f"not started left to right: {log}")
        rng = random.Random(f"chaos/{seed}")
        if plan.wild:
            await _wild(rng, plan, children)
            await asyncio.sleep(QUIET)
            await _at_rest(rt, group, children)
        else:
            await _calm(rng, plan, children, log)
        if plan.end == "kill":
            await group.kill()
        if not rt.ledger.balanced:
            raise AssertionError(f"the ledger does not balance on the way: {rt.ledger}")

    sim.run(main)
    return sim


def _spec(plan: Weather, log: list[str], index: int) -> ChildSpec:
    bad = plan.bad_starts if index == plan.children - 1 else ()
    return child(Child, log, f"c{index}", bad).options(
        name=f"c{index}", significant=plan.significant == index
    )


async def _calm(
    rng: random.Random, plan: Weather, children: tuple[Ref[Any], ...], log: list[str]
) -> None:
    """Crash one, let the group come to rest, look."""
    lives = [0] * plan.children
    for _ in range(plan.steps):
        at = rng.randrange(plan.children)
        waiting = [ref.request(Ping(index), timeout=QUIET) for index, ref in enumerate(children)]
        failed = children[at].request(Boom())
        queued = children[at].request(Ping(at), timeout=QUIET)
        await asyncio.sleep(60.0)
        first, last = {"one_for_one": (at, at + 1), "rest_for_one": (at, plan.children)}.get(
            plan.strategy, (0, plan.children)
        )
        for index in range(first, last):
            lives[index] += 1
        due = [f"c{index}/{lives[index]}" for index in range(first, last)]
        said = f"after a crash of c{at} in {plan}"
        assert [ref.incarnation for ref in children] == lives, f"{lives} lives were due {said}"
        assert log[-len(due) :] == due, f"started {log[-len(due) :]}, not {due} {said}"
        assert isinstance(failed.outcome().error, CrashedError), f"{failed.outcome()} {said}"
        assert queued.outcome().value == at, f"a queued message was lost {said}"
        for index, reply in enumerate(waiting):
            assert reply.outcome().value == index, f"{index}: {reply.outcome()} {said}"


async def _wild(rng: random.Random, plan: Weather, children: tuple[Ref[Any], ...]) -> None:
    """Anything, at any time."""
    for _ in range(plan.steps):
        ref = rng.choice(children)
        what = rng.random()
        if what < 0.45:
            ref.tell(Boom())
        elif what < 0.8:
            reply = ref.request(Ping(1, rng.choice((0.0, 0.0, 0.5, 3.0))))
            if rng.random() < 0.2:
                reply.cancel()
        elif what < 0.88:
            ref.restart()
        elif what < 0.92:
            ref.kill()
        elif what < 0.96:
            ref.stop(drain=rng.random() < 0.5)
        await asyncio.sleep(rng.choice((0.0, 0.0, 0.0, 0.1, 0.3, 2.0, 40.0)))


async def _at_rest(rt: Runtime, group: Ref[Any], children: tuple[Ref[Any], ...]) -> None:
    """Nothing happens any more: everybody is in a state in which one may stay."""
    for ref in children:
        said = f"{ref.path} is {ref.state} at rest, its supervisor {group.state}\n{rt.tree()}"
        if ref.state == ActorState.RUNNING:
            outcome = await _outcome(ref.request(Ping(7), timeout=60.0))
            if isinstance(outcome, SimulatedCrashError):
                return  # the rest is over: it may concern the others
            assert outcome == 7, f"{outcome!r}: {said}"
        elif ref.state == ActorState.PARKED:
            assert group.is_alive(), said
            outcome = await _outcome(ref.restart())
            if isinstance(outcome, CrashedError):
                return  # it does not start, and that is the supervisor's again
            assert ref.state == ActorState.RUNNING, said
        else:
            assert ref.state == ActorState.STOPPED, said
        if not group.is_alive():
            assert not ref.is_alive(), said


async def _outcome(reply: Reply[Any]) -> Any:  # Any: the answer, or the error
    try:
        return await reply
    except Exception as error:  # noqa: BLE001 - it is looked at by who asks
        return error
