"""Two hundred seeds of each scenario, and bugs that are planted to see them being found.

Full counts: `python -m benchmarks.simulation --seeds 10000`.
"""

import importlib.util
import logging
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from understudy.testing import SimulationError

SEEDS = 200
FOLDER = Path(__file__).parents[2] / "benchmarks" / "simulation"


def _load(name: str) -> ModuleType:
    """A scenario, loaded by its path: the root is not on `sys.path`."""
    spec = importlib.util.spec_from_file_location(f"simulated_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PLANTS = _load("plants").PLANTS


@pytest.fixture(autouse=True)
def silence() -> Iterator[None]:
    """Thousands of failures happen on purpose: formatting their tracebacks takes the most time."""
    logger = logging.getLogger("understudy")
    level, logger.level = logger.level, logging.CRITICAL + 1
    logger.manager._clear_cache()  # type: ignore[attr-defined]
    yield
    logger.level = level
    logger.manager._clear_cache()  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["pool", "supervisor", "mailbox", "stage", "flows"])
def test_nothing_is_found_in_bad_weather(name: str) -> None:
    """Whatever crashes, is killed, resized, cancelled or late: every promise holds."""
    scenario = _load(name)
    seeds = 300 if name == "flows" else SEEDS
    handled = sum(scenario.simulate(seed).handled for seed in range(seeds))
    assert handled > 10 * seeds


@pytest.mark.parametrize("name", sorted(PLANTS))
def test_a_planted_bug_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one guard reverted, one of the first thousand seeds finds something."""
    plant = PLANTS[name]
    scenario = _load(plant.scenario)
    broken = plant.broken(getattr(plant.owner, plant.method))
    monkeypatch.setattr(plant.owner, plant.method, broken)
    monkeypatch.setattr("understudy.actors.kernel.dispatchers.sim_loop.STILL", 2000)
    found = next(filter(None, (_outcome(scenario, seed) for seed in range(1000))), None)
    assert isinstance(found, AssertionError | SimulationError | ExceptionGroup)


def _outcome(scenario: ModuleType, seed: int) -> Exception | None:
    try:
        scenario.simulate(seed)
    except Exception as error:  # noqa: BLE001 - whatever it is, it was looked for
        return error
    return None


@pytest.mark.parametrize("name", ["pool", "stage"])
def test_the_scenarios_replay(name: str) -> None:
    """A seed that found something would find it again."""
    scenario = _load(name)
    for seed in range(20):
        assert scenario.simulate(seed).trace_digest == scenario.simulate(seed).trace_digest
