"""The floors: the same work with nothing but asyncio. Each does it `count` times."""

from __future__ import annotations

import asyncio
import contextlib

CROWD = 100
WORKERS = 8
BATCH = 500
"""Jobs that are waited for together: fewer than a pool's queue holds."""
_Work = tuple[int, "asyncio.Future[int]"]


async def requests(count: int, *, askers: int = 1) -> None:
    """Round trips over an `asyncio.Queue`, with a future for each answer."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[_Work] = asyncio.Queue()

    async def ask() -> None:
        for _ in range(count // askers):
            reply: asyncio.Future[int] = loop.create_future()
            queue.put_nowait((1, reply))
            await reply

    task = loop.create_task(_serve(queue))
    await asyncio.gather(*(ask() for _ in range(askers)))
    await _end([task])


async def jobs(count: int) -> None:
    """Batches put into a queue that several tasks serve, each awaited to its end."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[_Work] = asyncio.Queue()
    tasks = [loop.create_task(_serve(queue)) for _ in range(WORKERS)]
    for begin in range(0, count, BATCH):
        size = min(BATCH, count - begin)
        replies: list[asyncio.Future[int]] = [loop.create_future() for _ in range(size)]
        for reply in replies:
            queue.put_nowait((1, reply))
        for reply in replies:
            await reply
    await _end(tasks)


async def chunks(count: int) -> None:
    """Texts from one task to another, through a queue of a hundred."""
    queue: asyncio.Queue[str | None] = asyncio.Queue(100)

    async def produce() -> None:
        for _ in range(count):
            await queue.put("word ")
        await queue.put(None)

    task = asyncio.get_running_loop().create_task(produce())
    while await queue.get() is not None:
        pass
    await task


async def nothing() -> None:
    """A step that does nothing."""


async def in_parallel(count: int) -> None:
    """Three tasks at a time."""
    for _ in range(count):
        await asyncio.gather(nothing(), nothing(), nothing())


async def in_sequence(count: int) -> None:
    """Three tasks, each made when the one before has ended."""
    loop = asyncio.get_running_loop()
    for _ in range(count):
        for _ in range(3):
            await loop.create_task(nothing())


async def _serve(queue: asyncio.Queue[_Work]) -> None:
    while True:
        message, reply = await queue.get()
        if not reply.done():  # whoever asked was interrupted
            reply.set_result(message)


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    for task in tasks:
        with contextlib.suppress(asyncio.CancelledError):
            await task
