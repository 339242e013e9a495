"""Facts on the runtime's event bus, in the past tense.

An event is built only when somebody subscribed to its type. Logs, progress bars and metrics read these and
`rt.tree()`, nothing else.
"""

from __future__ import annotations

import msgspec

from understudy.messages.chat import Usage
from understudy.messages.errors import ErrorInfo


class Event(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What all events share: `at` is seconds since the epoch."""

    at: float


class ActorRestarted(Event, frozen=True, kw_only=True):
    path: str
    incarnation: int
    error: ErrorInfo


class ActorFailed(Event, frozen=True, kw_only=True):
    path: str
    error: ErrorInfo


class ActorParked(Event, frozen=True, kw_only=True):
    path: str
    error: ErrorInfo


class DeadLettered(Event, frozen=True, kw_only=True):
    id: int
    receiver: str
    reason: str


class RunStarted(Event, frozen=True, kw_only=True):
    run_id: str
    trace_id: str
    name: str


class RunFinished(Event, frozen=True, kw_only=True):
    """An agent or workflow run has ended; `error` is None when it succeeded."""

    run_id: str
    trace_id: str
    name: str
    status: str
    duration: float
    usage: Usage
    error: ErrorInfo | None = None


class StepDispatched(Event, frozen=True, kw_only=True):
    run_id: str
    path: str


class StepCompleted(Event, frozen=True, kw_only=True):
    run_id: str
    path: str
    duration: float
    usage: Usage


class StepFailed(Event, frozen=True, kw_only=True):
    run_id: str
    path: str
    duration: float
    error: ErrorInfo


class StepRetried(Event, frozen=True, kw_only=True):
    run_id: str
    path: str
    attempt: int
    error: ErrorInfo
