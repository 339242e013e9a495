"""What a dispatcher is, and the slice of work that those without a loop share."""

from __future__ import annotations

from contextvars import Context
from threading import current_thread, main_thread
from typing import TYPE_CHECKING, Any, Protocol

from understudy.actors.kernel.context import in_hand
from understudy.actors.kernel.reply import CANCELLED, DONE, Reply
from understudy.messages.errors import RunCancelledError

if TYPE_CHECKING:
    from understudy.actors.kernel.cell import Cell
    from understudy.actors.kernel.ending import Ending
    from understudy.messages.envelope import Envelope

MESSAGES = 64
"""An actor hands over after this many messages ..."""
SECONDS = 0.005
"""... or after this many seconds, whichever comes first."""


class Dispatcher(Protocol):
    """Decides where and when an actor's handler runs."""

    on_loop: bool
    """True when handlers run on the event loop, so they may be `async`."""

    def hasten(self, reply: Reply[Any]) -> None:
        """Somebody is about to wait for `reply` on the loop: do now what can be done now."""
        ...

    def schedule(self, cell: Cell) -> None:
        """Run a slice of `cell` soon. Any thread; `cell` is not scheduled elsewhere."""
        ...


class Hand(Protocol):
    """Whatever runs a handler just now: a runner of the loop, or a thread."""

    def cancel(self, env: Envelope) -> None:
        """End the handler of `env` if it still runs and can be ended."""
        ...

    def cancel_hook(self, cell: Ending) -> None:
        """End `on_start` or `on_stop` of `cell` if that still runs and can be ended."""
        ...

    def abandon(self) -> None:
        """Its handler will not end: somebody else takes over its other work."""
        ...


def run_slice(cell: Cell, context: Context) -> bool:
    """Handle messages of `cell` on this thread; True when the slice is over and the cell is not.

    It runs in `context`, empty at first; a handler that sets a ContextVar in it ends the slice, and
    the caller takes a fresh one, so that no other message sees what it set.
    """
    now = cell.system.now
    cell.since = now()
    stop_at = cell.since + SECONDS
    left = MESSAGES
    env = cell.claim()
    while env is not None:
        token = in_hand.set(env)
        try:
            value = cell.receive(env.message) if env.lane else env.message()
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) and current_thread() is main_thread():
                cancelled = RunCancelledError(f"cancelled in {cell.path}")
                cell.finish(env, CANCELLED, cancelled, more=False)
                in_hand.reset(token)
                cell.dispatcher.schedule(cell)
                raise
            state, value = cell.failed_with(env, error)
        else:
            state = DONE
        in_hand.reset(token)
        left -= 1
        at = now()
        if left <= 0 or at >= stop_at or len(context):
            mine = cell.current is env or not env.lane  # else it was abandoned meanwhile
            cell.finish(env, state, value, more=False)
            return mine
        cell.since = at
        env = cell.finish(env, state, value)
    return False
