"""The pytest plugin: the `runtime` fixture, and an eye on the default runtime.

pytest loads it by its entry point, so it imports nothing of the library before a test needs it.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from understudy.runtime.runtime import Runtime

_MARKERS = (
    (
        "unquiet(failures=(), dead_letters=()): what the `runtime` fixture shall not complain "
        "about: types of handlers' errors, reasons of dead letters (see assert_quiet)"
    ),
    "default_runtime: this test may make understudy's process-wide default runtime",
)


def pytest_configure(config: pytest.Config) -> None:
    """Make the markers known."""
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)


@pytest.fixture
def runtime(request: pytest.FixtureRequest) -> Generator[Runtime, None, None]:
    """A runtime on a loop thread of its own; at the end it is stopped and must have been quiet.

    `@pytest.mark.unquiet(failures=(ValueError,), dead_letters=("killed",))` names what is expected.
    """
    from understudy.runtime.runtime import Runtime
    from understudy.testing.quiet import assert_quiet

    with Runtime(name=request.node.name) as rt:
        yield rt
    marker = request.node.get_closest_marker("unquiet")
    expected: dict[str, Any] = {} if marker is None else marker.kwargs  # Any: as assert_quiet takes
    assert_quiet(rt, **expected)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Fail a test that has made the default runtime by accident, and stop it."""
    had_one = _default_exists()
    result = yield
    if not had_one and _default_exists():
        from understudy.runtime.default import stop_default

        stop_default()
        if item.get_closest_marker("default_runtime") is None:
            pytest.fail(
                "this test ran something on the process-wide default runtime: pass runtime=, use "
                "the `runtime` fixture or `with Runtime()`, or mark it with default_runtime",
                pytrace=False,
            )
    return result


def _default_exists() -> bool:
    module = sys.modules.get("understudy.runtime.default")
    return module is not None and module.default_exists()
