"""`Run`: a run that was submitted.

A handle to wait for, to look at, or to cancel. Awaiting it does not own it: cancelling the task
that awaits a `Run` leaves the run alone (cancelling one that awaits `arun` does not).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from understudy.actors.kernel.reply import Reply
from understudy.messages.envelope import Origin
from understudy.messages.errors import RunCancelledError
from understudy.messages.events import Event, RunFinished

if TYPE_CHECKING:
    from understudy.runtime.runtime import Runtime

T = TypeVar("T")
Status = Literal["running", "completed", "failed", "cancelled"]


class Run(Generic[T]):
    """One run of an agent or a workflow. Any thread."""

    def __init__(
        self,
        runtime: Runtime,
        reply: Reply[T],
        origin: Origin,
        cancel: Callable[[], object] | None = None,
        output: Any = None,  # Any: the output= of an agent
    ) -> None:
        self._runtime = runtime
        self.reply = reply
        self.origin = origin
        self.run_id = origin.run_id or ""
        self.trace_id = origin.trace_id or ""
        self._end = cancel
        self.output = output

    @property
    def status(self) -> Status:
        """How far it is."""
        if not self.reply.done:
            return "running"
        outcome = self.reply.outcome()
        if outcome.error is None:
            return "completed"
        return "cancelled" if isinstance(outcome.error, RunCancelledError) else "failed"

    def get(self, timeout: float | None = None) -> T:
        """Block this thread for the result; the run goes on when `timeout` seconds have passed.

        Raises:
            DeadlineExceededError: not finished within `timeout`.
            WouldDeadlockError: on the loop that runs it; use `await run`.
            UnderstudyError: what the run failed with.
        """
        return self.reply.get(timeout=timeout)

    def __await__(self) -> Generator[Any, None, T]:  # Any: asyncio's protocol
        if self.reply.done:
            return (yield from self.reply.__await__())
        return (yield from self.reply.map(lambda value: value).__await__())

    def cancel(self) -> None:
        """End it: whoever waits gets `RunCancelledError`, with what there is so far as `.partial`.

        Nothing happens when it has ended already.
        """
        if not self.reply.done:
            self._cancel()

    def _cancel(self) -> None:
        if self._end is None:
            self.reply.cancel()
        else:
            self._end()

    def events(self) -> Iterator[Event]:
        """The events of this run from now on, until it has finished; blocks between them."""
        queue: SimpleQueue[Event | None] = SimpleQueue()

        def take(event: Event) -> None:
            if getattr(event, "run_id", None) == self.run_id:
                queue.put(event)

        subscription = self._runtime.events.subscribe(Event, take)
        self.reply.add_done_callback(lambda _: self._runtime.events.after_queued(queue.put))
        try:
            while (event := queue.get()) is not None:
                yield event
                if isinstance(event, RunFinished):
                    return
        finally:
            subscription.cancel()


class OpenRun(Run[T]):
    """A run that a runtime counts as open; its reply calls it when it is over.

    Why not a function beside it: there are many at a time, and each is an object more.
    """

    name: str
    begin: float

    def __call__(self, reply: Reply[T]) -> None:
        """It is over: tell the runtime."""
        del reply
        self._runtime._ended(self)  # noqa: SLF001 - between the two


def get_or_cancel(run: Run[T]) -> T:
    """As `run.get()`, for who owns the run: it ends when this thread stops to wait (Ctrl-C)."""
    try:
        return run.get()
    except BaseException:
        run.cancel()  # nobody waits any more
        raise
