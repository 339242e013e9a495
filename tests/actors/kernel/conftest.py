"""A stage hosted on the running loop, with a clock that tests move, and actors that do as told."""

import asyncio
import inspect
import random
import threading
import time
from _thread import get_ident
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from understudy.actors.kernel.actor import Actor, as_child
from understudy.actors.kernel.dispatchers.loop import LoopDispatcher
from understudy.actors.kernel.dispatchers.threads import ThreadsDispatcher
from understudy.actors.kernel.options import ChildSpec
from understudy.actors.kernel.ref import Ref
from understudy.actors.kernel.reply import Reply
from understudy.actors.kernel.system import ActorSystem
from understudy.actors.rules.restarts import RestartPolicy
from understudy.messages.control import ActorState, Ledger
from understudy.messages.events import Event
from understudy.testing import ManualClock

PATIENCE = 10.0
"""Seconds after which something that has to happen is a failure; nothing waits that long."""


class CrashError(Exception):
    """What `Stage.crash` raises."""


class Doer(Actor):
    """An async actor whose messages are functions of itself; it awaits what they return."""

    async def on_receive(self, message: Any) -> Any:
        value = message(self) if callable(message) else message
        return await value if inspect.isawaitable(value) else value


class SyncDoer(Actor):
    """A plain handler on the loop."""

    blocking = False

    def on_receive(self, message: Any) -> Any:
        return message(self) if callable(message) else message


class ThreadDoer(Actor):
    """A plain handler on threads."""

    def on_receive(self, message: Any) -> Any:
        return message(self) if callable(message) else message


class Heard:
    """The events port: keeps everything."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def wants(self, kind: type[Event]) -> bool:
        return True

    def publish(self, event: Event) -> None:
        self.events.append(event)


class Stage:
    """An `ActorSystem` on the running loop; its dispatcher reads real time, all else the clock."""

    def __init__(self, *, threads: int = 4, quiet: bool = True, **options: Any) -> None:
        self.loop = asyncio.get_running_loop()
        self.clock = ManualClock()
        self.heard = Heard()
        self.dispatcher = LoopDispatcher(self.loop, get_ident(), time.monotonic)
        self.bulkheads: list[ThreadsDispatcher] = []
        self.asked: list[Reply[Any]] = []
        self.size = threads
        self.quiet = quiet  # whether nothing may be left behind in the end
        options.setdefault("restart_policy", RestartPolicy(jitter=0.0))
        self.system = ActorSystem(
            loop=self.loop,
            loop_thread=get_ident(),
            dispatchers={"loop": self.dispatcher},
            make_threads=self._threads,
            clock=self.clock,
            rng=random.Random(1),
            events=self.heard,
            **options,
        )

    def _threads(self, bulkhead: str) -> ThreadsDispatcher:
        made = ThreadsDispatcher(f"{bulkhead}-{len(self.bulkheads)}", self.size)
        self.bulkheads.append(made)
        return made

    async def spawn(self, spec: ChildSpec | type[Actor], **options: Any) -> Ref[Any]:
        """Start an actor; after `on_start` has succeeded."""
        return await self.system.spawn(as_child(spec, **options))

    async def doer(self, **options: Any) -> Ref[Any]:
        """An actor with an async handler."""
        return await self.spawn(Doer, **options)

    async def sync_doer(self, **options: Any) -> Ref[Any]:
        """An actor with a plain handler on the loop."""
        return await self.spawn(SyncDoer, **options)

    async def thread_doer(self, **options: Any) -> Ref[Any]:
        """An actor with a plain handler on threads."""
        return await self.spawn(ThreadDoer, **options)

    async def until(self, holds: Callable[[], object]) -> None:
        """Let the loop turn until something holds that is under way."""
        async with asyncio.timeout(PATIENCE):
            while not holds():  # noqa: ASYNC110 - it happens on other threads too
                await asyncio.sleep(0)

    async def turn(self, times: int = 5) -> None:
        """Let the loop turn a few times: enough for what must not happen to happen."""
        for _ in range(times):
            await asyncio.sleep(0)

    async def advance(self, seconds: float) -> None:
        """Let time pass, and what rings be heard."""
        self.clock.advance(seconds)
        await self.turn()

    async def crash(self, ref: Ref[Any], error: BaseException | None = None) -> None:
        """Have a handler of `ref` fail by a tell, and wait until its life is over."""
        lives, failures = ref.incarnation, len(self.system.failures)
        ref.tell(lambda _: _throw(error or CrashError("on purpose")))
        await self.until(lambda: len(self.system.failures) > failures)
        await self.until(lambda: ref.state != ActorState.RUNNING or ref.incarnation > lives)

    def thread(self, work: Callable[[], Any]) -> Reply[Any]:
        """Do something on a thread that is nobody's."""
        reply: Reply[Any] = Reply()

        def run() -> None:
            try:
                reply.set(work())
            except BaseException as error:  # noqa: BLE001 - it is the answer
                reply.set_exception(error)

        threading.Thread(target=run, daemon=True).start()
        return reply

    def reasons(self) -> list[str]:
        """Why letters are dead, in order."""
        return [letter.reason for letter in self.system.dead_letters.recent()]

    async def close(self) -> None:
        """End everybody; every ask is answered then, and every message accounted for."""
        async with asyncio.timeout(PATIENCE):
            for end in self.system.kill_all():
                await end
        self.system.wheel.close()
        for threads in self.bulkheads:
            threads.close()
        self.dispatcher.close()
        await self.until(lambda: not self.dispatcher.runners)
        ledger = self.system.ledger()
        assert ledger.balanced, ledger
        assert self.system.lost or not self.quiet or not _open(ledger), ledger
        unanswered = [reply for reply in self.asked if not reply.done]
        assert not unanswered, unanswered


def _throw(error: BaseException) -> None:
    raise error


def _open(ledger: Ledger) -> int:
    return ledger.queued + ledger.stashed + ledger.running


@pytest.fixture
async def stage(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    """A stage, closed and checked at the end of the test."""
    made = Stage()
    request = Ref.request

    def noted(ref: Ref[Any], message: Any, **options: Any) -> Reply[Any]:
        reply = request(ref, message, **options)
        made.asked.append(reply)
        return reply

    monkeypatch.setattr(Ref, "request", noted)
    yield made
    await made.close()
