"""What a load test asks for: how many agents, how many requests, when each of them is due.

Closed loop: each agent asks again when it has its answer. What is slow then slows down the asking
too, so a stall is one slow request for each agent and hides all those that would have come
meanwhile (coordinated omission). Open loop (`rate`): requests are due on a schedule whether or not
the ones before are answered, and wait for an agent that is free.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import msgspec

from understudy.actors.rules.arrivals import Pace, arrivals
from understudy.messages.errors import ConfigError

MOST = 10_000_000
"""Requests of one test: beyond it something was mistyped."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One load test.

    Attributes:
        agents: requests under way at a time, at most.
        requests: of each agent; None: as many as the duration holds.
        rate: requests a second, of all agents together; None: closed loop.
        duration: seconds in which requests are begun; None: until all requests are made.
        pace, seed: of the open loop; see `arrivals`.

    Raises:
        ConfigError: a number makes no sense, or nothing says when it ends.
    """

    agents: int = 100
    requests: int | None = None
    rate: float | None = None
    duration: float | None = None
    pace: Pace = "even"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("agents", "requests", "rate", "duration"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise ConfigError(f"{name}={value}: more than 0")
        if self.requests is None and self.duration is None:
            raise ConfigError("a load test ends after its requests or its duration: give one")
        most = self.total
        if most is not None and most > MOST:
            raise ConfigError(f"{most:,} requests: a load test makes at most {MOST:,}")

    @property
    def total(self) -> int | None:
        """Requests in all, at most; None where only the answers' speed decides."""
        counts: list[int] = []
        if self.requests is not None:
            counts.append(self.agents * self.requests)
        if self.rate is not None and self.duration is not None:
            counts.append(max(1, round(self.rate * self.duration)))
        return min(counts, default=None)

    def schedule(self) -> Iterator[float]:
        """When each request of an open loop is due, in seconds from the start.

        Raises:
            ConfigError: it is a closed loop.
        """
        if self.rate is None:
            raise ConfigError("a closed loop has no schedule: give a rate")
        due = arrivals(self.rate, self.pace, seed=self.seed)
        if self.requests is not None:
            due = itertools.islice(due, self.agents * self.requests)
        if self.duration is not None:
            end = self.duration
            due = itertools.takewhile(lambda at: at < end, due)
        return due
