"""A supervisor: a group of children that is kept alive together.

Children are specifications, started left to right and stopped right to left. When one fails, the
strategy says which of them begin a new life (`strategy.py`); they keep their Refs and their queued
messages. How often is counted per child (`intensity` failures in `period` seconds), or for the
whole group if `total_intensity` is given. Beyond that, a child of `one_for_one` is parked unless
it is significant; otherwise the supervisor itself fails, which ends the group and is its own
supervisor's matter. Supervisors nest: a child may be `child(Supervisor, [...], strategy=...)`.

Restarting waits for nobody in a handler: standing down, the backoff and standing up are messages to
oneself, so the supervisor goes on serving watch and stop meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from understudy.actors.kernel.actor import Actor, as_child
from understudy.actors.kernel.options import ChildSpec
from understudy.actors.kernel.ref import Ref
from understudy.actors.kernel.reply import Reply
from understudy.actors.rules.restarts import RestartHistory, RestartPolicy
from understudy.messages.errors import ConfigError
from understudy.runtime.strategy import Strategy, check_strategy, concerned

if TYPE_CHECKING:
    from understudy.actors.kernel.cell import Cell


class WhichChildren(msgspec.Struct, frozen=True):
    """Ask a supervisor for its children; the reply is their Refs, in the order of their start."""


class Supervisor(Actor):
    """See the module's docstring.

    Args:
        children: classes or `child(...)` specifications.
        strategy: `one_for_one`, `one_for_all` or `rest_for_one`.
        intensity, period: failures of one child within that many seconds that are tolerated.
        total_intensity: failures of all children together within `period`, if that is bounded.
    """

    supervises = True

    def __init__(
        self,
        children: Sequence[ChildSpec | type[Actor]],
        *,
        strategy: Strategy = "one_for_one",
        intensity: int = 5,
        period: float = 30.0,
        total_intensity: int | None = None,
    ) -> None:
        self._strategy = check_strategy(strategy)
        self._specs = [as_child(spec) for spec in children]
        names = [spec.name for spec in self._specs if spec.name is not None]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            msg = f"two children are named {twice[0]!r}; names must differ"
            raise ConfigError(msg)
        if intensity < 0 or period <= 0:
            msg = f"intensity={intensity}, period={period}: 0 failures or more in more than 0 s"
            raise ConfigError(msg)
        self._policy = RestartPolicy(intensity=intensity, period=period)
        self._total = (
            None
            if total_intensity is None
            else RestartPolicy(intensity=total_intensity, period=period)
        )
        self._total_history = RestartHistory()
        self._refs: list[Ref[Any]] = []
        self._waiting: dict[int, BaseException] = {}
        self._busy = False

    async def on_start(self) -> None:
        """Start the children left to right; the first that cannot start is this one's failure."""
        for spec in self._specs:
            self._refs.append(await self.spawn(spec))

    async def on_receive(self, message: WhichChildren) -> tuple[Ref[Any], ...]:
        """Answer `WhichChildren`."""
        del message
        return tuple(ref for ref in self._refs if ref.is_alive())

    def child_failed(self, cell: Cell, error: BaseException) -> None:
        """A child has failed and waits: restart whom it concerns, park it, or fail."""
        if self._busy:  # one restart at a time; this child is among those that stand up, or is next
            self._waiting[id(cell)] = error
            return
        system = self._cell.system
        if cell.restarts is None:
            cell.restarts = RestartHistory()
        now, draw = system.now(), system.random.random()
        delay = cell.restarts.delay(self._policy, now, draw)
        if self._total is not None and self._total_history.delay(self._total, now, draw) is None:
            self._cell.fail_with(error)
            return
        if delay is None:
            self._too_often(cell, error)
            return
        if self._strategy == "one_for_one":  # nobody else is concerned, so nobody waits for it
            self._wait([cell], delay)
            return
        living = [ref.cell for ref in self._refs if ref.is_alive()]
        group = concerned(self._strategy, living, cell)
        others = [each for each in group if each is not cell]
        self._busy = True
        self._stand_down(others, partial(self._wait, group, delay))

    def _too_often(self, cell: Cell, error: BaseException) -> None:
        if self._strategy == "one_for_one" and not cell.spec.significant:
            cell.post_system(cell.park)
        else:
            self._cell.fail_with(error)

    def _stand_down(self, cells: list[Cell], then: Any) -> None:  # Any: what comes after
        """Right to left, one after the other."""
        if not cells:
            then()
            return
        *left, last = cells
        last.stand_down(lambda: self._cell.post_system(partial(self._stand_down, left, then)))

    def _wait(self, group: list[Cell], delay: float) -> None:
        life = self._cell.incarnation

        def stand_up() -> None:
            self._cell.post_system(partial(self._stand_up, group, life))

        self._cell.system.after(max(0.0, delay), stand_up)

    def _stand_up(self, cells: list[Cell], life: int) -> None:
        """Left to right, one after the other; one that fails again is a new failure."""
        if self._cell.stopping or self._cell.incarnation != life:
            return
        if not cells:
            self._busy = False
            for cell in [ref.cell for ref in self._refs]:
                if self._busy:
                    return  # the others are next
                error = self._waiting.pop(id(cell), None)
                if error is not None and cell.state == "restarting":
                    self.child_failed(cell, error)
            return
        first, *rest = cells

        def stood_up(reply: Reply[Any]) -> None:
            if reply.outcome().error is None or first.stopping:
                self._cell.post_system(partial(self._stand_up, rest, life))
            else:
                self._cell.post_system(partial(self._stand_up, [], life))

        first.stand_up().add_done_callback(stood_up)
