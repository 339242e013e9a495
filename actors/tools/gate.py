"""Slots of a tool, or of several: how many calls there may be at a time.

Who comes first goes first. Nested work never waits for a slot that an ancestor holds: a call that
happens inside of another one with these slots is lent that one's slot. The one who holds a slot
lends it to one at a time, so the bound is exact for the calls that really work (ancestors only
wait).

Runs on the loop's thread alone, so nothing is locked.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from understudy.actors.kernel.system import ActorSystem


class Gate:
    """See the module's docstring.

    Args:
        system: whose clock ends the waiting.
        size: slots.
    """

    __slots__ = ("_free", "_system", "_waiting", "root")

    def __init__(self, system: ActorSystem, size: int, root: Gate | None = None) -> None:
        self._system = system
        self._free = size
        self._waiting: deque[asyncio.Future[bool]] = deque()
        self.root: Gate = self if root is None else root

    async def enter(self, held: tuple[Any, ...], patience: float) -> Lease | None:
        """Wait for a slot, `patience` seconds at most; None when there was none.

        Args:
            held: the leases of the calls around this one.
            patience: seconds.
        """
        for lease in reversed(held):
            if isinstance(lease, Lease) and lease.gate.root is self.root:
                return await lease.lent(self._system)._enter(patience)  # noqa: SLF001 - a Gate too
        return await self._enter(patience)

    async def _enter(self, patience: float) -> Lease | None:
        if self._free > 0:  # then nobody waits
            self._free -= 1
            return Lease(self)
        turn: asyncio.Future[bool] = self._system.loop.create_future()
        self._waiting.append(turn)
        try:
            if await within(self._system, turn, patience):
                return Lease(self)
        except BaseException:
            if turn.done() and not turn.cancelled() and turn.result():
                self.leave()  # it was given a slot and is cancelled in the same turn
            raise
        return None  # its turn is done, and `leave` passes over it

    def leave(self) -> None:
        """Give a slot back: to the one who has waited longest."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(True)
                return
        self._free += 1


class Lease:
    """A slot that somebody holds."""

    __slots__ = ("_lent", "gate")

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self._lent: Gate | None = None

    def lent(self, system: ActorSystem) -> Gate:
        """The gate for the calls inside this one: its own slot."""
        if self._lent is None:
            self._lent = Gate(system, 1, self.gate.root)
        return self._lent


async def within(system: ActorSystem, turn: asyncio.Future[bool], seconds: float) -> bool:
    """What `turn` is set to; False when it is not set within `seconds`."""
    if seconds == float("inf"):
        return await turn

    def ring() -> None:
        if not turn.done():
            turn.set_result(False)

    later = system.after(seconds, ring)
    try:
        return await turn
    finally:
        later.cancel()


async def pause(system: ActorSystem, seconds: float) -> None:
    """Let time pass, by the runtime's clock."""
    turn: asyncio.Future[bool] = system.loop.create_future()
    await within(system, turn, seconds)
