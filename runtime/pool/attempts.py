"""What becomes of a job that has failed, or that lost its worker: again, quarantined, or answered.

Attempts are counted when a job is claimed. One that may be done again waits for that where it is
owed, so it stays `running` in the ledger; one that has crashed three workers is poison and is
given up.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from understudy.actors.kernel.reply import FAILED, UNHANDLED, Reply
from understudy.messages.envelope import Envelope
from understudy.messages.errors import (
    ActorDeadError,
    ActorRestartedError,
    BreakerOpenError,
    UnderstudyError,
)
from understudy.runtime.pool.options import MAX_CRASHES, PoolOptions

if TYPE_CHECKING:
    from understudy.runtime.pool.queue import Queue

LOST = (ActorDeadError, ActorRestartedError)
"""Errors that say that a worker was lost, not that the job has failed."""


class Attempts:
    """See the module's docstring. Any thread.

    Attributes:
        retried: how often a job was begun again.
        quarantined: jobs that were given up.
    """

    def __init__(self, cell: Queue, options: PoolOptions, assign: Callable[[], None]) -> None:
        self._cell = cell
        self._options = options
        self._assign = assign
        self._counts: dict[int, tuple[int, int]] = {}
        self.retried = 0
        self.quarantined = 0

    def succeeded(self, env: Envelope) -> None:
        """Forget a job that is answered."""
        if self._counts:
            self._counts.pop(id(env), None)

    def failed(self, env: Envelope, state: int, error: Any, *, crashed: bool) -> None:
        """A job has failed, or lost its worker: again, quarantined, or answered."""
        attempts, crashes = self._counts.pop(id(env), (0, 0))
        attempts, crashes = attempts + 1, crashes + crashed
        lost = isinstance(error, LOST)
        following = (
            self._options.following(env.message, attempts, lost=lost)
            if state == FAILED or lost
            else None
        )
        if following is None or crashes >= MAX_CRASHES:
            if isinstance(error, UnderstudyError) and attempts > 1:
                error.attempts, error.retryable = attempts, False
            state = FAILED if lost else state
            if following is not None:
                self.quarantined += 1
                env.cell = self._cell  # who sends the letter again means the pool
                self._cell.system.dead_letters.add(env, self._cell.path, "quarantined")
                state = UNHANDLED
            self._cell.settle_deferred(env, state, error)
            return
        self.retried += 1
        self._counts[id(env)] = (attempts, crashes)
        env.message = following
        if lost:
            self._put_back(env)
        else:
            delay = 0.1 * 2 ** min(attempts - 1, 6) * self._cell.system.random.random()
            self._cell.system.after(delay, partial(self._put_back, env))

    def _put_back(self, env: Envelope) -> None:
        if not self._cell.put_back(env):
            self._counts.pop(id(env), None)
        self._cell.look()
        self._assign()


def refusal(path: str, after: float) -> Reply[Any]:  # Any: it holds an error
    """The answer to a job while the breaker of the pool at `path` is open."""
    msg = f"the workers of {path} crash; a new one is tried in {after:.1f} s"
    refused: Reply[Any] = Reply()
    refused.set_exception(BreakerOpenError(msg, retry_after=after, actor=path))
    return refused
