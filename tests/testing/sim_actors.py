"""Actors whose doings depend on time and order, for the tests of `SimRuntime`."""

import asyncio
from typing import Any

from understudy.actors.kernel.actor import Actor
from understudy.actors.kernel.options import child
from understudy.actors.kernel.ref import Ref
from understudy.runtime.runtime import Runtime


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


async def busy(rt: Runtime) -> list[Any]:
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
