"""Some seeds of a scenario, in this process."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator

from benchmarks.simulation.plants import PLANTS

_planted: list[str] = []


def run_seeds(task: tuple[str, str | None, int, int]) -> tuple[int, list[tuple[int, str]]]:
    """Simulate some seeds: messages handled, and what was found."""
    what, plant, first, end = task
    logging.getLogger("understudy").setLevel(logging.CRITICAL + 1)
    if plant is not None and plant not in _planted:
        _planted.append(plant)
        PLANTS[plant].plant()
    scenario = importlib.import_module(f"benchmarks.simulation.{what}")
    handled, found = 0, []
    for seed in range(first, end):
        try:
            handled += scenario.simulate(seed).handled
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what was looked for
            found.append((seed, " | ".join(_sentences(error))))
            if plant is not None:
                break
    return handled, found


def _sentences(error: BaseException) -> Iterator[str]:
    yield f"{type(error).__name__}: {str(error)[:600]}"
    yield from getattr(error, "__notes__", ())
