"""What messages cost on one loop: requests, and a ring."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
from benchmarks.floors import queue_request, queue_ring
from benchmarks.measure import Line, Measure, Reach, Samples, Scale, in_us, run_on_loop, take_turns

from understudy import Actor, Ref, Runtime, child


class Echo(Actor):
    """A sync handler on the loop."""

    blocking = False

    def on_receive(self, message: int) -> int:
        """Answer."""
        return message


class AsyncEcho(Actor):
    """An async handler that does not suspend."""

    async def on_receive(self, message: int) -> int:
        """Answer."""
        return message


class SleepyEcho(Actor):
    """An async handler that suspends once."""

    async def on_receive(self, message: int) -> int:
        """Answer, a turn of the loop later."""
        await asyncio.sleep(0)
        return message


class Link(msgspec.Struct, frozen=True):
    """Who is next in the ring."""

    ref: Ref[Any]  # Any: a node


class Node(Actor):
    """A place in the ring."""

    blocking = False

    def __init__(self, done: asyncio.Future[None]) -> None:
        self._done = done
        self._next: Ref[Any] | None = None  # Any: a node

    def on_receive(self, message: int | Link) -> None:
        """Pass it on."""
        if isinstance(message, Link):
            self._next = message.ref
        elif message and self._next is not None:
            self._next.tell(message - 1)
        else:
            self._done.set_result(None)


async def request(kind: type[Actor], count: int) -> float:
    """Round trip to an idle actor."""
    async with Runtime() as rt:
        ref = await rt.aspawn(kind)
        begin = time.perf_counter()
        for _ in range(count):
            await ref.request(1)
        return (time.perf_counter() - begin) / count


async def requests(count: int, askers: int) -> float:
    """Round trip to a busy actor, from many tasks."""
    async with Runtime() as rt:
        ref = await rt.aspawn(Echo)

        async def ask() -> None:
            for _ in range(count // askers):
                await ref.request(1)

        begin = time.perf_counter()
        await asyncio.gather(*(ask() for _ in range(askers)))
        return (time.perf_counter() - begin) / count


async def ring(nodes: int, laps: int) -> float:
    """A hop."""
    async with Runtime() as rt:
        done = asyncio.get_running_loop().create_future()
        refs = [await rt.aspawn(child(Node, done)) for _ in range(nodes)]
        for ref, following in zip(refs, [*refs[1:], refs[0]], strict=True):
            await ref.request(Link(following))
        begin = time.perf_counter()
        refs[0].tell(nodes * laps)
        await done
        return (time.perf_counter() - begin) / (nodes * laps)


async def _answer(message: int) -> int:
    return message


async def _answer_later(message: int) -> int:
    await asyncio.sleep(0)
    return message


def _requests(scale: Scale) -> Samples:
    n = scale.of(20_000)
    runs: dict[str, Callable[[], Any]] = {  # Any: coroutines
        "queue": lambda: queue_request(n),
        "sync": lambda: request(Echo, n),
        "queue async": lambda: queue_request(n, handler=_answer),
        "async": lambda: request(AsyncEcho, n),
        "queue suspends": lambda: queue_request(n, handler=_answer_later),
        "suspends": lambda: request(SleepyEcho, n),
        "queue many": lambda: queue_request(n, askers=100),
        "many": lambda: requests(n, 100),
    }
    return in_us(take_turns({k: partial(run_on_loop, v) for k, v in runs.items()}, scale))


def _ring(scale: Scale) -> Samples:
    laps = scale.of(50)
    runs: dict[str, Callable[[], Any]] = {  # Any: coroutines
        "queue": lambda: queue_ring(1_000, laps),
        "ours": lambda: ring(1_000, laps),
    }
    return in_us(take_turns({k: partial(run_on_loop, v) for k, v in runs.items()}, scale))


MEASURES = (
    Measure(
        name="request",
        run=_requests,
        lines=(
            Line(label="request, sync handler", ours="sync", floor="queue", reach=Reach(1.25)),
            Line(label="request, async", ours="async", floor="queue async", reach=Reach(1.4)),
            Line(label="request, async, suspends", ours="suspends", floor="queue suspends"),
            Line(label="request, 100 tasks ask", ours="many", floor="queue many"),
        ),
    ),
    Measure(
        name="ring",
        run=_ring,
        lines=(Line(label="hop in a ring of 1,000", ours="ours", floor="queue", reach=Reach(0.8)),),
    ),
)
