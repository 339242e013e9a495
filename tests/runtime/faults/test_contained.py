"""What handlers raise, and what keeps a process from ending."""

import asyncio
import subprocess
import sys
import textwrap
import threading
from typing import Any

import pytest

from understudy import Actor, ActorDeadError, RunCancelledError, Runtime
from understudy.messages.errors import ConfigError
from understudy.messages.events import (
    ActorFailed,
    ActorParked,
    ActorRestarted,
    DeadLettered,
    Event,
)

pytestmark = pytest.mark.anyio

KINDS = [
    SystemExit,
    KeyboardInterrupt,
    GeneratorExit,
    MemoryError,
    RecursionError,
    asyncio.CancelledError,
    StopIteration,
]


class Raises(Actor):
    """On a thread: raises what it is sent, or answers."""

    def on_receive(self, message: Any) -> Any:
        if isinstance(message, type):
            raise message
        return message


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_thread_raises_stays_with_its_actor(kind: type[BaseException]) -> None:
    """The asker hears it, a new life goes on, and nobody else in the process notices (P2)."""
    with Runtime(threads=1) as rt:
        one, other = rt.spawn(Raises), rt.spawn(Raises)
        with pytest.raises((kind, RuntimeError)):
            one.ask(kind)
        assert other.ask(1) == 1
        assert one.ask(2) == 2
        assert (one.incarnation, other.incarnation) == (1, 0)
        assert rt.ledger.balanced


@pytest.mark.parametrize("hook", ["on_start", "on_stop"])
def test_what_a_hook_raises_is_contained(hook: str) -> None:
    """SystemExit in `on_start` is the spawner's error, in `on_stop` a log line."""

    class Hooked(Raises):
        def on_start(self) -> None:
            if hook == "on_start":
                raise SystemExit(3)

        def on_stop(self) -> None:
            raise SystemExit(4)

    with Runtime() as rt:
        if hook == "on_start":
            with pytest.raises(SystemExit):
                rt.spawn(Hooked)
        else:
            ref = rt.spawn(Hooked)
            ref.stop().get(timeout=10)
            assert not ref.is_alive()
            assert [type(error) for _, error in rt.stage.failures] == [SystemExit]


async def test_nothing_is_built_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a subscriber no event is made; with one, exactly those it asked for."""
    built: list[str] = []

    def spy(kind: type[Event]) -> None:
        class Spied(kind, frozen=True, kw_only=True):  # type: ignore[valid-type, misc, call-arg]
            def __post_init__(self) -> None:
                built.append(kind.__name__)

        for name, module in list(sys.modules.items()):
            if name.startswith("understudy.") and vars(module).get(kind.__name__) is kind:
                monkeypatch.setattr(module, kind.__name__, Spied)

    for kind in (ActorFailed, ActorRestarted, ActorParked, DeadLettered):
        spy(kind)

    async def go_wrong(rt: Runtime) -> None:
        ref = await rt.aspawn(Parrot)
        with pytest.raises(ValueError, match="x"):
            await ref.request(ValueError("x"))
        assert await ref.request(1) == 1
        await ref.stop()
        assert not ref.tell(1)

    async with Runtime() as rt:
        await go_wrong(rt)
        assert built == []
        heard: list[Event] = []
        done = threading.Event()

        def hear(event: Event) -> None:
            heard.append(event)
            done.set()

        rt.events.subscribe(ActorRestarted, hear)
        await go_wrong(rt)
        assert built == ["ActorRestarted"]
        await asyncio.to_thread(done.wait, 10)
        assert len(heard) == 1
        assert isinstance(heard[0], ActorRestarted)


class Parrot(Actor):
    async def on_receive(self, message: Any) -> Any:
        if isinstance(message, BaseException):
            raise message
        return message


def run_script(script: str) -> subprocess.CompletedProcess[str]:
    """Run a program of its own."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(script)],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip


def test_ctrl_c_in_a_hosted_handler_is_answered_and_passed_on() -> None:
    """The asker is told first; then `asyncio.run` ends, and the runtime with it, leaving nobody."""
    done = run_script(
        """
        import asyncio, logging
        from understudy import Actor, Runtime
        logging.disable()

        class Interrupted(Actor):
            async def on_receive(self, message: str) -> None:
                raise KeyboardInterrupt

        held, rts = [], []

        async def main():
            async with Runtime() as rt:
                rts.append(rt)
                ref = await rt.aspawn(Interrupted)
                held.append(ref.request("x"))
                await held[0]

        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            report = rts[0].stop()
            print(type(held[0].outcome().error).__name__, report.abandoned)
        """
    )
    assert (done.returncode, done.stdout) == (0, "RunCancelledError ()\n"), done.stderr


def test_a_tool_that_never_returns_is_replaced_and_the_process_exits() -> None:
    """Its asker hears of the deadline, the next message is handled, nobody joins its thread."""
    done = run_script(
        """
        import logging, threading
        from understudy import Actor, DeadlineExceededError, Runtime
        from understudy.actors.kernel import ending
        logging.disable()
        ending.GRACE = 0.1

        class Tool(Actor):
            def on_receive(self, message: str) -> str:
                if message == "stuck":
                    threading.Event().wait()
                return message

        with Runtime(threads=1, shutdown=1.0) as rt:
            tool = rt.spawn(Tool, name="tool")
            try:
                tool.ask("stuck", timeout=0.1)
            except DeadlineExceededError:
                print("late", tool.ask("next", timeout=10), rt.ledger.abandoned)
            report = rt.stop()
        print(report.abandoned, report.ledger.balanced)
        """
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "late next 1\n('/user/tool',) True\n"


async def test_dead_letters_say_why_and_can_be_sent_again() -> None:
    """What a kill drops is kept with its reason; sent again, it leaves the store."""
    async with Runtime() as rt:
        gate = asyncio.Event()

        class Held(Actor):
            async def on_receive(self, message: Any) -> None:
                await gate.wait()

        ref = await rt.aspawn(Held, name="held")
        held = ref.request("in hand")
        queued = [ref.request(number) for number in range(3)]
        for _ in range(5):
            await asyncio.sleep(0)
        await ref.kill()
        with pytest.raises((ActorDeadError, RunCancelledError)):
            await held
        for reply in queued:
            with pytest.raises(ActorDeadError):
                await reply
        letters = [each for each in rt.dead_letters.recent() if each.reason == "killed"]
        assert [(each.message, each.receiver) for each in letters] == [
            (number, "/user/held") for number in range(3)
        ]
        assert not rt.dead_letters.resend(letters[0].id)  # it is still dead
        with pytest.raises(ConfigError, match="no dead letter 99999"):
            rt.dead_letters.resend(99999)
        assert rt.ledger.balanced
