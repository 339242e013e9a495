"""The pools that do the steps of all runs.

A pool for what runs on the loop and one for what blocks a thread, with workers made as needed and
reused; a step that finds no place waits, it never fails for that.

Nested work never waits for a worker that its ancestor holds. A step whose target is a workflow
holds none. But a step's own function may begin a run and wait for it; so the steps of that run are
done by pools of their own, one pair for each depth, made when first needed. At each depth the
bounds hold, and who waits there waits for a deeper one only.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import msgspec

from understudy.actors.kernel.options import ChildSpec, child
from understudy.messages.agents import AgentSpec
from understudy.messages.workflows import RunStep
from understudy.runtime.pool.options import PoolOptions
from understudy.runtime.pool.pool import Pool
from understudy.runtime.workers import LoopWorker, thread_worker

if TYPE_CHECKING:
    from understudy.runtime.crew import Crew

MAX_ATTEMPTS = 3
"""How often a step is begun whose workers are lost, before it fails."""


class StepPools:
    """See the module's docstring. Any thread.

    Args:
        crew: whose runs they serve.
        workers, threads: bounds of the workers on the loop and on threads, at each depth.
    """

    def __init__(self, crew: Crew, workers: int, threads: int) -> None:
        self._crew = crew
        self._sizes = (workers, threads)
        self._lock = threading.Lock()
        self._pairs: list[tuple[Pool, Pool]] = []
        self._at(0)

    def at(self, depth: int) -> tuple[Pool, Pool]:
        """The pools on the loop and on threads for the steps of a run of this depth."""
        pairs = self._pairs
        return pairs[depth] if depth < len(pairs) else self._at(depth)

    def resize(self, workers: int, threads: int) -> None:
        """Other bounds from now on; busy workers above them end after their step."""
        with self._lock:
            self._sizes = (workers, threads)
            pairs = list(self._pairs)
        for on_loop, on_threads in pairs:
            on_loop.resize((0, workers))
            on_threads.resize((0, threads))

    @property
    def pools(self) -> list[Pool]:
        """All that have been made."""
        return [pool for pair in self._pairs for pool in pair]

    def _at(self, depth: int) -> tuple[Pool, Pool]:
        with self._lock:
            while len(self._pairs) <= depth:
                number = len(self._pairs)
                mark = f"-{number}" if number else ""
                workers, threads = self._sizes
                on_loop = self._pool(f"steps{mark}", child(LoopWorker, self._crew, _again), workers)
                blocking = child(thread_worker(f"steps{mark}"))
                on_threads = self._pool(f"blocking-steps{mark}", blocking, threads)
                self._pairs.append((on_loop, on_threads))
        return self._pairs[depth]

    def _pool(self, name: str, worker: ChildSpec, size: int) -> Pool:
        options = PoolOptions(size=(0, size), overflow="wait", again=_again)
        system = self._crew.system
        return Pool(system, name, worker, options, parent=system.infrastructure)


def _again(message: RunStep) -> RunStep | None:
    """A step whose worker was lost: only what may happen twice is begun again."""
    idempotent = message.effects in ("none", "idempotent")
    if message.effects is None and isinstance(message.target, AgentSpec):
        idempotent = not message.target.tools  # an agent without tools changes nothing
    if not idempotent or message.attempt >= MAX_ATTEMPTS:
        return None
    return msgspec.structs.replace(message, attempt=message.attempt + 1)
