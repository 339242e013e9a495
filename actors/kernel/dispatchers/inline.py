"""The inline dispatcher: everything on the thread of whoever sends, at once. For tests.

A message is handled before `tell` returns, unless a handler further up this very stack is at work:
then it waits for that one's end, as it would in a mailbox anywhere. So the order of events is that
of the program, without a loop, a thread or a clock. An `async` handler may be used as long as it
never really waits; one that does is refused with a clear error.
"""

from __future__ import annotations

from collections import deque
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from understudy.actors.kernel.context import in_hand
from understudy.actors.kernel.reply import DONE, Reply
from understudy.messages.errors import UnderstudyError

if TYPE_CHECKING:
    from understudy.actors.kernel.cell import Cell


class InlineDispatcher:
    """See the module's docstring. One thread only."""

    on_loop = True

    def __init__(self) -> None:
        self.hands: Any = self  # Any: see `Dispatcher`
        self._ready: deque[Cell] = deque()
        self._at_work = False

    def take_back(self, cell: Cell) -> bool:
        """See `Dispatcher.take_back`: nobody here waits for a thread."""
        del cell
        return False

    def hasten(self, reply: Reply[Any]) -> None:
        """See `Dispatcher.hasten`: everything is done already."""

    def schedule(self, cell: Cell) -> None:
        """Handle everything that is ready, unless that is being done further up the stack."""
        self._ready.append(cell)
        if self._at_work:
            return
        self._at_work = True
        try:
            while self._ready:
                self._serve(self._ready.popleft())
        finally:
            self._at_work = False

    def _serve(self, cell: Cell) -> None:
        env = cell.claim()
        while env is not None:
            token = in_hand.set(env)
            state = DONE
            try:
                value = cell.receive(env.message) if env.lane else env.message()
                if type(value) is CoroutineType:
                    value = _finish(value, cell)
            except BaseException as error:
                state, value = cell.failed_with(env, error)
            in_hand.reset(token)
            env = cell.finish(env, state, value)


def _finish(coroutine: CoroutineType[Any, Any, Any], cell: Cell) -> Any:  # Any: the answer
    """The value of a coroutine that does not wait."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    coroutine.close()
    msg = f"{cell.path} waits in its handler; an inline dispatcher has nothing to wait with"
    raise UnderstudyError(msg, actor=cell.path)
