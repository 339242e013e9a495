"""The loop dispatcher: all its actors on one asyncio loop, without a task per message.

Handlers run inside *runners*, a few real asyncio tasks that are reused. A runner takes ready
actors from one queue and works through a slice of each. The first step of an `async` handler is
taken by hand, inside the runner's task: most handlers end there, and then nothing was suspended
and nothing was scheduled. One that suspends is awaited by its runner, and another runner takes
over the queue. So `asyncio.timeout`, task groups and anyio work in handlers (the current task is
the runner's from the first step to the last), an idle actor holds no task, and cancelling a
handler is cancelling its runner for that message.

Guarantees
- A cancel by the kernel names the message it is for; it is ignored when that message has ended,
  and undone with `Task.uncancel`. A cancel by anybody else ends the runner and is passed on.
- A runner whose context a handler has changed (it set a ContextVar) is retired after that message.
- The loop breathes: after `SECONDS` of work a runner lets the loop turn.

Why not a Task per message: 1.8 times the floor. Why not stepping coroutines without a task:
    timeouts and cancel scopes break.
"""

from __future__ import annotations

import asyncio
import threading
import types
from _thread import get_ident
from asyncio import Future
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from types import CoroutineType
from typing import TYPE_CHECKING, Any, NamedTuple

from understudy.actors.kernel.context import in_hand
from understudy.actors.kernel.dispatchers.base import MESSAGES, SECONDS, run_slice
from understudy.actors.kernel.reply import CANCELLED, DONE, Reply
from understudy.messages.envelope import Envelope
from understudy.messages.errors import RunCancelledError

if TYPE_CHECKING:
    from understudy.actors.kernel.cell import Cell
    from understudy.actors.kernel.ending import Ending

HASTY = 32
"""Answers in a row that may be had without a turn of the loop."""
IDLE_RUNNERS = 64
"""Parked runners that are kept; more than that end."""


