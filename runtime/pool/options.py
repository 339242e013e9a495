"""What a pool may be told, and what it says about itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import msgspec

from understudy.actors.rules.breaker import BreakerPolicy
from understudy.messages.control import Ledger
from understudy.messages.errors import ConfigError
from understudy.messages.workflows import Effects

MAX_CRASHES = 3
"""A job that crashed this many workers is poison: it is quarantined."""
BREAKER = BreakerPolicy(min_calls=5)
"""Fewer than for calls: the backoff lets one worker of a small pool crash eight times in 20 s."""
IDLE = 30.0
"""Seconds after which a worker above the minimum that has nothing to do is let go."""


class PoolOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a pool works.

    Attributes:
        size: workers, at least and at most.
        queue: jobs that may wait.
        overflow: at that bound a job is refused, or its sender waits.
        retries: how often a job is done again that has failed or lost its worker.
        effects: what jobs do outside; `at_most_once` is never done again.
        timeout: seconds for a job, its time in the queue included.
        again: the job to do instead of one whose worker was lost, or None; overrules the above.
    """

    size: tuple[int, int]
    queue: int = 1000
    overflow: Literal["reject", "wait"] = "reject"
    retries: int = 0
    effects: Effects | None = None
    timeout: float | None = None
    again: Callable[[Any], Any] | None = None  # Any: the user's jobs

    def __post_init__(self) -> None:
        least, most = self.size
        if not 0 <= least <= most or most < 1:
            msg = f"size={self.size}: give (min, max) with 0 <= min <= max and max >= 1"
            raise ConfigError(msg)
        if self.queue < 1:
            msg = f"queue={self.queue}: at least 1 job must be able to wait"
            raise ConfigError(msg)
        if self.retries < 0:
            msg = f"retries={self.retries}: 0 or more"
            raise ConfigError(msg)
        if self.effects == "at_most_once" and self.retries:
            msg = "effects='at_most_once' and retries= contradict each other; leave one out"
            raise ConfigError(msg)
        if self.timeout is not None and self.timeout <= 0:
            msg = f"timeout={self.timeout}: more than 0 seconds"
            raise ConfigError(msg)

    def following(self, job: Any, attempts: int, *, lost: bool) -> Any:  # Any: the user's jobs
        """The job to do instead of one that came to nothing; None when it may not be done again.

        Args:
            job: what was begun `attempts` times.
            attempts: counted when it was claimed.
            lost: its worker was lost with it; else it has failed by itself.
        """
        if self.again is not None:
            return self.again(job) if lost else None
        if self.effects == "at_most_once":
            return None
        if lost and self.effects is not None:
            return job if attempts < MAX_CRASHES else None
        return job if attempts <= self.retries else None


class PoolStats(msgspec.Struct, frozen=True, kw_only=True):
    """A pool at one instant.

    Attributes:
        workers, idle: how many there are, and how many of them have nothing to do.
        queued, waiting: jobs in the queue, and senders that wait for a place in it.
        done, failed: jobs answered with a value, and with an error.
        retried: how often a job was begun again.
        quarantined: jobs given up because they crashed too many workers.
        crashes: workers lost.
        breaker: `open` while workers crash so often that no new ones are made.
    """

    name: str
    size: tuple[int, int]
    workers: int
    idle: int
    queued: int
    waiting: int
    done: int
    failed: int
    retried: int
    quarantined: int
    crashes: int
    paused: bool
    breaker: Literal["closed", "open", "half_open"]


def size_of(size: int | tuple[int, int]) -> tuple[int, int]:
    """`(min, max)` for a size, which may be one number."""
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def stats_of(ledger: Ledger, **rest: Any) -> PoolStats:  # Any: the other fields
    """Statistics of a pool whose jobs stand in `ledger`."""
    unanswered = ledger.expired + ledger.cancelled + ledger.dropped
    return PoolStats(
        queued=ledger.queued, done=ledger.handled, failed=ledger.failed + unanswered, **rest
    )
