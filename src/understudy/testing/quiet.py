"""`assert_quiet(rt)`: nothing went wrong in a runtime that nobody has looked at.

A test that only looks at results misses what an actor runtime contains: a handler that failed and
was restarted, a message that reached nobody. This finds them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from understudy.runtime.runtime import Runtime

ANSWERED = frozenset({"cancelled", "expired", "late_reply"})
"""Reasons of dead letters whose sender was told by an error of its own, or had left before."""


def assert_quiet(
    rt: Runtime,
    *,
    failures: tuple[type[BaseException], ...] = (),
    dead_letters: Collection[str] = (),
) -> None:
    """Raise if something happened in `rt` since its start that nobody expected. Any thread.

    That is: a handler that failed (its error is raised here), a message that was lost (not one that
    was cancelled or had expired: who sent it was told), an account of messages that does not
    balance and, after `stop`, work that was left.

    Args:
        rt: running or stopped.
        failures: errors of handlers that are expected.
        dead_letters: reasons of losses that are expected, such as `"closed"`, `"full"`, `"killed"`.

    Raises:
        AssertionError: names the letters, or shows the account.
        BaseException: the first unexpected failure of a handler, with the actor's path as a note.
    """
    system = rt.stage
    for path, error in list(system.failures):
        if not isinstance(error, failures):
            error.add_note(f"a handler of {path} failed, and nobody expected it")
            raise error
    lost = [
        letter
        for letter in system.dead_letters.recent()
        if letter.reason not in ANSWERED and letter.reason not in dead_letters
    ]
    if lost:
        kinds = Counter((type(x.message).__name__, x.receiver, x.reason) for x in lost)
        lines = "".join(
            f"\n  {count} x {kind} to {receiver}: {reason}"
            for (kind, receiver, reason), count in kinds.items()
        )
        raise AssertionError(f"messages were lost in runtime {rt.name!r}:{lines}")
    ledger = rt.ledger
    if not ledger.balanced:
        raise AssertionError(f"the account of runtime {rt.name!r} does not balance: {ledger}")
    if system.closing and ledger.queued + ledger.stashed + ledger.running:
        raise AssertionError(f"runtime {rt.name!r} has stopped and left work behind: {ledger}")
