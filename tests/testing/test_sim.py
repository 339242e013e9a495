"""`SimRuntime` as users see it: virtual time, and what a seed promises."""

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.testing.sim_actors import Caller, Sleeper, busy

from understudy.actors.kernel.actor import Actor
from understudy.actors.kernel.options import child
from understudy.actors.kernel.ref import INFINITE, Ref
from understudy.messages.errors import DeadlineExceededError
from understudy.runtime.runtime import Runtime
from understudy.testing import Fault, Faults, SimRuntime


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


def test_a_seed_replays_exactly() -> None:
    """The same seed does the same, again and again; other seeds do other things."""
    digests = []
    for seed in (5, 5, 6, 7, 8):
        sim = SimRuntime(seed, faults=Faults(slow=Fault("*", chance=0.3, seconds=(0.1, 0.5))))
        sim.run(busy)
        digests.append(sim.trace_digest)
    assert digests[0] == digests[1]
    assert len(set(digests)) == 4


_PROGRAM = """
import asyncio, sys
sys.path.insert(0, {folder!r})
from sim_actors import busy
from understudy.testing import Fault, Faults, SimRuntime
for seed in range(4):
    sim = SimRuntime(seed, faults=Faults(slow=Fault("*", chance=0.3, seconds=(0.1, 0.5))))
    sim.run(busy)
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


def test_each_run_starts_from_the_seed() -> None:
    """A SimRuntime may run again, and what it says afterwards is about the last run."""
    sim = SimRuntime(20)
    sim.run(busy)
    digest, handled = sim.trace_digest, sim.handled
    sim.run(busy)
    assert (sim.trace_digest, sim.handled) == (digest, handled)
    assert sim.report.ledger.balanced
