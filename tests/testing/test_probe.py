"""`Probe`: what a test sees of what an actor sends."""

import asyncio
from typing import Any

import pytest

from understudy import (
    Actor,
    ConfigError,
    Ref,
    Runtime,
    RuntimeStoppedError,
    Terminated,
    WouldDeadlockError,
    child,
)
from understudy.testing import ManualClock, Probe, SimRuntime

pytestmark = pytest.mark.anyio


class Teller(Actor):
    """Tells another actor what it is told, some time later."""

    def __init__(self, other: Ref[Any], wait: float = 0.0) -> None:
        self.other = other
        self.wait = wait

    async def on_receive(self, message: Any) -> Any:
        if self.wait:
            await asyncio.sleep(self.wait)
        if message == "ask":
            return await self.other.request("asked")
        return self.other.tell(message)


def test_messages_are_taken_in_order(runtime: Runtime) -> None:
    """By type, by value, as they come; all of them stay readable."""
    probe = Probe(runtime, name="probe")
    teller = runtime.spawn(child(Teller, probe.ref))
    for each in (1, "two", 3.0, [4]):
        teller.tell(each)
    assert probe.expect(int) == 1
    assert probe.expect("two") == "two"
    assert probe.expect(str | float) == 3.0
    assert probe.expect((str, list)) == [4]
    probe.expect_none(timeout=0)
    assert probe.received == [1, "two", 3.0, [4]]
    assert probe.ref.path == "/user/probe"


def test_a_failure_says_what_came_instead(runtime: Runtime) -> None:
    """The wrong message fails at once, with what was before and behind it, and stays."""
    probe = Probe(runtime, name="probe")
    for each in ("before", 1, "behind"):
        probe.ref.tell(each)
    assert probe.expect() == "before"
    with pytest.raises(AssertionError) as caught:
        probe.expect(str, timeout=1e9)
    assert str(caught.value) == (
        "/user/probe expected str, and 1 came instead\n  before it: 'before'\n  behind it: 'behind'"
    )
    with pytest.raises(AssertionError, match="expected 2, and 1 came instead"):
        probe.expect(2)
    assert probe.expect(int) == 1


def test_silence_fails_at_the_timeout(runtime: Runtime) -> None:
    """It says how long it waited."""
    probe = Probe(runtime)
    with pytest.raises(AssertionError, match=r"expected int or str, and nothing came within 0 s"):
        probe.expect((int, str), timeout=0)


def test_expect_none_names_what_came(runtime: Runtime) -> None:
    """A message is no silence, also one that comes meanwhile; it is not taken by that."""
    probe = Probe(runtime, reply="ok")
    for each in range(7):
        assert probe.ref.ask(each) == "ok"
    with pytest.raises(AssertionError, match="nothing, and there came 0, 1, 2, 3, 4 and 2 more"):
        probe.expect_none(timeout=0)
    assert probe.expect() == 0


def test_asks_are_answered(runtime: Runtime) -> None:
    """With a value, by a function, by an async one; what it raises is the asker's."""

    async def later(message: Any) -> str:
        await asyncio.sleep(0)
        return f"later {message}"

    def refuse(message: Any) -> None:
        raise LookupError(message)

    assert Probe(runtime, reply=7).ref.ask("x") == 7
    assert Probe(runtime).ref.ask("x") is None
    assert Probe(runtime, reply=len).ref.ask("four") == 4
    assert Probe(runtime, reply=later).ref.ask("x") == "later x"
    refusing = Probe(runtime, reply=refuse)
    with pytest.raises(LookupError):
        refusing.ref.ask("x")
    assert refusing.expect() == "x"
    assert refusing.ref.is_alive()


def test_it_watches(runtime: Runtime) -> None:
    """The end of an actor is a message like any other, also of one that ended before."""
    probe = Probe(runtime)
    teller = runtime.spawn(child(Teller, probe.ref))
    probe.watch(teller)
    teller.stop()
    assert probe.expect(Terminated).path == teller.path
    probe.watch(teller)
    probe.expect(Terminated)


async def test_hosted_it_is_awaited() -> None:
    """On the loop the twins wait; the blocking ones say so instead of standing still."""
    async with Runtime() as rt:
        probe = Probe(rt)
        teller = await rt.aspawn(child(Teller, probe.ref, 0.001))
        teller.tell("hello")
        assert await probe.aexpect(str) == "hello"
        await probe.aexpect_none(timeout=0)
        with pytest.raises(WouldDeadlockError, match=r"probe\.aexpect\("):
            probe.expect()
        with pytest.raises(WouldDeadlockError, match=r"probe\.aexpect_none"):
            probe.expect_none()


async def test_another_loop_may_await_it(runtime: Runtime) -> None:
    """A test with a loop of its own looks into a runtime that has another."""
    probe = Probe(runtime)
    probe.ref.tell("hello")
    assert await probe.aexpect() == "hello"


def test_in_a_simulation_its_time_is_virtual() -> None:
    """An hour's silence takes no time, and is exact."""

    async def main(rt: Runtime) -> None:
        probe = Probe(rt, reply="yes")
        teller = await rt.aspawn(child(Teller, probe.ref, 3600.0))
        teller.tell("late")
        await probe.aexpect_none(timeout=3599.0)
        assert await probe.aexpect("late", timeout=2.0)
        assert await teller.request("ask", timeout=4000.0) == "yes"
        with pytest.raises(AssertionError, match="expected int, and 'asked' came instead"):
            await probe.aexpect(int)

    for seed in range(5):
        sim = SimRuntime(seed)
        sim.run(main)
        assert sim.time >= 7200.0


def test_a_blocking_actor_may_wait_for_it_in_a_simulation() -> None:
    """A thread of the simulation waits in virtual time."""

    class Waiting(Actor):
        def __init__(self, probe: Probe) -> None:
            self.probe = probe

        def on_receive(self, message: str) -> Any:
            return self.probe.expect(message, timeout=100.0)

    async def main(rt: Runtime) -> Any:
        probe = Probe(rt)
        reply = (await rt.aspawn(child(Waiting, probe))).request("hello")
        await asyncio.sleep(10.0)
        probe.ref.tell("hello")
        return await reply

    assert SimRuntime(1).run(main) == "hello"


def test_a_manual_clock_does_not_hold_it_up() -> None:
    """A test that waits in vain fails, though nobody advances the clock."""
    with Runtime(clock=ManualClock()) as rt:
        probe = Probe(rt)
        with pytest.raises(AssertionError, match=r"nothing came within 0\.001 s"):
            probe.expect(timeout=0.001)


def test_wrong_arguments_are_named(runtime: Runtime) -> None:
    """A probe lives in a runtime, and watches actors."""
    with pytest.raises(ConfigError, match="give the Runtime"):
        Probe("rt")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="give the Ref"):
        Probe(runtime).watch("x")  # type: ignore[arg-type]


def test_what_it_got_can_be_read_when_all_is_over() -> None:
    """After the end nothing can be expected, and that says so."""
    with Runtime() as rt:
        probe = Probe(rt)
        probe.ref.tell("hello")
        probe.expect()
    assert probe.received == ["hello"]
    with pytest.raises(RuntimeStoppedError):
        probe.expect()
