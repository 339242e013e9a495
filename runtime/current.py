"""Which runtime runs something that does not say.

In this order: the one it is given; inside a handler, tool or step the one that called it; the
innermost `with` of this thread or task; the only one that is running in this process (two or more
are an error that names them); the process default, made when it is first needed.
"""

from __future__ import annotations

import weakref
from contextvars import ContextVar
from typing import TYPE_CHECKING

from understudy.actors.kernel.context import in_hand
from understudy.messages.errors import ConfigError

if TYPE_CHECKING:
    from understudy.runtime.runtime import Runtime

entered: ContextVar[Runtime | None] = ContextVar("understudy.runtime", default=None)
"""The runtime of the innermost `with` block here."""

running: weakref.WeakSet[Runtime] = weakref.WeakSet()
"""Every runtime of this process that has started and not stopped, the default one excepted."""

alive: weakref.WeakSet[Runtime] = weakref.WeakSet()
"""The same, with the default one: what a fork has to know."""


def current_runtime(given: Runtime | None = None) -> Runtime:
    """The runtime to use; see the module's docstring.

    Raises:
        ConfigError: several are running and nothing says which one is meant; or what is given is
            none.
    """
    if given is not None:
        if not hasattr(given, "is_running"):
            raise ConfigError(f"runtime={given!r}: give a Runtime, or leave it out")
        return given
    hand = in_hand.get()
    if hand is not None and hand.cell is not None:
        runtime: Runtime = hand.cell.system.runtime
        return runtime
    block = entered.get()
    if block is not None and block.is_running:
        return block
    others = [runtime for runtime in running if runtime.is_running]
    if len(others) == 1:
        return others[0]
    if others:
        names = ", ".join(sorted(runtime.name for runtime in others))
        msg = f"several runtimes are running ({names}): pass runtime=, or use rt.run(...)"
        raise ConfigError(msg)
    from understudy.runtime.default import default_runtime

    return default_runtime()
