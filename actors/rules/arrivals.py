"""When requests are due that do not wait for each other: pure schedules of an open loop.

A schedule is seconds from the start, in order, without an end. Each is reckoned from its number and
not from the one before, so that an even pace does not drift by what is lost in rounding.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from typing import Literal

from understudy.messages.errors import ConfigError

Pace = Literal["even", "poisson"]


def arrivals(rate: float, pace: Pace = "even", *, seed: int = 0) -> Iterator[float]:
    """When each request is due.

    Args:
        rate: requests a second.
        pace: `even`, or `poisson`: at random, as those of people who know nothing of each other.
        seed: of the random ones.

    Raises:
        ConfigError: `rate` is no number above 0.
    """
    if not 0 < rate < float("inf"):
        raise ConfigError(f"rate={rate}: give requests a second, more than 0")
    if pace == "even":
        return (number / rate for number in itertools.count())
    draw = random.Random(seed)
    return itertools.accumulate((draw.expovariate(rate) for _ in itertools.count()), initial=0.0)
