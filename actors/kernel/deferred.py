"""Answers given later, and work beside the handlers.

An actor that serves many callers never awaits slow work in its handler, because the next message
would wait. `defer` takes the answer of the message in hand out of the handler; `background` runs a
coroutine whose outcome comes back as a message. Both belong to one incarnation and are bounded,
both carry the deadline and the cancellation of the message they come from, and a deferred message
stays `running` in the ledger until it is answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from understudy.actors.kernel.context import in_hand
from understudy.actors.kernel.reply import DONE, FAILED
from understudy.actors.kernel.timers import Conditional
from understudy.messages.control import Outcome
from understudy.messages.envelope import Envelope, Lane
from understudy.messages.errors import OverloadedError, RunCancelledError, UnderstudyError

if TYPE_CHECKING:
    from understudy.actors.kernel.cell import Cell


class Deferred:
    """The answer to one message, to be given from any handler of the actor (or any thread).

    Answering twice, or after the actor's life has ended, changes nothing: it is a dead letter.
    """

    __slots__ = ("_cell", "_env")

    def __init__(self, cell: Cell, env: Envelope) -> None:
        self._cell = cell
        self._env = env

    @property
    def envelope(self) -> Envelope:
        """The message whose answer this is, with its deadline and origin."""
        return self._env

    @property
    def done(self) -> bool:
        """True when there is nobody left to answer."""
        deferred = self._cell.deferred
        return deferred is None or id(self._env) not in deferred

    def set(self, value: Any = None) -> None:  # Any: the answer
        """Answer."""
        self._cell.settle_deferred(self._env, DONE, value)

    def set_exception(self, error: BaseException) -> None:
        """Answer with an error."""
        self._cell.settle_deferred(self._env, FAILED, error)


class Result(Conditional):
    """A message to the life that has asked for it, and to no later one."""

    __slots__ = ("_cell", "_life", "message")

    def __init__(self, cell: Cell, life: int, message: Any) -> None:  # Any: user message
        self._cell = cell
        self._life = life
        self.message = message

    def take(self) -> Any:  # Any: user message
        """See `Conditional`."""
        return self.message if self._cell.incarnation == self._life else None


class Background:
    """A coroutine owned by one incarnation of an actor."""

    __slots__ = ("_cancelled", "_cell", "_env", "_life", "_scope", "_task", "_then")

    def __init__(self, cell: Cell, env: Envelope, then: Callable[[Outcome], Any]) -> None:
        self._cell = cell
        self._env = env
        self._then = then
        self._life = cell.incarnation
        self._scope = env.scope
        self._task: asyncio.Task[Any] | None = None
        self._cancelled = False

    def begin(self, work: Coroutine[Any, Any, Any]) -> None:
        """Have it done soon; any thread."""
        self._cell.system.call_on_loop(lambda: self._start(work))

    def _start(self, work: Coroutine[Any, Any, Any]) -> None:
        if self._cell.background is None or id(self) not in self._cell.background:
            work.close()  # its life ended before it began
            return
        if self._cancelled:
            work.close()
            self._finish(Outcome(error=RunCancelledError(f"cancelled in {self._cell.path}")))
            return
        self._task = asyncio.get_running_loop().create_task(self._run(work))
        self._task.add_done_callback(lambda task: self._never_begun(task, work))

    def _never_begun(self, task: asyncio.Task[Any], work: Coroutine[Any, Any, Any]) -> None:
        """A task that is cancelled before its first step never gets to say so itself."""
        if task.cancelled():
            work.close()
            self._finish(Outcome(error=RunCancelledError(f"cancelled in {self._cell.path}")))

    def cancel(self, *, expired: bool = False) -> bool:
        """End it; its outcome is a `RunCancelledError` message if the actor still lives."""
        del expired  # the outcome is the same
        self._cell.system.call_on_loop(self._cancel)
        return True

    def _cancel(self) -> None:
        self._cancelled = True
        if self._task is not None:
            self._task.cancel()

    async def _run(self, work: Coroutine[Any, Any, Any]) -> None:
        in_hand.set(self._env)
        try:
            outcome = Outcome(value=await work)
        except asyncio.CancelledError:
            outcome = Outcome(error=RunCancelledError(f"cancelled in {self._cell.path}"))
        except BaseException as error:
            outcome = Outcome(error=error)
        self._finish(outcome)

    def _finish(self, outcome: Outcome) -> None:
        cell = self._cell
        if self._scope is not None:
            self._scope.disown(self)
        if cell.background is None or cell.background.pop(id(self), None) is None:
            return  # its life has ended: nobody is interested
        env = self._env
        try:
            message = self._then(outcome)
        except BaseException as error:
            failure = error
            cell.post_system(lambda: cell.fail_with(failure))
            return
        if message is None:
            return
        if not cell.dispatcher.on_loop:  # its thread may begin another life at this very moment
            message = Result(cell, self._life, message)
        cell.post(Envelope(message, env.deadline, env.origin, env.scope, None, cell, Lane.ANSWER))


def defer(cell: Cell, bound: int) -> Deferred:
    """See `Actor.defer`."""
    env = _hand(cell, "defer")
    with cell.lock:
        cell.fold_locked()
        if cell.deferred is None:
            cell.deferred = {}
        if cell.stashed and cell.stashed[-1] is env:
            msg = f"{cell.path} has stashed this message, and cannot defer its answer"
            raise UnderstudyError(msg, actor=cell.path)
        if id(env) in cell.deferred:
            return Deferred(cell, env)
        if len(cell.deferred) >= bound:
            msg = f"{cell.path} already owes {bound} deferred answers (max_outstanding)"
            raise OverloadedError(msg, actor=cell.path)
        cell.deferred[id(env)] = env
        if env.reply is not None:
            env.reply.debt = id(env)
    return Deferred(cell, env)


def _hand(cell: Cell, verb: str) -> Envelope:
    env = in_hand.get()
    if env is None or env.cell is not cell or cell.current is not env:
        msg = f"{verb}() needs a message in hand: call it in on_receive of {cell.path}"
        raise UnderstudyError(msg)
    return env
