"""A keyed pool: jobs of one key go to one worker, in order.

Each place of the pool is a pool of one worker with its own queue; a consistent hash ring says which
key belongs to which place. So a worker may keep what belongs to its keys (a session, a connection),
one key's jobs are done one after the other, and a resize moves only the keys that it has to.
"""

from __future__ import annotations

import bisect
import hashlib
from collections.abc import Callable
from typing import Any

import msgspec

from understudy.actors.kernel.cell import Cell
from understudy.actors.kernel.options import ChildSpec
from understudy.actors.kernel.ref import Ref
from understudy.actors.kernel.reply import Reply
from understudy.actors.kernel.system import ActorSystem, Guardian
from understudy.messages.errors import UnderstudyError
from understudy.runtime.pool.options import PoolOptions, PoolStats, size_of
from understudy.runtime.pool.pool import Pool

POINTS = 64
"""Places on the ring for each worker: the more, the more evenly keys are spread."""


class KeyedPool:
    """See the module's docstring; the same verbs as `Pool`. Any thread.

    Args:
        key: the key of a job; anything with a stable `str()`.
    """

    def __init__(
        self,
        system: ActorSystem,
        name: str,
        worker: ChildSpec,
        options: PoolOptions,
        key: Callable[[Any], Any],  # Any: the user's jobs and keys
        *,
        parent: Cell | None = None,
    ) -> None:
        self._system = system
        self._worker = worker
        self._options = options
        self._key = key
        spec = ChildSpec(cls=Guardian, name=name)
        self.ref: Ref[Any] = system.spawn(spec, parent=parent).get()
        self._places: list[Pool] = []
        self._leaving: list[Pool] = []
        self._ring: list[tuple[int, int]] = []
        self.resize(options.size)

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.ref.cell.name)

    def submit(self, job: Any, *, timeout: float | None = None) -> Reply[Any]:  # Any: the user's
        """Queue a job at the place of its key; see `Pool.submit`."""
        return self.place_of(self._key(job)).submit(job, timeout=timeout)

    def place_of(self, key: Any) -> Pool:  # Any: the user's keys
        """The pool of one worker that serves `key`."""
        ring = self._ring
        at = bisect.bisect(ring, (_hash(str(key)), -1)) % len(ring)
        return self._places[ring[at][1]]

    def fill(self) -> list[Reply[Ref[Any]]]:  # Any: Ref of the worker's class
        """See `Pool.fill`."""
        return [reply for place in self._places for reply in place.fill()]

    def resize(self, size: int | tuple[int, int]) -> None:
        """Have this many places (the maximum of a range); jobs of those that go are still done."""
        wanted = PoolOptions(size=size_of(size)).size[1]
        while len(self._places) > wanted:
            gone = self._places.pop()
            gone.ref.stop()
            self._leaving.append(gone)
        one = msgspec.structs.replace(self._options, size=(1, 1))
        while len(self._places) < wanted:
            name = f"{len(self._places)}" if not self._leaving else f"{self._fresh()}"
            self._places.append(Pool(self._system, name, self._worker, one, parent=self.ref.cell))
        self._ring = sorted(
            (_hash(f"{number}/{point}"), number)
            for number in range(wanted)
            for point in range(POINTS)
        )

    def pause(self) -> None:
        """See `Pool.pause`."""
        for place in self._places:
            place.pause()

    def resume(self) -> None:
        """See `Pool.resume`."""
        for place in self._places:
            place.resume()

    def replace(self, index: int) -> None:
        """See `Pool.replace`."""
        if not 0 <= index < len(self._places):
            msg = f"{self.ref.path} has {len(self._places)} workers; there is none at {index}"
            raise UnderstudyError(msg)
        self._places[index].replace(0)

    @property
    def workers(self) -> tuple[Ref[Any], ...]:  # Any: Ref of the worker's class
        """See `Pool.workers`."""
        return tuple(ref for place in self._places for ref in place.workers)

    @property
    def stats(self) -> PoolStats:
        """The sum over all places."""
        every = [place.stats for place in self._places]
        order = ("closed", "half_open", "open")

        def total(field: str) -> int:
            return sum(getattr(stats, field) for stats in every)

        return PoolStats(
            name=self.name,
            size=(len(every), len(every)),
            workers=total("workers"),
            idle=total("idle"),
            queued=total("queued"),
            waiting=total("waiting"),
            done=total("done"),
            failed=total("failed"),
            retried=total("retried"),
            quarantined=total("quarantined"),
            crashes=total("crashes"),
            paused=all(stats.paused for stats in every),
            breaker=max((stats.breaker for stats in every), key=order.index),
        )

    def _fresh(self) -> int:
        """A number that no place has, nor one that is still leaving."""
        taken = {int(pool.name) for pool in (*self._places, *self._leaving) if pool.ref.is_alive()}
        return next(number for number in range(len(taken) + 1) if number not in taken)


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())