class LoopDispatcher:
    """Runs actors on `loop`, which must be running on `thread` when the first message comes.

    Args:
        loop: the event loop.
        thread: ident of the thread it runs on.
        now: monotonic seconds, from the clock port.
    """

    on_loop = True

    def __init__(
        self, loop: asyncio.AbstractEventLoop, thread: int, now: Callable[[], float]
    ) -> None:
        self.loop = loop
        self.thread = thread
        self.now = now
        self.ready: deque[Cell] = deque()
        self.awake = 0
        self.runners: set[Runner] = set()
        self.idle: list[Runner] = []
        self.kept = IDLE_RUNNERS
        self.cell: Cell | None = None  # whose handler is on the loop at this moment
        self._signalled = False
        self._context = Context()
        self._hasty = 0
        self._hasty_until = 0.0

    def schedule(self, cell: Cell) -> None:
        """See `Dispatcher.schedule`: at most one callback on the loop, or one signal to it."""
        self.ready.append(cell)
        if get_ident() == self.thread:
            if not self.awake:
                self.rouse()
        elif not self._signalled:
            self._signalled = True
            try:
                self.loop.call_soon_threadsafe(self._signal)
            except RuntimeError:
                cell.system.loop_lost()

    def hasten(self, reply: Reply[Any]) -> None:
        """Somebody is about to wait for `reply` on the loop: handle what is ready and sync now.

        Most asks in a loop go to an idle actor that answers at once. Running it here saves two
        turns of the loop, which cost more than all of the kernel. Bounded in count and time, so
        that a task which asks for ever cannot keep the loop from turning; async handlers need a
        task and are left alone.
        """
        now = self.now()
        if self._hasty == 0:
            self._hasty_until = now + SECONDS
        elif self._hasty >= HASTY or now >= self._hasty_until:
            self._hasty = 0
            return
        self._hasty += 1
        if self.ready:
            self._hurry(reply)

    def _hurry(self, reply: Reply[Any] | None) -> None:
        """Serve what is ready until `reply` is there; without one, for a slice of time."""
        ready = self.ready
        while ready and (self.now() < self._hasty_until if reply is None else not reply._state):
            cell = ready[0]
            if cell.is_async or cell.system_lane:
                if not self._lend(cell):
                    return
                continue
            ready.popleft()
            context = self._context
            self.cell = cell
            again = context.run(run_slice, cell, context)
            self.cell = None
            if len(context):
                self._context = Context()
            if again:
                ready.append(cell)
                return

    def _lend(self, cell: Cell) -> bool:
        """Take the first steps of an async actor here, in the name of a parked runner.

        Returns:
            False when that cannot be done, or a handler has suspended.

        The runner's task is made the current one meanwhile, so a handler that goes on to suspend is
        simply awaited by it (asyncio has these two functions for those who implement tasks).
        """
        runner, asker = self._parked(), asyncio.current_task(self.loop)
        if runner is None:
            self._spare()
            return False
        if runner.task is None:
            self.idle.append(runner)
            return False
        self.ready.popleft()
        if asker is not None:
            asyncio.tasks._leave_task(self.loop, asker)
        asyncio.tasks._enter_task(self.loop, runner.task)
        try:
            suspended = runner.context.run(runner.run, cell, cell.claim(), self._hasty_until)
        finally:
            asyncio.tasks._leave_task(self.loop, runner.task)
            if asker is not None:
                asyncio.tasks._enter_task(self.loop, asker)
            if runner.held is None and not runner.closing:
                self.idle.append(runner)
            else:
                self.awake += 1
                runner.rouse()
        return not suspended

    def _parked(self) -> Runner | None:
        """Take a parked runner, past those that somebody has cancelled in this very turn."""
        while self.idle:
            runner = self.idle.pop()
            if not runner.parked.done():
                return runner
            self.awake += 1  # until it ends, in the next turn
        return None

    def _spare(self) -> None:
        """One more runner, to be lent the next time."""
        self.awake += 1
        self._make()

    def call(self, fn: Callable[[], object]) -> None:
        """Run `fn` on the loop's thread: now when this is it, soon otherwise."""
        if get_ident() == self.thread:
            fn()
        else:
            self.loop.call_soon_threadsafe(fn)

    def rouse(self) -> None:
        """Wake a runner, or make one (on the loop's thread)."""
        self.awake += 1
        runner = self._parked()
        if runner is not None:
            runner.rouse()
        else:
            self._make()

    def _make(self) -> None:
        runner = Runner(self)
        self.runners.add(runner)
        runner.task = self.loop.create_task(runner.main(), context=runner.context)
        runner.task.add_done_callback(lambda _: self._never_begun(runner))

    def _never_begun(self, runner: Runner) -> None:
        """A task that is cancelled before its first step never gets to say that it ends."""
        if runner in self.runners:
            self.retire(runner)

    def retire(self, runner: Runner) -> None:
        """`runner` has ended; let another go on with what is ready."""
        self.runners.discard(runner)
        self.awake -= 1
        if self.ready and not self.awake:
            self.rouse()

    def close(self) -> None:
        """End all parked runners (on the loop's thread, when no actor is left).

        One may still be made for what is ready now; it ends when it has nothing to do.
        """
        self.kept = 0
        for runner in self.runners:
            if runner.task is not None:
                runner.closing = True
                runner.task.cancel()

    def _signal(self) -> None:
        """Another thread has made an actor ready: serve it here, which saves a turn of the loop."""
        self._signalled = False
        if self.ready and not self.awake:
            self._hasty_until = self.now() + SECONDS
            self._hurry(None)
            if self.ready and not self.awake:
                self.rouse()


class Held(NamedTuple):
    """A handler that has suspended."""

    cell: Cell
    env: Envelope
    coroutine: Coroutine[Any, Any, Any]  # Any: what handlers yield and return
    waits_on: Any  # Any: the future it waits for


