"""The process default: for scripts and notebooks that make no Runtime of their own.

The one exception to "no globals, no atexit": one variable, made at the first run that finds no
other runtime, with one `atexit` hook registered then (cancel, 2 s). A program that makes its own
Runtime never gets it.
"""

from __future__ import annotations

import atexit
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from understudy.runtime.runtime import Runtime

_lock = threading.Lock()
_default: Runtime | None = None


def default_runtime() -> Runtime:
    """The default runtime, started."""
    global _default  # noqa: PLW0603 - the one global, see above
    from understudy.runtime.runtime import Runtime

    with _lock:
        if _default is None or not _default.is_running:  # also after a fork, in the child
            runtime = Runtime(name="default")
            runtime.start(default=True)
            if _default is None:
                atexit.register(stop_default)
            _default = runtime
        return _default


def default_exists() -> bool:
    """True when something has made the default runtime."""
    return _default is not None


def stop_default() -> None:
    """End the default runtime, if there is one: cancel, and wait at most 2 s."""
    global _default
    with _lock:
        runtime, _default = _default, None
    if runtime is not None and runtime.is_running:
        runtime.stop(timeout=2.0, drain=False)
