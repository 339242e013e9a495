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
import sys
from _thread import get_ident
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any

from understudy.actors.kernel.dispatchers.base import SECONDS, run_slice
from understudy.actors.kernel.dispatchers.runner import Runner
from understudy.actors.kernel.reply import Reply

# What asyncio has for those who implement tasks, without a lookup each time.
_enter, _leave = asyncio.tasks._enter_task, asyncio.tasks._leave_task
_current = (
    vars(asyncio.tasks)[
        "_current_tasks"
    ].get  # there, `current_task` is a function in Python around it
    if sys.version_info < (3, 12)
    else asyncio.current_task
)

if TYPE_CHECKING:
    from understudy.actors.kernel.cell import Cell

HASTY = 32
"""Answers in a row that may be had without a turn of the loop."""
_ANSWERED: Reply[None] = Reply()
_ANSWERED.set(None)
NESTED = 8
"""Background work that is begun inside of background work without a turn of the loop."""
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
    runs_errands = True
    """Whether background work is taken as actors are (see `errand`)."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, thread: int, now: Callable[[], float]
    ) -> None:
        self.hands: Any = self  # Any: see `Dispatcher`
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
        self._hurrying = False
        self._context: Context | None = None
        self._signal_context = Context()
        self._hasty = 0
        self._hasty_until = 0.0
        self._errands = 0

    def schedule(self, cell: Cell) -> None:
        """See `Dispatcher.schedule`: at most one callback on the loop, or one signal to it."""
        self.ready.append(cell)
        if self._signalled:
            return
        if get_ident() != self.thread:
            signal: Callable[..., object] = self.loop.call_soon_threadsafe
        elif self.awake or self._hurrying:
            return
        else:
            signal = self.loop.call_soon
        self._signalled = True
        try:
            signal(self._signal, context=self._signal_context)
        except RuntimeError:
            cell.system.loop_lost()

    def take_back(self, cell: Cell) -> bool:
        """See `Dispatcher.take_back`: nobody here waits for a thread."""
        del cell
        return False

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
        """Serve what is ready until `reply` is there; without one, for a slice of time.

        Handlers that ask come here again. Only the outermost sees to it that what is left is not
        forgotten.
        """
        if self._hurrying:
            self._serve_until(reply)
            return
        self._hurrying = True
        try:
            self._serve_until(reply)
        finally:
            self._hurrying = False
            if self.ready and not (self.awake or self._signalled):
                if reply is None:
                    self.rouse()
                else:  # a runner that stays parked can be lent
                    self._signalled = True
                    self.loop.call_soon(self._signal, context=self._signal_context)

    def _serve_until(self, reply: Reply[Any] | None) -> None:
        ready = self.ready
        while ready and (self.now() < self._hasty_until if reply is None else not reply._state):
            cell = ready[0]
            if cell.is_async or cell.system_lane:
                if not self._lend(reply):
                    return
                continue
            ready.popleft()
            if self.serve(cell):
                ready.append(cell)
                return

    def serve(self, cell: Cell) -> bool:
        """Run a slice of an actor whose handler is sync; see `run_slice`.

        One may be served inside of another: the work that a sync handler begins in the background
        takes its first step at once, and may ask. A context is entered once at a time.
        """
        context, self._context = self._context, None
        if context is None:
            context = Context()
        self.cell = cell
        try:
            return context.run(run_slice, cell, context)
        finally:
            self.cell = None
            self._context = None if len(context) else context

    def _lend(self, reply: Reply[Any] | None) -> bool:
        """Take the first steps of async actors here, in the name of a parked runner.

        Returns:
            False when that cannot be done, or a handler has suspended.

        The runner's task is made the current one meanwhile, so a handler that goes on to suspend is
        simply awaited by it (asyncio has these two functions for those who implement tasks).
        """
        runner, asker = self._parked(), _current(self.loop)
        if runner is None:
            self._spare()
            return False
        if runner.task is None:
            self.idle.append(runner)
            return False
        if asker is not None:
            _leave(self.loop, asker)
        _enter(self.loop, runner.task)
        try:
            suspended = runner.context.run(self._step_as, runner, reply)
        finally:
            _leave(self.loop, runner.task)
            if asker is not None:
                _enter(self.loop, asker)
            if runner.held is None and not runner.closing:
                self.idle.append(runner)
            else:
                self.awake += 1
                runner.rouse()
        return not suspended

    def _step_as(self, runner: Runner, reply: Reply[Any] | None) -> bool:
        """Work as `runner` while async actors are ready and it is worth it; True when suspended."""
        ready, until = self.ready, self._hasty_until
        while True:
            cell = ready.popleft()
            if runner.run(cell, cell.claim(), until):
                return True
            if not ready or runner.closing or not (ready[0].is_async or ready[0].system_lane):
                return False
            if self.now() >= until if reply is None else reply._state:
                return False

    def run_errand(self, errand: Any) -> None:  # Any: an Errand, which passes for a Cell
        """Begin background work: here and now where a runner is free to go on with it.

        The actor that has begun it is in hand, so work that ends at once has ended when
        `background` returns.
        """
        if get_ident() != self.thread or not self.idle or self._errands >= NESTED:
            self.schedule(errand)
            return
        outer = self.cell
        self._errands += 1
        self.ready.appendleft(errand)
        try:
            self._lend(_ANSWERED)  # this one, and nothing that is ready behind it
        finally:
            self._errands -= 1
            self.cell = outer

    def _parked(self) -> Runner | None:
        """Take a parked runner, past those that somebody has cancelled in this very turn."""
        while self.idle:
            runner = self.idle.pop()
            if runner.parked is not None and not runner.parked.done():
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
        runner.task.add_done_callback(runner, context=self._signal_context)

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
        """An actor was made ready: serve it here, which saves a turn of the loop."""
        self._signalled = False
        if self.ready and not self.awake:
            self._hasty_until = self.now() + SECONDS
            self._hurry(None)
