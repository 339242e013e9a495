"""How many processes may be starting at a time.

A start is 50 ms of pure CPU: a pool of sixteen that starts all at once is ready no sooner, and
takes the machine from everybody else meanwhile. One gate for each actor system, as many places as
there are CPUs; it goes with its system.
"""

from __future__ import annotations

import asyncio
import os
from weakref import WeakKeyDictionary

from understudy.actors.kernel.system import ActorSystem

_gates: WeakKeyDictionary[ActorSystem, asyncio.Semaphore] = WeakKeyDictionary()


def start_gate(system: ActorSystem) -> asyncio.Semaphore:
    """The gate of `system`, to be held with `async with` during a start (on its loop)."""
    gate = _gates.get(system)
    if gate is None:
        gate = _gates[system] = asyncio.Semaphore(max(1, os.cpu_count() or 1))
    return gate
