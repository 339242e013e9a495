"""`PoolHandle`: a pool as users hold it, with verbs that wait in both spellings."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from queue import SimpleQueue
from typing import Any

from understudy.actors.kernel.errors import DeadlineExceededError
from understudy.actors.kernel.ref import Ref
from understudy.actors.kernel.reply import Reply
from understudy.messages.errors import ConfigError
from understudy.runtime.pool.keyed import KeyedPool
from understudy.runtime.pool.options import PoolStats
from understudy.runtime.pool.pool import Pool


class PoolHandle:
    """A pool of workers; see `Pool` for what it promises. Any thread.

    `submit` never blocks. `map`, `resize`, `drain` block the calling thread; their twins `amap`,
    `aresize`, `adrain` do not.
    """

    def __init__(self, pool: Pool | KeyedPool, window: int) -> None:
        self._pool = pool
        self._window = window

    @property
    def ref(self) -> Ref[Any]:  # Any: the pool is no actor of a class of yours
        """Its place in the tree: jobs may be told and asked there too."""
        return self._pool.ref

    def submit(self, job: Any, *, timeout: float | None = None) -> Reply[Any]:  # Any: yours
        """Queue a job; the Reply is the worker's answer. See `Pool.submit`."""
        return self._pool.submit(job, timeout=timeout)

    def submit_patiently(
        self,
        job: Any,  # Any: yours
        *,
        timeout: float | None = None,
        key: object = None,
    ) -> Reply[Any]:  # Any: the answer
        """As `submit`, but where the queue is full the job waits for a place in it, in order.

        Args:
            job: what the workers take.
            timeout: seconds for it, its wait included.
            key: in the place of what the key function of a keyed pool says.

        Raises:
            ConfigError: a key for a pool that has none.
        """
        if key is None:
            return self._pool.submit_patiently(job, timeout=timeout)
        if not isinstance(self._pool, KeyedPool):
            raise ConfigError(f"pool {self._pool.name!r} has no key=, so no job has a key in it")
        return self._pool.submit_patiently(job, timeout=timeout, key=key)

    def map(
        self,
        jobs: Iterable[Any],  # Any: yours
        *,
        ordered: bool = True,
        timeout: float | None = None,
    ) -> Iterator[Any]:  # Any: the workers' answers
        """The answers to many jobs, as an iterator; at most as many under way as the queue holds.

        Where others have filled the queue, its jobs wait for a place instead of being refused.

        Args:
            jobs: read as there is room.
            ordered: in the order of the jobs; else as they are completed.
            timeout: seconds for each.

        Raises:
            Exception: of the first job that fails, when its turn comes; the others are cancelled.
        """
        waiting: deque[Reply[Any]] = deque()
        done: SimpleQueue[Reply[Any]] = SimpleQueue()
        source = iter(jobs)
        try:
            while True:
                self._submit_some(source, waiting, timeout, None if ordered else done.put)
                if not waiting:
                    return
                reply = waiting[0] if ordered else done.get()
                yield reply.get()
                waiting.remove(reply)
        finally:
            for reply in waiting:
                reply.cancel()

    async def amap(
        self,
        jobs: Iterable[Any],  # Any: yours
        *,
        ordered: bool = True,
        timeout: float | None = None,
    ) -> AsyncIterator[Any]:  # Any: the workers' answers
        """The twin of `map`."""
        waiting: deque[Reply[Any]] = deque()
        done: asyncio.Queue[Reply[Any]] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def put(reply: Reply[Any]) -> None:
            loop.call_soon_threadsafe(done.put_nowait, reply)

        source = iter(jobs)
        try:
            while True:
                self._submit_some(source, waiting, timeout, None if ordered else put)
                if not waiting:
                    return
                reply = waiting[0] if ordered else await done.get()
                yield await reply
                waiting.remove(reply)
        finally:
            for reply in waiting:
                reply.cancel()

    def resize(self, size: int | tuple[int, int]) -> None:
        """Change the bounds; returns when the workers that the minimum asks for have started."""
        self._pool.resize(size)
        for reply in self._pool.fill():
            reply.get()

    async def aresize(self, size: int | tuple[int, int]) -> None:
        """The twin of `resize`."""
        self._pool.resize(size)
        for reply in self._pool.fill():
            await reply

    def drain(self, timeout: float | None = None) -> PoolStats:
        """Accept no more jobs, finish what was accepted, and end.

        Raises:
            DeadlineExceededError: not within `timeout` seconds; the drain goes on.
        """
        self._pool.resume()
        ended = self._pool.ref.stop()
        try:
            ended.get(timeout=timeout)
        except DeadlineExceededError:
            if ended.done:
                raise
            msg = f"{self._pool.ref.path} has not drained within {timeout} seconds"
            raise DeadlineExceededError(msg, actor=self._pool.ref.path) from None
        return self._pool.stats

    async def adrain(self, timeout: float | None = None) -> PoolStats:
        """The twin of `drain`."""
        self._pool.resume()
        try:
            async with asyncio.timeout(timeout) as time:
                await self._pool.ref.stop()
        except TimeoutError:
            if not time.expired():
                raise
            msg = f"{self._pool.ref.path} has not drained within {timeout} seconds"
            raise DeadlineExceededError(msg, actor=self._pool.ref.path) from None
        return self._pool.stats

    def pause(self) -> None:
        """Begin no more jobs; they are still accepted."""
        self._pool.pause()

    def resume(self) -> None:
        """Begin jobs again."""
        self._pool.resume()

    def replace(self, index: int) -> None:
        """End the worker at `index` after its job, and make a new one."""
        self._pool.replace(index)

    @property
    def workers(self) -> tuple[Ref[Any], ...]:  # Any: Ref of the worker's class
        """The workers there are."""
        return self._pool.workers

    @property
    def stats(self) -> PoolStats:
        """The pool at this instant."""
        return self._pool.stats

    def _submit_some(
        self,
        source: Iterator[Any],  # Any: yours
        waiting: deque[Reply[Any]],
        timeout: float | None,
        then: Any,  # Any: called with each Reply that is answered, or None
    ) -> None:
        while len(waiting) < self._window:
            try:
                job = next(source)
            except StopIteration:
                return
            reply = self._pool.submit_patiently(job, timeout=timeout)
            waiting.append(reply)
            if then is not None:
                reply.add_done_callback(then)


def check_key(key: object) -> None:
    """A key is a function of the job.

    Raises:
        ConfigError: it is not.
    """
    if key is not None and not callable(key):
        msg = f"key={key!r}: give a function of the job, such as lambda job: job.session"
        raise ConfigError(msg)
