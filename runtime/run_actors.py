"""The run actors that are free: a run takes one, and afterwards it comes back.

So a run of a workflow costs no spawn. One whose run was ended from outside does not come back: what
it still gets to hear belongs to a run that nobody waits for, and it ends with that.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from understudy.actors.kernel.options import child
from understudy.actors.kernel.ref import INFINITE, Ref
from understudy.actors.kernel.reply import Reply
from understudy.messages.control import ActorState
from understudy.messages.workflows import RunWorkflow
from understudy.runtime.executor import RunActor

if TYPE_CHECKING:
    from understudy.runtime.crew import Crew

KEPT = 256
"""Free ones that are kept; more than that end."""


class RunActors:
    """See the module's docstring. Any thread."""

    def __init__(self, crew: Crew) -> None:
        self._system = crew.system
        self._spec = child(RunActor, crew, self._release).options(restart="temporary")
        self._free: list[Ref[RunActor]] = []

    def run(self, message: RunWorkflow) -> tuple[Reply[Any], Ref[RunActor]]:  # Any: the result
        """Begin a run in the name of the message in hand."""
        ref = self._take()
        reply = ref.request(message, timeout=INFINITE)
        reply.add_done_callback(partial(_ended, ref))
        return reply, ref

    def _take(self) -> Ref[RunActor]:
        while True:
            try:
                ref = self._free.pop()
            except IndexError:
                return self._system.spawn(self._spec).get()
            if ref.state == ActorState.RUNNING:
                return ref

    def _release(self, ref: Ref[RunActor]) -> None:
        """The actor says itself that its run is over."""
        if len(self._free) < KEPT:
            self._free.append(ref)
        else:
            ref.stop(drain=False)


def _ended(ref: Ref[RunActor], reply: Reply[Any]) -> None:  # Any: the result
    if reply.cancelled:
        ref.stop(drain=False)
