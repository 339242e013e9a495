"""After a fork: the child says so instead of hanging.

Threads and the loop do not survive a fork, so a runtime that was running in the parent is dead in
the child. There every one of its actors is ended, and whoever asks is told. (A hook of the
interpreter, registered with the first runtime of a process.)
"""

from __future__ import annotations

import os
from _thread import allocate_lock
from typing import TYPE_CHECKING

from understudy.messages.errors import RuntimeStoppedError

if TYPE_CHECKING:
    import weakref

    from understudy.actors.kernel.system import ActorSystem
    from understudy.runtime.runtime import Runtime

_registered = False


def watch_forks(alive: weakref.WeakSet[Runtime]) -> None:
    """Have the runtimes in `alive` ended in every child that is forked from now on."""
    global _registered  # noqa: PLW0603 - a hook cannot be removed, so it is registered once
    if _registered or not hasattr(os, "register_at_fork"):
        return
    _registered = True
    os.register_at_fork(after_in_child=lambda: _end_all(alive))


def _end_all(alive: weakref.WeakSet[Runtime]) -> None:
    for runtime in list(alive):
        if runtime.is_running:
            end_in_child(runtime.system, runtime.name)


def end_in_child(system: ActorSystem, name: str) -> None:
    """End all actors of a runtime whose threads are in another process."""
    error = RuntimeStoppedError(
        f"runtime {name!r} was running when this process was forked from another; its threads are "
        "there. Start a Runtime after the fork, or use the 'spawn' start method"
    )
    system.loop_thread = 0
    for cell in system.cells():
        cell.lock = allocate_lock()  # whoever held it is in the other process
    system.lose(error)
