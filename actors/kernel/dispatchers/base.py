"""What a dispatcher is, and the slice of work that those without a loop share."""

from __future__ import annotations

from contextvars import Context
from threading import current_thread, main_thread
from typing import TYPE_CHECKING, Any, Protocol

from understudy.actors.kernel.context import in_hand
from understudy.actors.kernel.reply import CANCELLED, DONE, Reply
from understudy.messages.errors import RunCancelledError

if TYPE_CHECKING:
    from understudy.actors.kernel.batch import Batch
    from understudy.actors.kernel.cell import Cell
    from understudy.messages.envelope import Envelope

MESSAGES = 64
"""An actor hands over after this many messages ..."""
SECONDS = 0.005
"""... or after this many seconds, whichever comes first."""


class Dispatcher(Protocol):
    """Decides where and when an actor's handler runs."""

    on_loop: bool
    """True when handlers run on the event loop, so they may be `async`."""

    hands: Any  # Any: a Dispatcher
    """Whose threads the messages of its actors are handled on: its own, but for a pool's queue."""

    def take_back(self, cell: Cell) -> bool:
        """Whether `cell` was waiting for a thread, which it is not any more: the caller has it."""
        ...

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

    def abandon(self) -> None:
        """Its handler will not end: somebody else takes over its other work."""
        ...


def run_slice(cell: Cell, context: Context) -> bool:
    """Handle messages of `cell` on this thread; True when the slice is over and the cell is not.

    It runs in `context`, empty at first; a handler that sets a ContextVar in it ends the slice, and
    the caller takes a fresh one, so that no other message sees what it set. On a loop, where hooks
    may be coroutines, the kernel's own operations are left to a runner.
    """
    now = cell.system.now
    cell.since = now()
    stop_at = cell.since + SECONDS
    batch = cell.claim_batch()
    if batch is not None:
        return _run_batch(cell, batch, context, stop_at)
    left = MESSAGES
    env = cell.claim()
    while env is not None:
        if not env.lane and cell.dispatcher.on_loop:
            cell.give_back(env)
            return True
        token = in_hand.set(env)
        try:
            value = cell.receive(env.message) if env.lane else env.message()
        except BaseException as error:
            in_hand.reset(token)
            state, value = _failed(cell, env, error)
        else:
            in_hand.reset(token)
            state = DONE
        left -= 1
        at = now()
        if left <= 0 or at >= stop_at or len(context):
            return _hand_over(cell, env, state, value)
        cell.since = at
        env = cell.finish(env, state, value)
    return False


def _run_batch(cell: Cell, batch: Batch, context: Context, stop_at: float) -> bool:
    """As `run_slice`, with tells that need no lock between them."""
    now, receive, take = cell.system.now, cell.receive, in_hand.set
    count, at = 0, cell.since
    before = take(None)
    for env in batch.envelopes:
        if env.scope is not None and env.is_stale(at):
            break
        take(env)
        cell.current = env
        try:
            value = receive(env.message)
        except BaseException as error:
            in_hand.reset(before)
            with cell.lock:
                if cell.batch is batch:
                    cell.fold_locked()
            state, value = _failed(cell, env, error)
            return _hand_over(cell, env, state, value)
        batch.done = count = count + 1
        if cell.batch is not batch:
            in_hand.reset(before)
            return _folded(cell, batch, env, value)
        cell.since = at = now()
        if at >= stop_at or cell.system_lane or len(context) != 1:
            break
    in_hand.reset(before)
    cell.leave(batch)
    return True


def _folded(cell: Cell, batch: Batch, env: Envelope, value: Any) -> bool:  # Any: what it returned
    """Somebody has folded the batch while `env` was in hand, or just after it; as `run_slice`."""
    done = batch.done
    if batch.folded < done:
        return _hand_over(cell, env, DONE, value)
    if done == len(batch.envelopes):
        return True
    following = batch.envelopes[done]  # in the books it is in hand, but it was not begun
    if cell.unclaim(following):
        return True
    return _hand_over(cell, following, CANCELLED, None)


def _failed(cell: Cell, env: Envelope, error: BaseException) -> tuple[int, BaseException]:
    """What becomes of a message whose handler raised; Ctrl-C in the main thread is passed on."""
    if isinstance(error, KeyboardInterrupt) and current_thread() is main_thread():
        cancelled = RunCancelledError(f"cancelled in {cell.path}")
        cell.finish(env, CANCELLED, cancelled, more=False)
        cell.dispatcher.schedule(cell)
        raise error
    return cell.failed_with(env, error)


def _hand_over(cell: Cell, env: Envelope, state: int, value: Any) -> bool:  # Any: answer or error
    """Finish `env` and claim nothing more; whether the cell is still this one's to go on with."""
    mine = cell.holds(env)  # else it was abandoned meanwhile
    cell.finish(env, state, value, more=False)
    return mine
