"""Calls, as a model makes them, and modules that can be imported."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from understudy import ToolCall

Call = Callable[..., ToolCall]


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


@pytest.fixture
def functions() -> Any:  # Any: a module that only the import path of these tests has
    """Tools that other processes can import."""
    return importlib.import_module("tool_functions")


@pytest.fixture
def call() -> Call:
    """Makes a call: `call("add", a=1)`."""

    def make(name: str, /, call_id: str = "1", **arguments: Any) -> ToolCall:
        return ToolCall(id=call_id, name=name, arguments=arguments)

    return make
