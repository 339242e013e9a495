"""Faults at random: which, how often, and the same ones again for the same seed."""

from __future__ import annotations

import difflib
import itertools
import random
from bisect import bisect
from collections.abc import Iterable, Mapping
from typing import cast

from understudy.messages.errors import ConfigError
from understudy.testing.provider_server.faults import NAMED, Fault


class FaultMix:
    """Draws a fault, or none, for each request.

    Args:
        rates: the share of requests that a fault befalls, by its name in `NAMED` (`all` stands for
            each that is not named itself), or pairs of a fault of your own and its rate.
        seed: the n-th request of a server meets the same fault whenever the seed is the same.

    Raises:
        ConfigError: a name that is unknown, a rate that is no share, or more than 1 in sum.
    """

    def __init__(
        self, rates: dict[str, float] | Iterable[tuple[Fault, float]], *, seed: int = 0
    ) -> None:
        named = cast("dict[str, float]", rates) if isinstance(rates, dict) else None
        pairs = list(
            cast("Iterable[tuple[Fault, float]]", rates) if named is None else _named(named)
        )
        for fault, rate in pairs:
            if not 0 <= rate <= 1:
                raise ConfigError(f"the rate of {fault} is {rate}: give a share from 0 to 1")
        self._faults = [fault for fault, _ in pairs]
        self._bounds = list(itertools.accumulate(rate for _, rate in pairs))
        if self._bounds and self._bounds[-1] > 1 + 1e-9:
            raise ConfigError(f"the rates of the faults add up to {self._bounds[-1]:g}, over 1")
        self._random = random.Random(seed)

    def draw(self) -> Fault | None:
        """The fault of the next request."""
        place = bisect(self._bounds, self._random.random())
        return self._faults[place] if place < len(self._faults) else None


def parse_rates(text: str) -> dict[str, float]:
    """Rates as the command line spells them: `reset=0.01,status-503=0.02`.

    Raises:
        ConfigError: it is not spelled so, or a name is unknown.
    """
    rates: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, separator, rate = part.partition("=")
        try:
            rates[name.strip()] = float(rate)
        except ValueError:
            said = "is no number" if separator else "is missing"
            raise ConfigError(f"faults: the rate of {name!r} {said}; write {name}=0.01") from None
    list(_named(rates))
    return rates


def _named(rates: Mapping[str, float]) -> Iterable[tuple[Fault, float]]:
    for name in rates:
        if name not in NAMED and name != "all":
            near = difflib.get_close_matches(name, NAMED, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ConfigError(f"no fault is called {name!r}: {hint}known are {', '.join(NAMED)}")
    for name, fault in NAMED.items():
        rate = rates.get(name, rates.get("all", 0.0))
        if rate:
            yield fault, rate
