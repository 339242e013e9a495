"""The troupe: agent actors that are free, and the bound on how many run.

A run takes a free actor, or a new one; afterwards the actor comes back. So an agent run costs no
spawn, and the number of actors is the largest number of runs that there ever was at a time.
"""

from __future__ import annotations

from typing import Any

from understudy.actors.agents.agent import AgentActor
from understudy.actors.agents.ports import Models
from understudy.actors.kernel.options import ChildSpec, MailboxOptions
from understudy.actors.kernel.ref import Ref
from understudy.actors.kernel.system import ActorSystem, Guardian
from understudy.messages.errors import OverloadedError


class Troupe:
    """Lends agent actors, up to `max_runs` at a time. Any thread."""

    def __init__(self, system: ActorSystem, models: Models, max_runs: int) -> None:
        self._system = system
        self._max_runs = max_runs
        branch = ChildSpec(cls=Guardian, name="agents")
        self._branch = system.spawn(branch, parent=system.infrastructure).get()
        self._spec = ChildSpec(
            cls=AgentActor, args=(models, self.release), mailbox=MailboxOptions(capacity=2)
        )
        self._free: list[Ref[Any]] = []  # Any: Ref of AgentActor
        self._made = 0

    def take(self) -> Ref[Any]:  # Any: Ref of AgentActor
        """A free actor, for one run; it releases itself.

        Raises:
            OverloadedError: `max_runs` runs are under way.
        """
        while True:
            try:
                ref = self._free.pop()
            except IndexError:
                break
            if ref.is_alive():
                return ref
            self._made -= 1
        if self._made >= self._max_runs:
            msg = f"{self._max_runs} agent runs are under way (max_runs); wait for some, or raise it"
            raise OverloadedError(msg)
        self._made += 1
        return self._system.spawn(self._spec, parent=self._branch._cell).get()

    def release(self, ref: Ref[Any]) -> None:  # Any: Ref of AgentActor
        """The actor is free again."""
        self._free.append(ref)