class Runner:
    """One reused task. See the module's docstring."""

    __slots__ = ("cancelling", "closing", "context", "dispatcher", "held", "parked", "task")

    def __init__(self, dispatcher: LoopDispatcher) -> None:
        self.dispatcher = dispatcher
        self.context = Context()
        self.task: asyncio.Task[None] | None = None
        self.parked: Future[None] = Future(loop=dispatcher.loop)
        self.held: Held | None = None
        self.cancelling: Envelope | None = None
        self.closing = False

    async def main(self) -> None:
        """Work while there is work, park, and so on."""
        dispatcher = self.dispatcher
        ready, now = dispatcher.ready, dispatcher.now
        thrown: BaseException | None = None
        try:
            while not self.closing:
                until = now() + SECONDS
                while self.held is not None:
                    await self._see_through(until, thrown)
                    thrown = None
                while ready and not self.closing:
                    cell = ready.popleft()
                    suspended = self.run(cell, cell.claim(), until)
                    while suspended:
                        suspended = await self._see_through(until, None)
                    if ready and now() >= until:
                        await _turn()
                        until = now() + SECONDS
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
                        self.held = Held(cell, env, value, waits_on)
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

    async def _see_through(self, until: float, thrown: BaseException | None) -> bool:
        """Await the handler that has suspended, then go on with its actor; True as in `run`."""
        cell, env, coroutine, waits_on = self.held  # type: ignore[misc]
        dispatcher = self.dispatcher
        dispatcher.awake -= 1
        if dispatcher.ready and not dispatcher.awake:
            dispatcher.rouse()
        state = DONE
        try:
            value = await _resume(coroutine, waits_on, thrown)
        except BaseException as error:
            self._let_go(cell)
            if self._is_foreign(error):
                self._abort(cell, env)
                raise
            state, value = cell.failed_with(env, error)
        else:
            self._let_go(cell)
        if self.cancelling is not None:
            self.cancelling = None
            self.task.uncancel()  # type: ignore[union-attr]
        if self.task.cancelling():  # type: ignore[union-attr]
            self.closing = True  # somebody wants this task to end, and a handler has kept it quiet
        if len(self.context) != 1 or self.closing:
            self._hand_over(cell, env, state, value)
            return False
        return self.run(cell, cell.finish(env, state, value), until)

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
        return None

    def _let_go(self, cell: Cell) -> None:
        self.dispatcher.awake += 1
        self.held = None
        if cell.runner is self:
            cell.runner = None

    def rouse(self) -> None:
        """Go on, unless a handler that it was lent to has cancelled it meanwhile: then it does."""
        if not self.parked.done():
            self.parked.set_result(None)

    def abandon(self) -> None:
        """See `Hand`: nothing to do, another runner has taken over when the handler suspended."""

    def cancel(self, env: Envelope) -> None:
        """Cancel the handler of `env` if it still runs (on the loop's thread)."""
        held = self.held
        if held is not None and held.env is env and self.cancelling is None:
            self.cancelling = env
            self.task.cancel()  # type: ignore[union-attr]

    def cancel_hook(self, cell: Ending) -> None:
        """See `Hand` (on the loop's thread)."""
        held = self.held
        if held is not None and held.cell is cell and not held.env.lane:
            self.cancel(held.env)

    def _hand_over(self, cell: Cell, env: Envelope, state: int, value: Any) -> None:
        """The slice is over: finish this message, and leave the rest of the mailbox for later."""
        if len(self.context) != 1:
            self.closing = True  # a handler has changed the context: the next one must not see it
        mine = cell.current is env or not env.lane  # else it was abandoned meanwhile
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


@types.coroutine
def _resume(
    coroutine: Coroutine[Any, Any, Any],
    waits_on: Any,
    thrown: BaseException | None,
) -> Generator[Any, Any, Any]:  # Any: asyncio's protocol between a task and what it awaits
    """Go on with a coroutine that has already been started, as `await` would."""
    while True:
        try:
            if thrown is not None:
                error, thrown = thrown, None
                raise error
            yield waits_on
        except BaseException as error:
            try:
                waits_on = coroutine.throw(error)
            except StopIteration as stop:
                return stop.value
        else:
            break
    return (yield from coroutine)


@types.coroutine
def _turn() -> Generator[None, None, None]:
    """Let the loop turn once."""
    yield
