"""What must not go wrong, made to happen on purpose."""

import asyncio
import contextlib
import os
import random
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from understudy import (
    Actor,
    ActorDeadError,
    ActorRestartedError,
    DeadlockError,
    Ref,
    Runtime,
    child,
)
from understudy.messages.errors import OverloadedError, RuntimeStoppedError, UnderstudyError
from understudy.messages.events import LoopBlocked
from understudy.runtime.strategy import Strategy
from understudy.runtime.supervisor import WhichChildren
from understudy.runtime.watchdog import Watchdog
from understudy.testing import SimRuntime

pytestmark = pytest.mark.anyio


class Echo(Actor):
    """Answers, or raises what it is sent."""

    async def on_receive(self, message: object) -> object:
        """Answer."""
        if isinstance(message, BaseException):
            raise message
        return message


class Forward(Actor):
    """Asks somebody else and waits for it."""

    def __init__(self) -> None:
        self.to: Ref[Forward] | None = None

    async def on_receive(self, message: object) -> object:
        """Be told whom to ask, or ask."""
        if isinstance(message, Ref):
            self.to = message
            return None
        return message if self.to is None else await self.to.request(message)


@pytest.mark.parametrize("kind", [SystemExit, MemoryError, RecursionError, asyncio.CancelledError])
async def test_what_a_handler_raises_stays_with_it(kind: type[BaseException]) -> None:
    """The asker hears it, the actor begins a new life, nobody else notices."""
    async with Runtime() as rt:
        one, other = await rt.aspawn(Echo), await rt.aspawn(Echo)
        with pytest.raises(kind):
            await one.request(kind("drawn"))
        assert await other.request(1) == 1
        assert await one.request(2) == 2
        assert one.incarnation == 1


def test_every_ask_that_races_an_end_is_answered() -> None:
    """10,000 asks against stop, kill and restart, switching threads as often as possible."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with Runtime() as rt:
            answered = 0
            for number in range(50):
                ref = rt.spawn(Echo)
                replies = [ref.request(each) for each in range(100)]
                ends = (ref.stop, ref.kill, ref.restart)
                ender = threading.Thread(target=ends[number % 3])
                ender.start()
                replies += [ref.request(each) for each in range(100)]
                ender.join()
                for reply in replies:
                    with contextlib.suppress(ActorDeadError, ActorRestartedError):
                        reply.get(timeout=20)
                    answered += 1
            assert answered == 10_000
            assert rt.ledger.balanced
    finally:
        sys.setswitchinterval(interval)


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all", "rest_for_one"])
def test_random_crashes_lose_nothing(strategy: Strategy) -> None:
    """1,000 under load: every request is answered, the ledger balances, all live in the end."""
    chance = random.Random(strategy)

    async def main(rt: Runtime) -> int:
        specs = [child(Echo).options(name=f"e{number}") for number in range(4)]
        group = await rt.asupervise("group", specs, strategy=strategy, intensity=10_000)
        refs = await group.request(WhichChildren())
        crashes = 0
        while crashes < 1000:
            replies = []
            for number in range(100):
                crash = chance.random() < 0.2
                crashes += crash
                message = ValueError(number) if crash else number
                replies.append(chance.choice(refs).request(message, timeout=3600))
            for reply in replies:
                with contextlib.suppress(ValueError, ActorRestartedError):
                    await reply
        assert [await ref.request(1, timeout=3600) for ref in refs] == [1] * 4
        assert rt.ledger.balanced
        return crashes

    assert SimRuntime(7).run(main) >= 1000


async def test_a_circle_of_questions_is_named() -> None:
    """The one who closes it is told, with the whole path; so nobody waits for ever."""
    async with Runtime() as rt:
        a, b, c = [await rt.aspawn(Forward, name=name) for name in "abc"]
        for one, other in ((a, b), (b, c), (c, b)):
            await one.request(other)
        with pytest.raises(DeadlockError, match=r"/user/c -> /user/b -> /user/c"):
            await a.request("anything")
        lonely = await rt.aspawn(Forward, name="lonely")
        await lonely.request(lonely)
        with pytest.raises(DeadlockError, match="lonely -> /user/lonely"):
            await lonely.request("anything")


def test_threads_that_wait_for_each_other_find_threads() -> None:
    """Nested blocking asks go twice as deep as there are threads, then say why not."""

    class Nested(Actor):
        def on_receive(self, message: int) -> int:
            if message == 0:
                return 0
            return 1 + int(self.spawn(Nested).ask(message - 1))

    with Runtime(threads=4) as rt:
        assert rt.spawn(Nested).ask(4) == 4
        with pytest.raises(OverloadedError, match="threads"):
            rt.spawn(Nested).ask(12)


async def test_a_handler_that_blocks_the_loop_is_named() -> None:
    """With its actor, the message, and where it stands."""

    class Blocks(Actor):
        blocking = False

        def on_receive(self, message: str) -> None:
            seen.wait(timeout=10)

    seen = threading.Event()
    found: list[LoopBlocked] = []

    def notice(event: LoopBlocked) -> None:
        found.append(event)
        seen.set()

    async with Runtime() as rt:
        dispatcher = rt.system.dispatchers["loop"]
        rt.events.subscribe(LoopBlocked, notice)
        dog = Watchdog("dog", rt.system, dispatcher, interval=0.01, patience=0.05)  # type: ignore[arg-type]
        dog.start()
        ref = await rt.aspawn(Blocks, name="blocks")
        await ref.request("now")
        dog.stop()
    assert found[0].path == "/user/blocks"
    assert found[0].message == "str"
    assert "on_receive" in found[0].stack


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_is_told() -> None:
    """It neither hangs nor pretends: whoever asks there hears what to do instead."""
    code = """
        import os, warnings
        warnings.simplefilter("ignore")
        from understudy import Actor, Runtime
        class Echo(Actor):
            async def on_receive(self, message: int) -> int:
                return message
        with Runtime() as rt:
            ref = rt.spawn(Echo)
            assert ref.ask(1) == 1
            pid = os.fork()
            if pid == 0:
                try:
                    ref.ask(2)
                except Exception as error:
                    print(type(error).__name__, "forked" in str(error), flush=True)
                os._exit(0)
            os.waitpid(pid, 0)
            print(ref.ask(3))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.stdout.split() == ["RuntimeStoppedError", "True", "3"], done.stderr


def test_a_loop_that_is_closed_under_it_leaves_nobody_waiting() -> None:
    """Threads that had asked, and those that ask later, are told."""
    heard: list[BaseException] = []
    asked = threading.Event()

    class Never(Actor):
        async def on_receive(self, message: object) -> None:
            asked.set()
            await asyncio.Event().wait()

    def ask(ref: Ref[Never]) -> None:
        try:
            ref.ask("anything", timeout=30)
        except UnderstudyError as error:
            heard.append(error)

    async def main() -> tuple[Ref[Never], threading.Thread]:
        rt = Runtime()
        await rt.__aenter__()
        ref = await rt.aspawn(Never)
        thread = threading.Thread(target=ask, args=(ref,))
        thread.start()
        await asyncio.to_thread(asked.wait, 10)
        return ref, thread

    ref, thread = asyncio.run(main())
    thread.join(timeout=10)
    assert heard
    deadline = time.monotonic() + 10
    while ref.is_alive() and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    with pytest.raises((RuntimeStoppedError, ActorDeadError)):
        ref.ask("again", timeout=5)
