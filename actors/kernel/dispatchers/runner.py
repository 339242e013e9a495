"""A runner: one asyncio task that is reused for one handler after another.

It takes ready actors from the dispatcher's queue, works through a slice of each, awaits the
handler that suspends (meanwhile another runner serves the queue) and parks when nothing is ready.
A parked one may be lent: somebody else on the loop's thread takes the first steps of a handler in
its name, and it goes on from there if the handler suspends.

Assumes that everything here happens on the loop's thread.
"""

from __future__ import annotations

import asyncio
import threading
from asyncio import Future
from contextvars import Context
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from understudy.actors.kernel.context import in_hand
from understudy.actors.kernel.dispatchers.base import MESSAGES, SECONDS
from understudy.actors.kernel.dispatchers.steps import resume, turn
from understudy.actors.kernel.reply import CANCELLED, DONE
from understudy.messages.envelope import Envelope
from understudy.messages.errors import RunCancelledError

if TYPE_CHECKING:
    from understudy.actors.kernel.cell import Cell
    from understudy.actors.kernel.dispatchers.loop import LoopDispatcher


class Runner:
    """One reused task. See the module's docstring."""

    __slots__ = (
        "cancelling",
        "closing",
        "context",
        "coroutine",
        "dispatcher",
        "held",
        "parked",
        "suspended",
        "task",
        "waits_on",
    )

    def __init__(self, dispatcher: LoopDispatcher) -> None:
        self.dispatcher = dispatcher
        self.context = Context()
        self.task: asyncio.Task[None] | None = None
        self.parked: Future[None] | None = None
        self.held: Envelope | None = None
        """The message whose handler has suspended; what follows is about that."""
        self.suspended: Any = None  # Any: a Cell, or an Errand: whose handler it is
        self.coroutine: Any = None  # Any: what handlers yield and return
        self.waits_on: Any = None  # Any: the future that it waits for, until that is waited for
        self.cancelling: Envelope | None = None
        self.closing = False

    def __call__(self, task: asyncio.Task[None]) -> None:
        """Its task is done; one that was cancelled before its first step never got to say so."""
        del task
        if self in self.dispatcher.runners:
            self.dispatcher.retire(self)

    async def main(self) -> None:  # noqa: C901 - a level less to wait through
        """Work while there is work, park, and so on."""
        dispatcher = self.dispatcher
        ready, now = dispatcher.ready, dispatcher.now
        thrown: BaseException | None = None
        try:
            while not self.closing:
                until = now() + SECONDS
                lent = self.held is not None  # what it was lent to is no part of a slice
                while self.held is not None or (ready and not self.closing):
                    if self.held is None:
                        cell = ready.popleft()
                        if cell.is_async or cell.system_lane:
                            self.run(cell, cell.claim(), until)
                        elif dispatcher.serve(cell):
                            ready.append(cell)
                    while (env := self.held) is not None:
                        cell, state = self.suspended, DONE
                        try:
                            value = await resume(self.coroutine, self._step_aside(), thrown)
                        except BaseException as error:
                            self._let_go(cell)
                            if self._is_foreign(error):
                                self._abort(cell, env)
                                raise
                            state, value = cell.failed_with(env, error)
                        else:
                            self._let_go(cell)
                        thrown = None
                        self._go_on(cell, env, state, value, until)
                        del value
                    if ready and not lent and now() >= until:
                        await turn()
                        until = now() + SECONDS
                    lent = False
                # A handler may have closed it meanwhile, which mypy cannot see.
                if self.closing or len(dispatcher.idle) >= dispatcher.kept:  # type: ignore[redundant-expr]
                    return
                thrown = await self._park()
        finally:
            dispatcher.retire(self)

    def run(self, cell: Cell, env: Envelope | None, until: float) -> bool:
        """Handle messages of one actor from `env` on; True when a handler suspended (`held`)."""
        now = self.dispatcher.now
        left = MESSAGES
        self.dispatcher.cell = cell
        cell.since = now()
        while env is not None:
            in_hand.set(env)
            state = DONE
            try:
                value = cell.receive(env.message) if env.lane else env.message()
                if type(value) is CoroutineType and (cell.is_async or not env.lane):
                    try:
                        waits_on = value.send(None)
                    except StopIteration as stop:
                        value = stop.value
                    else:
                        self.held, self.suspended = env, cell
                        self.coroutine, self.waits_on = value, waits_on
                        cell.runner = self
                        self.dispatcher.cell = None
                        if cell._was_cancelled(env):  # in its first step, in nobody's hand
                            self.cancel(env)
                        return True
            except BaseException as error:
                if self._is_foreign(error):
                    self._abort(cell, env)
                    raise
                state, value = cell.failed_with(env, error)
            left -= 1
            at = cell.since = now()
            if left <= 0 or at >= until or len(self.context) != 1:
                self._hand_over(cell, env, state, value)
                return False
            env = cell.finish(env, state, value)
        self.dispatcher.cell = None
        return False

    def _step_aside(self) -> Any:  # Any: see `waits_on`
        """Let another runner go on with what is ready; gives what the handler waits for."""
        dispatcher = self.dispatcher
        dispatcher.awake -= 1
        if dispatcher.ready and not dispatcher.awake:
            dispatcher.rouse()
        waits_on, self.waits_on = self.waits_on, None
        return waits_on

    def _go_on(
        self,
        cell: Cell,
        env: Envelope,
        state: int,
        value: Any,  # Any: the answer, or the error
        until: float,
    ) -> None:
        """A handler that had suspended has ended: finish its message, go on with its actor."""
        if self.cancelling is not None:
            self.cancelling = None
            self.task.uncancel()  # type: ignore[union-attr]
        if self.task.cancelling():  # type: ignore[union-attr]
            self.closing = True  # somebody wants this task to end, and a handler has kept it quiet
        if len(self.context) != 1 or self.closing:
            self._hand_over(cell, env, state, value)
        else:
            self.run(cell, cell.finish(env, state, value), until)

    async def _park(self) -> BaseException | None:
        """Wait for work; what was thrown at a handler that this runner was lent to meanwhile."""
        dispatcher = self.dispatcher
        self.parked = Future(loop=dispatcher.loop)
        dispatcher.awake -= 1
        dispatcher.idle.append(self)
        try:
            await self.parked
        except asyncio.CancelledError as error:
            if self.held is not None:
                return error
            if self in dispatcher.idle:  # else it was roused in the same turn: `awake` is right
                dispatcher.idle.remove(self)
                dispatcher.awake += 1
            if not self.closing:
                raise
        finally:
            self.parked = None
        return None

    def _let_go(self, cell: Cell) -> None:
        self.dispatcher.awake += 1
        self.held = self.suspended = self.coroutine = None
        if cell.runner is self:
            cell.runner = None

    def rouse(self) -> None:
        """Go on, unless a handler that it was lent to has cancelled it meanwhile: then it does."""
        if self.parked is not None and not self.parked.done():
            self.parked.set_result(None)

    def abandon(self) -> None:
        """See `Hand`: nothing to do, another runner has taken over when the handler suspended."""

    def cancel(self, env: Envelope) -> None:
        """Cancel the handler of `env` if it still runs (on the loop's thread)."""
        if self.held is env and self.cancelling is None:
            self.cancelling = env
            self.task.cancel()  # type: ignore[union-attr]

    def _hand_over(self, cell: Cell, env: Envelope, state: int, value: Any) -> None:
        """The slice is over: finish this message, and leave the rest of the mailbox for later."""
        if len(self.context) != 1:
            self.closing = True  # a handler has changed the context: the next one must not see it
        mine = cell.holds(env)  # else it was abandoned meanwhile
        cell.finish(env, state, value, more=False)
        if mine:
            self.dispatcher.ready.append(cell)

    def _is_foreign(self, error: BaseException) -> bool:
        """Told apart by who asked: somebody else cancelled our task, or Ctrl-C in the main one."""
        if isinstance(error, KeyboardInterrupt):
            return threading.current_thread() is threading.main_thread()
        if not isinstance(error, asyncio.CancelledError) or self.task is None:
            return False
        return self.task.cancelling() > (0 if self.cancelling is None else 1)

    def _abort(self, cell: Cell, env: Envelope) -> None:
        """This runner ends in the middle of `env`: answer it, and let the actor go on elsewhere."""
        self._hand_over(cell, env, CANCELLED, RunCancelledError(f"cancelled in {cell.path}"))
