"""Faults in a simulation: they hit what they name, at its time."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from tests.testing.sim_actors import Counter, Sleeper

from understudy.actors.kernel.actor import Actor
from understudy.actors.kernel.options import MailboxOptions
from understudy.actors.kernel.ref import INFINITE
from understudy.messages.errors import (
    ActorRestartedError,
    ConfigError,
    DeadlineExceededError,
    MailboxFullError,
)
from understudy.messages.events import ActorRestarted
from understudy.runtime.runtime import Runtime
from understudy.testing import Fault, Faults, SimRuntime, SimulatedCrashError


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
