"""Control messages: what the kernel and supervisors say to actors, and what they say back.

`Terminated` and `Outcome` reach user handlers; the rest is served by the kernel itself and never
shown to `on_receive`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec


class ActorState(StrEnum):
    """Where an actor is in its life."""

    STARTING = "starting"
    RUNNING = "running"
    RESTARTING = "restarting"
    STOPPING = "stopping"
    PARKED = "parked"
    STOPPED = "stopped"


class Directive(StrEnum):
    """What a supervisor does about a failure."""

    RESUME = "resume"
    RESTART = "restart"
    STOP = "stop"
    ESCALATE = "escalate"


class Overflow(StrEnum):
    """What a full mailbox does with the next message."""

    REJECT = "reject"
    DROP_OLDEST = "drop_oldest"
    DROP_NEWEST = "drop_newest"
    WAIT = "wait"


class Terminated(msgspec.Struct, frozen=True, kw_only=True):
    """Sent once to everybody who watches an actor, when its Ref has ended for good."""

    ref: Any  # Any: the kernel's Ref of the actor that ended
    path: str
    error: BaseException | None = None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a background coroutine ended: a value, or the error it raised."""

    value: Any = None  # Any: what the coroutine returned
    error: BaseException | None = None


class MailboxStats(msgspec.Struct, frozen=True, kw_only=True):
    """A mailbox at one instant; `oldest` is the age of the first queued message in seconds."""

    depth: int
    peak: int
    oldest: float
    accepted: int
    refused: int
    dropped: int


class ActorNode(msgspec.Struct, frozen=True, kw_only=True):
    """One actor in a snapshot of the tree, with its children.

    Attributes:
        kind: name of its class.
        restarts: how often it was restarted.
        current: type of the message in hand, or None; `current_age` in seconds.
        owed: deferred answers; `background`: coroutines beside the handlers.
        abandoned: handlers that did not end after their cancellation.
        last_error: of its last failure, with the type.
    """

    path: str
    kind: str
    state: ActorState
    restarts: int
    mailbox: MailboxStats
    current: str | None
    current_age: float
    owed: int
    background: int
    abandoned: int
    last_error: str | None
    children: tuple[ActorNode, ...] = ()

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def lines(self, prefix: str = "", branch: str = "") -> list[str]:
        """The tree as text, a line an actor, as `pstree` draws it."""
        name = self.path.rsplit("/", 1)[-1] or "/"
        facts = [str(self.state)]
        if self.mailbox.depth:
            facts.append(f"{self.mailbox.depth} queued ({self.mailbox.oldest:.1f} s)")
        if self.current is not None:
            facts.append(f"in {self.current} for {self.current_age:.1f} s")
        for count, word in (
            (self.owed, "deferred"),
            (self.background, "in background"),
            (self.restarts, "restarts"),
            (self.abandoned, "abandoned"),
        ):
            if count:
                facts.append(f"{count} {word}")
        if self.last_error:
            facts.append(self.last_error)
        found = [f"{prefix}{branch}{name} ({self.kind}) {', '.join(facts)}"]
        below = prefix + {"": "", "├─ ": "│  ", "└─ ": "   "}[branch]
        for number, node in enumerate(self.children):
            last = number == len(self.children) - 1
            found += node.lines(below, "└─ " if last else "├─ ")
        return found


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """Every accepted message of the user lane, by where it is or how it ended.

    `accepted = handled + failed + expired + cancelled + dropped + queued + stashed + running`;
    `refused` and `late_reply` were never accepted and stand beside the sum.
    """

    accepted: int = 0
    handled: int = 0
    failed: int = 0
    expired: int = 0
    cancelled: int = 0
    dropped: int = 0
    queued: int = 0
    stashed: int = 0
    running: int = 0
    abandoned: int = 0
    refused: int = 0
    late_reply: int = 0

    @property
    def balanced(self) -> bool:
        """True when every accepted message is accounted for."""
        return self.accepted == (
            self.handled
            + self.failed
            + self.expired
            + self.cancelled
            + self.dropped
            + self.queued
            + self.stashed
            + self.running
        )

    def __add__(self, other: Ledger) -> Ledger:
        # Spelled out: it is done once for each actor that ends.
        return Ledger(
            accepted=self.accepted + other.accepted,
            handled=self.handled + other.handled,
            failed=self.failed + other.failed,
            expired=self.expired + other.expired,
            cancelled=self.cancelled + other.cancelled,
            dropped=self.dropped + other.dropped,
            queued=self.queued + other.queued,
            stashed=self.stashed + other.stashed,
            running=self.running + other.running,
            abandoned=self.abandoned + other.abandoned,
            refused=self.refused + other.refused,
            late_reply=self.late_reply + other.late_reply,
        )


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A message that nobody handled, and why."""

    id: int
    message: Any  # Any: the user's message
    receiver: str
    reason: str
    at: float


class ShutdownReport(msgspec.Struct, frozen=True, kw_only=True):
    """How a runtime ended.

    Attributes:
        ledger: the sum over all actors that ever lived in it; balanced.
        drained: runs that were finished in the time given.
        cancelled: runs that were cancelled because the time was over.
        abandoned: what was still running at the end, by path.
        duration: seconds it took.
        signal: the number of the second signal, which cut the drain of `serve()` short; else None.
        failed: which actor gave up and with what, when that is why it stopped (`on_failure`).
    """

    ledger: Ledger
    drained: int
    cancelled: int
    abandoned: tuple[str, ...]
    duration: float
    signal: int | None = None
    failed: str | None = None

    @property
    def exit_code(self) -> int:
        """For `sys.exit`: 0 when everything was finished, 1 when not, 128 + n by a signal's cut."""
        if self.signal is not None:
            return 128 + self.signal
        return 1 if self.cancelled or self.abandoned or self.failed else 0


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """How a runtime is at one instant; encodes to JSON.

    Attributes:
        live: it runs and its loop turns; a process that is not should be ended.
        ready: it is live and there is nothing in `why`: send it work.
        why: what keeps it from being ready, a sentence each.
        stopping: it drains, or has stopped.
        parked: paths of actors that have failed too often and wait for `ref.restart()`.
        breakers: what is not called at present: limiters, tools and pools, by name.
        loop_lag: seconds that the loop's last sign of life took, or takes by now.
        open_runs: runs under way.
    """

    name: str
    live: bool
    ready: bool
    why: tuple[str, ...]
    stopping: bool
    parked: tuple[str, ...]
    breakers: tuple[str, ...]
    loop_lag: float
    open_runs: int


class Reloaded(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a changed configuration, by key.

    Attributes:
        applied: in force from now on; what is under way goes on as it began.
        restart: takes effect when the process is started anew.
        overruled: code has set something else, which stays.
    """

    applied: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()
    overruled: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = (
            ("applied", self.applied),
            ("needs a restart", self.restart),
            ("overruled by code", self.overruled),
        )
        said = "; ".join(f"{what}: {', '.join(keys)}" for what, keys in parts if keys)
        return said or "nothing has changed"
