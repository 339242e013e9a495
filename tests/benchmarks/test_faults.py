"""A thousand requests with faults; `python -m benchmarks.faults` makes any number of them."""

import importlib.util
import logging
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

pytestmark = pytest.mark.anyio


@pytest.fixture
def faults() -> Iterator[ModuleType]:
    """The benchmark, loaded by its path: the root is not on `sys.path`."""
    path = Path(__file__).parents[2] / "benchmarks" / "faults.py"
    spec = importlib.util.spec_from_file_location("faults", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    level = logging.getLogger("understudy").level
    logging.getLogger("understudy").setLevel(logging.CRITICAL)
    yield module
    logging.getLogger("understudy").setLevel(level)


async def test_a_thousand_requests_with_faults(faults: ModuleType) -> None:
    """Each ends as its fault says, or by what befell another; none hangs, nothing is left."""
    figures = await faults.measure(1000, workers=256)
    assert figures.left_over == []
    assert [end for end in figures.ends if end.startswith(("wrong", "hang"))] == []
    assert sum(figures.ends.values()) == 1000
    assert figures.ends["right"] > 900
    assert len(figures.faults) > 10
