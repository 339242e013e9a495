"""The dispatcher of a simulation: the loop dispatcher, with what comes next drawn from a seed.

Everything else is production code: runners, slices, hand-overs, answers had in haste. Two things
are drawn for each simulation as a whole, so that different seeds are different weather and not only
different dice: how long a slice lasts (from one message to 64), and how ready actors are chosen (at
random, mostly the last or mostly the first that became ready).

How long a slice lasts is measured in work here, because virtual time stands still meanwhile.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from understudy.actors.kernel.dispatchers.base import SECONDS
from understudy.actors.kernel.dispatchers.loop import LoopDispatcher

if TYPE_CHECKING:
    from random import Random

    from understudy.actors.kernel.cell import Cell
    from understudy.actors.kernel.dispatchers.sim_loop import SimLoop
    from understudy.actors.kernel.reply import Reply

MESSAGES = (1, 2, 4, 16, 128)
"""Messages in a slice, about; one of these for a simulation."""
HASTE = (0.0, 0.5, 1.0)
"""How often an answer is had without a turn of the loop; one of these for a simulation."""


def stream(seed: int, purpose: str) -> Random:
    """Random numbers for one purpose: drawing more for one leaves the others as they are.

    Seeded with a text, which Python hashes the same in every process.
    """
    return random.Random(f"understudy/{seed}/{purpose}")


class SimDispatcher(LoopDispatcher):
    """See the module's docstring.

    Args:
        loop: the simulation's.
        thread: ident of the thread it runs on.
        rng: draws.
    """

    def __init__(self, loop: SimLoop, thread: int, rng: Random) -> None:
        super().__init__(loop, thread, self._work)
        self.ready = Drawn(rng)  # type: ignore[assignment] # what runners use of a deque
        self._rng = rng
        self._step = SECONDS / rng.choice(MESSAGES)
        self._haste = rng.choice(HASTE)
        self._worked = 0.0

    def run_errand(self, errand: Any) -> None:  # Any: an Errand, which passes for a Cell
        """See `LoopDispatcher.run_errand`: here, what is next is drawn among all that is ready."""
        self.schedule(errand)

    def hasten(self, reply: Reply[Any]) -> None:
        """See `LoopDispatcher.hasten`: sometimes."""
        if self._rng.random() < self._haste:
            super().hasten(reply)

    def _work(self) -> float:
        """Something was done: the time it would have taken."""
        self._worked += self._step
        return self._worked


class Drawn:
    """The ready actors, in the order in which they became ready; which one is taken is drawn."""

    __slots__ = ("_cells", "_choose", "_chosen")

    def __init__(self, rng: Random) -> None:
        draw = rng.random
        choices: tuple[Callable[[int], int], ...] = (
            lambda count: int(draw() * count),
            lambda count: int(draw() * count),
            lambda count: count - 1 - int(draw() ** 4 * count),
            lambda count: int(draw() ** 4 * count),
        )
        self._choose = rng.choice(choices)
        self._cells: list[Cell] = []
        self._chosen = -1

    def append(self, cell: Cell) -> None:
        """`cell` is ready."""
        self._cells.append(cell)

    def popleft(self) -> Cell:
        """Take the one that is next."""
        cell = self[0]
        del self._cells[self._chosen]
        self._chosen = -1
        return cell

    def __getitem__(self, index: int) -> Cell:
        """The one that is next (`index` is 0), without taking it."""
        if self._chosen < 0:
            self._chosen = self._choose(len(self._cells)) + index
        return self._cells[self._chosen]

    def __len__(self) -> int:
        return len(self._cells)
