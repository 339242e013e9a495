"""The scenes of `benchmarks.limits`, smaller: in virtual time, so their figures are facts."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def stage() -> Iterator[ModuleType]:
    """The scenes, loaded by their path: the root is not on `sys.path`."""
    path = Path(__file__).parents[2] / "benchmarks" / "limits_stage.py"
    spec = importlib.util.spec_from_file_location("limits_stage", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["limits_stage"] = module  # its structs look up their annotations there
    spec.loader.exec_module(module)
    yield module
    del sys.modules["limits_stage"]


@pytest.mark.parametrize("up_front", [False, True])
def test_a_crowd_uses_what_there_is_and_no_more(stage: ModuleType, *, up_front: bool) -> None:
    """200 callers use their share of the tokens, and the provider has to refuse nobody."""
    used = stage.crowd(requests=10_000, tokens=200_000, up_front=up_front, minutes=1.0)
    assert used.tokens >= 0.95
    assert used.limited <= 0.001


def test_quiet_sessions_get_as_much_as_loud_ones(stage: ModuleType) -> None:
    """With a hundred times the demand on the other side."""
    assert stage.fairness(sessions=20, minutes=1.0) >= 0.98


@pytest.mark.parametrize("silent", [False, True])
def test_a_minute_without_the_provider(stage: ModuleType, *, silent: bool) -> None:
    """Everybody is answered in time, retries multiply nothing, and it is over when it is over."""
    found = stage.blackout(callers=60, silent=silent)
    assert found.late <= 0.1
    assert found.back <= 10
    assert found.extra <= 0.3, "few callers: the ten retries to begin with weigh more"
