"""The envelope around every message between actors.

`deadline`, `scope` and `origin` are inherited by whatever is sent while the message is being
handled: that is how a deadline, a cancellation and a trace reach all the work that one request
caused. The kernel's own references (`reply`, `scope`, `cell`) live in the same object, because a
second object per message is the largest single cost of a hop; only the plain fields ever leave the
process.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import msgspec


class Lane(IntEnum):
    """Which part of a mailbox a message travels in; a lower lane is served first."""

    SYSTEM = 0
    """Kill, supervision, watch: never refused, overtakes everything."""
    USER = 1
    """Messages, timers, stop: in order of arrival."""
    JOB = 3
    """A user message that a pool's worker has claimed from the pool's mailbox."""
    ANSWER = 2
    """What the receiver asked for: in order with USER, never refused, also after close."""


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Where work comes from: the same object for everything that one run causes.

    `depth` counts the functions around: of steps that begin runs, and of tools. `held` are the
    slots that the tools around hold, which work inside them need not wait for. `tenant`
    and `session` say for whom it is; they are empty where nobody said so. `agents` are the names
    of the agents around what an agent has begun, the outermost first; `accounts` are those of all
    budgets (`messages.budgets.Account`) that it is charged to. `flights` are the keys of the cached
    calls that it is part of, which must not wait for themselves.
    `overrides` are the agents that have other fields here, with these (`agent.override`).
    `named` says that the session was named for what is begun next, and not only inherited;
    `sessions` are those that the runs around hold.
    """

    run_id: str | None = None
    trace_id: str | None = None
    depth: int = 0
    held: tuple[Any, ...] = ()  # Any: leases of the tools' family
    tenant: str = ""
    session: str = ""
    agents: tuple[str, ...] = ()
    accounts: tuple[Any, ...] = ()  # Any: `Account`s; never encoded
    flights: tuple[bytes, ...] = ()
    named: bool = False
    sessions: tuple[Any, ...] = ()  # Any: keys of the agents' family
    overrides: tuple[tuple[Any, dict[str, Any]], ...] = ()  # Any: specs, their fields


class Envelope(msgspec.Struct, gc=True, eq=False):
    """One message on its way.

    Attributes:
        message: the payload, by reference; frozen by convention.
        deadline: absolute, on the runtime's clock; work that has passed it never starts.
        origin: run and trace.
        scope: the Reply whose cancellation cancels this work too.
        reply: where the answer goes; None for a tell.
        cell: who handles it (set by the kernel).
        lane: see `Lane`.
        at: when it began to wait behind others, on the runtime's clock (0.0: it did not).
    """

    message: Any  # Any: user messages are of any type
    deadline: float | None = None
    origin: Origin | None = None
    scope: Any = None  # Any: the kernel's Reply; messages/ imports nothing of the kernel
    reply: Any = None  # Any: the kernel's Reply
    cell: Any = None  # Any: the kernel's Cell
    lane: Lane = Lane.USER
    at: float = 0.0

    def is_stale(self, now: float) -> bool:
        """True when nobody wants it handled any more: it has expired, or its scope has ended.

        What is sent from a handler has both a deadline and a scope; what is told from outside has
        neither.
        """
        if self.deadline is not None and self.deadline <= now:
            return True
        return self.scope is not None and self.scope.cancelled
