"""The floors: what the same work costs with the bare means, and with pykka.

Each function does the work `count` times and says how long one took, in seconds (or how many were
done in a second, where its name says rate). Nothing here knows of understudy.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pykka

PATIENCE = 60.0
"""Seconds after which a benchmark that hangs says so."""

Work = tuple[Any, asyncio.Future[Any]]  # Any: a message and its answer


# -- asyncio.Queue and a task ----------------------------------------------------------------------


async def queue_request(
    count: int,
    *,
    handler: Callable[[Any], Any] | None = None,  # Any: messages and answers
    askers: int = 1,
) -> float:
    """Round trip to a task over a queue, with a future for the answer; from so many tasks."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[Work] = asyncio.Queue()
    server = asyncio.create_task(_serve(queue, handler))

    async def ask() -> None:
        for _ in range(count // askers):
            reply = loop.create_future()
            queue.put_nowait((1, reply))
            await reply

    begin = time.perf_counter()
    await asyncio.gather(*(ask() for _ in range(askers)))
    taken = time.perf_counter() - begin
    await _end(server)
    return taken / count


async def _serve(queue: asyncio.Queue[Work], handler: Callable[[Any], Any] | None) -> None:
    if handler is None:
        while True:
            message, reply = await queue.get()
            reply.set_result(message)
    while True:
        message, reply = await queue.get()
        reply.set_result(await handler(message))


async def queue_ring(nodes: int, laps: int) -> float:
    """A hop in a ring of tasks, each with a queue."""
    queues: list[asyncio.Queue[int]] = [asyncio.Queue() for _ in range(nodes)]
    done = asyncio.get_running_loop().create_future()

    async def node(mine: asyncio.Queue[int], following: asyncio.Queue[int]) -> None:
        while True:
            left = await mine.get()
            if left:
                following.put_nowait(left - 1)
            else:
                done.set_result(None)

    pairs = zip(queues, [*queues[1:], queues[0]], strict=True)
    tasks = [asyncio.create_task(node(mine, following)) for mine, following in pairs]
    await asyncio.sleep(0)
    begin = time.perf_counter()
    queues[0].put_nowait(nodes * laps)
    await done
    taken = time.perf_counter() - begin
    for task in tasks:
        await _end(task)
    return taken / (nodes * laps)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


# -- threads ---------------------------------------------------------------------------------------


class LoopThread:
    """A bare event loop in a thread."""

    def __init__(self, new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
        self._loop = new_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def ask(self, message: int) -> int:
        """The shortest way to a loop and back: a callback, and a future that a thread waits for."""
        future: Future[int] = Future()
        self._loop.call_soon_threadsafe(future.set_result, message)
        return future.result()

    def stop(self) -> None:
        """End the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def executor_rate(count: int, threads: int) -> float:
    """Jobs a second through a `ThreadPoolExecutor`."""
    with ThreadPoolExecutor(threads) as executor:
        executor.submit(_nothing).result()
        begin = time.perf_counter()
        for future in [executor.submit(_nothing) for _ in range(count)]:
            future.result()
        return count / (time.perf_counter() - begin)


def _nothing() -> None:
    pass


# -- pykka -----------------------------------------------------------------------------------------


class PykkaEcho(pykka.ThreadingActor):
    """Answers what it was asked."""

    def on_receive(self, message: int) -> int:
        """Answer."""
        return message


class PykkaCounter(pykka.ThreadingActor):
    """Says when the last message of a burst was handled."""

    def __init__(self, last: threading.Event) -> None:
        super().__init__()
        self._last = last

    def on_receive(self, left: int) -> None:
        """One of the burst."""
        if not left:
            self._last.set()


def pykka_tell_rate(burst: int) -> float:
    """Messages a second, from the first tell until all are handled."""
    last = threading.Event()
    ref = PykkaCounter.start(last)
    begin = time.perf_counter()
    for left in range(burst - 1, -1, -1):
        ref.tell(left)
    last.wait(PATIENCE)
    taken = time.perf_counter() - begin
    ref.stop()
    return burst / taken


def pykka_spawn(count: int) -> float:
    """Start and stop of one actor."""
    begin = time.perf_counter()
    for _ in range(count):
        PykkaEcho.start().stop()
    return (time.perf_counter() - begin) / count
