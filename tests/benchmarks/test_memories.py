"""What `benchmarks.memories` measures, smaller: two of its figures do not depend on the machine."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def bench() -> Iterator[ModuleType]:
    """The benchmark, loaded by its path: the root is not on `sys.path`."""
    path = Path(__file__).parents[2] / "benchmarks" / "memories.py"
    spec = importlib.util.spec_from_file_location("memories_bench", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["memories_bench"] = module  # its structs look up their annotations there
    spec.loader.exec_module(module)
    yield module
    del sys.modules["memories_bench"]


@pytest.mark.parametrize("measure", ["tokens", "crossings"])
async def test_fewer_tokens_and_no_crossings(bench: ModuleType, measure: str) -> None:
    """What does not depend on the machine is reached."""
    rows = await getattr(bench, measure)(quick=True)
    assert rows
    assert all(row.reached for row in rows)


@pytest.mark.parametrize("measure", ["overhead", "finding"])
async def test_costs_are_measured(bench: ModuleType, measure: str) -> None:
    """Every row has a figure; what it is depends on the machine."""
    rows = await getattr(bench, measure)(quick=True)
    assert len(rows) == 2
    assert all(str(row).startswith("| ") and row.measured for row in rows)
