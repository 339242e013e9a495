"""Facts on the runtime's event bus, in the past tense.

An event is built only when somebody subscribed to its type. Logs, progress bars and metrics read
these and `rt.tree()`, nothing else.
"""

from __future__ import annotations

import msgspec

from understudy.messages.chat import Usage
from understudy.messages.errors import ErrorInfo


class Event(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What all events share: `at` is seconds since the epoch."""

    at: float


class ActorRestarted(Event, frozen=True, kw_only=True):
    """An actor has a new instance, the `incarnation`-th; `error` ended the one before."""

    path: str
    incarnation: int
    error: ErrorInfo


class ActorFailed(Event, frozen=True, kw_only=True):
    """A handler raised what the actor does not declare as expected."""

    path: str
    error: ErrorInfo


class ActorParked(Event, frozen=True, kw_only=True):
    """An actor used up its restarts; it takes no messages until somebody restarts it."""

    path: str
    error: ErrorInfo


class DeadLettered(Event, frozen=True, kw_only=True):
    """A message reached nobody; `id` finds it in the dead letters."""

    id: int
    receiver: str
    reason: str


class RunStarted(Event, frozen=True, kw_only=True):
    """An agent or workflow run has begun."""

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
    """A step was handed to the pool; `label` is what an item of `each` is called."""

    run_id: str
    path: str
    label: str = ""


class StepCompleted(Event, frozen=True, kw_only=True):
    """A step succeeded."""

    run_id: str
    path: str
    duration: float
    usage: Usage


class StepFailed(Event, frozen=True, kw_only=True):
    """A step has failed for good; `label` as in `StepDispatched`."""

    run_id: str
    path: str
    duration: float
    error: ErrorInfo
    label: str = ""


class StepRetried(Event, frozen=True, kw_only=True):
    """A step failed and is tried again; `attempt` counts from 2."""

    run_id: str
    path: str
    attempt: int
    error: ErrorInfo


class LoopBlocked(Event, frozen=True, kw_only=True):
    """A handler keeps the loop from turning; `stack` is where it stands."""

    path: str
    message: str
    stack: str


class PermitWaited(Event, frozen=True, kw_only=True):
    """A call had to wait for its permit."""

    limiter: str
    session: str
    seconds: float
    tenant: str = ""


class GateClosed(Event, frozen=True, kw_only=True):
    """A provider said 429: nobody with this key may call for `seconds`."""

    limiter: str
    seconds: float


class BreakerOpened(Event, frozen=True, kw_only=True):
    """Most calls fail: new ones are refused for `seconds`."""

    limiter: str
    seconds: float


class BreakerClosed(Event, frozen=True, kw_only=True):
    """Calls succeed again."""

    limiter: str


class ModelRetried(Event, frozen=True, kw_only=True):
    """A model call has failed and is made again after `delay` seconds."""

    provider: str
    model: str
    attempt: int
    delay: float
    error: ErrorInfo


class ReaderLagged(Event, frozen=True, kw_only=True):
    """A reader that is not the owner of its stream fell out of the window: it missed chunks."""

    run_id: str
    missed: int


class StreamIdled(Event, frozen=True, kw_only=True):
    """Nobody has read a stream for `seconds`: its run was cancelled."""

    run_id: str
    seconds: float
