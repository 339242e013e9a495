"""A keyed pool: jobs of one key go to one worker, in order.

Each place of the pool is a pool of one worker with its own queue; a consistent hash ring says which
key belongs to which place. So a worker may keep what belongs to its keys (a session, a connection),
one key's jobs are done one after the other, and a resize moves only the keys that it has to. A key
moves when none of its jobs is left where it was: until then what comes goes there too, so that the
order holds, and a place that is to go stays for as long as it has such keys.
"""

from __future__ import annotations

import bisect
import hashlib
import threading
from collections import Counter
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
        self._lock = threading.Lock()
        self._held: dict[str, list[Any]] = {}  # by key: its place, and the jobs unanswered there
        self._load: Counter[Pool] = Counter()
        self.resize(options.size)

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.ref.cell.name)

    def submit(self, job: Any, *, timeout: float | None = None) -> Reply[Any]:  # Any: the user's
        """Queue a job at the place of its key; see `Pool.submit`."""
        return self._send(job, lambda place: place.submit(job, timeout=timeout))

    def submit_patiently(
        self,
        job: Any,  # Any: the user's
        *,
        timeout: float | None = None,
        key: object = None,
    ) -> Reply[Any]:  # Any: the answer
        """See `Pool.submit_patiently`; a `key` is taken instead of asking the key function."""
        return self._send(job, lambda place: place.submit_patiently(job, timeout=timeout), key)

    def _send(
        self,
        job: Any,  # Any: the user's
        submit: Callable[[Pool], Reply[Any]],
        given: object = None,
    ) -> Reply[Any]:  # Any: the answer
        key = str(self._key(job) if given is None else given)
        with self._lock:
            held = self._held.get(key)
            if held is None:
                held = self._held[key] = [self.place_of(key), 0]
            held[1] += 1
            self._load[held[0]] += 1
        try:
            reply = submit(held[0])
        except BaseException:
            self._answered(key)
            raise
        reply.add_done_callback(lambda _: self._answered(key))
        return reply

    def _answered(self, key: str) -> None:
        """A job is done: with the last one of its key, the key may move."""
        with self._lock:
            held = self._held[key]
            held[1] -= 1
            if not held[1]:
                del self._held[key]
            place = held[0]
            self._load[place] -= 1
            empty = not self._load[place]
            if empty:
                del self._load[place]
            over = empty and place in self._leaving
        if over:
            place.ref.stop()

    def place_of(self, key: Any) -> Pool:  # Any: the user's keys
        """The pool of one worker to which `key` belongs, once no earlier job holds it elsewhere."""
        ring = self._ring
        at = bisect.bisect(ring, (_hash(str(key)), -1)) % len(ring)
        return self._places[ring[at][1]]

    def fill(self) -> list[Reply[Ref[Any]]]:  # Any: Ref of the worker's class
        """See `Pool.fill`."""
        return [reply for place in self._places for reply in place.fill()]

    def resize(self, size: int | tuple[int, int]) -> None:
        """Have this many places (the maximum of a range); jobs of those that go are still done."""
        wanted = PoolOptions(size=size_of(size)).size[1]
        one = msgspec.structs.replace(self._options, size=(1, 1))
        ring = sorted(
            (_hash(f"{number}/{point}"), number)
            for number in range(wanted)
            for point in range(POINTS)
        )
        with self._lock:
            gone = self._places[wanted:]
            del self._places[wanted:]
            self._leaving = [each for each in self._leaving if each.ref.is_alive()] + gone
            while len(self._places) < wanted:
                name = f"{len(self._places)}" if not self._leaving else f"{self._fresh()}"
                place = Pool(self._system, name, self._worker, one, parent=self.ref.cell)
                self._places.append(place)
            self._ring = ring
            empty = [each for each in gone if not self._load[each]]
        for each in empty:
            each.ref.stop()

    def pause(self) -> None:
        """See `Pool.pause`."""
        for place in (*self._places, *self._leaving):
            place.pause()

    def resume(self) -> None:
        """See `Pool.resume`."""
        for place in (*self._places, *self._leaving):
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
