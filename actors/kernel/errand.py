"""An errand: background work that a runner of the loop does, as it does handlers.

A task for each coroutine in the background costs two turns of the loop, which is most of what an
answer of an actor costs that works in the background (see `LoopDispatcher`). To its dispatcher an
errand looks like an actor with one message in hand: it is taken from the same queue, its first step
is taken by hand, and it is awaited by a runner only if it suspends. What it carries and how it ends
is as for any background work. A handler that has set context variables is the exception: its work
gets a task, with a copy of that context.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from understudy.actors.kernel.context import in_hand
from understudy.actors.kernel.deferred import Background, Deferred
from understudy.actors.kernel.reply import CANCELLED, DONE, FAILED, PENDING
from understudy.messages.control import Outcome
from understudy.messages.envelope import Envelope
from understudy.messages.errors import OverloadedError, RunCancelledError

if TYPE_CHECKING:
    from understudy.actors.kernel.cell import Cell
    from understudy.actors.kernel.dispatchers.base import Hand

Work = Coroutine[Any, Any, Any]  # Any: what coroutines yield and give


class Errand(Background):
    """See the module's docstring. The public names are those of a `Cell` that runners use."""

    __slots__ = ("_work", "current", "runner", "since", "system")

    is_async = True
    system_lane = None

    def __init__(self, cell: Cell, env: Envelope, then: Callable[[Outcome], Any]) -> None:
        super().__init__(cell, env, then)
        self.system = cell.system
        self.runner: Hand | None = None
        self.current: Envelope | None = None
        self.since = 0.0

    def begin(self, work: Work) -> None:
        """Have it done soon; any thread."""
        if len(copy_context()) > 1:
            super().begin(work)
            return
        self._work = work
        loop: Any = self.system.dispatchers["loop"]  # Any: it takes an errand for a cell
        loop.run_errand(self)

    @property
    def path(self) -> str:
        """Of the actor whose work it is."""
        return self._cell.path

    # -- what a runner asks of a cell ------------------------------------------------------------

    def claim(self) -> Envelope | None:
        """The one thing to do, unless nobody wants it any more."""
        background = self._cell.background
        if background is None or id(self) not in background:
            self._work.close()  # its life ended before it began
            return None
        if self._cancelled:
            self._work.close()
            self._finish(Outcome(error=self._error()))
            return None
        return self._env

    def receive(self, message: Any) -> Work:  # Any: the message it was begun for
        """The work itself."""
        del message
        return self._work if type(self._work) is CoroutineType else _awaited(self._work)

    def failed_with(self, env: Envelope, error: BaseException) -> tuple[int, BaseException]:
        """A cancel is told apart from an error."""
        del env
        if isinstance(error, asyncio.CancelledError):
            return CANCELLED, self._error()
        return FAILED, error

    def finish(
        self,
        env: Envelope,
        state: int,
        value: Any,  # Any: what it gave, or the error
        more: bool = True,  # noqa: FBT001, FBT002 - as for cells
    ) -> None:
        """It is over: tell the actor."""
        del env, more
        self._finish(Outcome(value=value) if state == DONE else Outcome(error=value))

    def holds(self, env: Envelope) -> bool:
        """There is nothing to go on with afterwards."""
        del env
        return False

    def _was_cancelled(self, env: Envelope) -> bool:
        del env
        return self._cancelled

    # -- ending it -------------------------------------------------------------------------------

    def _cancel(self) -> None:
        if self.runner is not None:
            self._cancelled = True
            self.runner.cancel(self._env)
        else:
            super()._cancel()

    def _error(self) -> RunCancelledError:
        return RunCancelledError(f"cancelled in {self.path}")


def background(
    cell: Cell,
    work: Work,
    then: Callable[[Outcome], Any],
    bound: int,
    of: Deferred | None = None,
) -> None:
    """See `Actor.background`."""
    try:
        hand = in_hand.get() if of is None else of.envelope
        if cell.background is None:
            cell.background = {}
        if len(cell.background) >= bound:
            msg = f"{cell.path} already runs {bound} background coroutines (max_outstanding)"
            raise OverloadedError(msg, actor=cell.path)
    except BaseException:
        work.close()
        raise
    # A copy without the reply: whatever the coroutine sends belongs to the same scope.
    env = (
        Envelope(None, cell=cell)
        if hand is None
        else Envelope(hand.message, hand.deadline, hand.origin, hand.scope, None, cell)
    )
    loop: Any = cell.system.dispatchers["loop"]  # Any: one that runs errands, or another
    errands = getattr(loop, "runs_errands", False)
    job: Background = (Errand if errands else Background)(cell, env, then)
    cell.background[id(job)] = job
    if env.scope is not None:
        if PENDING < env.scope._state < CANCELLED:
            env.scope = None  # answered: nothing of it can be cancelled any more
        else:
            env.scope.adopt(job)
    job.begin(work)


async def _awaited(work: Work) -> Any:  # Any: whatever it gives
    """A coroutine of some other make, as one that a runner can step."""
    return await work
