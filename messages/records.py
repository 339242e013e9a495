"""What is known about a workflow after its run: a record for every step, and the result.

Both are data: they encode and come back equal, as far as what the steps gave does. What a step
received is kept as a fingerprint (`Digest`), which is worked out when somebody looks at it and not
while the run goes on.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, Literal

import msgspec

from understudy.messages.caches import Cached
from understudy.messages.chat import Usage
from understudy.messages.words import repr_of

StepStatus = Literal["completed", "failed", "cancelled", "skipped"]
RunStatus = Literal["completed", "failed", "cancelled"]
NO_USAGE = Usage()


class Digest:
    """The fingerprint of a value; made when it is first read, a text in encoded form."""

    __slots__ = ("_text", "_value")

    def __init__(self, value: Any) -> None:  # Any: what a step received
        self._value = value
        self._text: str | None = None

    @classmethod
    def of_text(cls, text: str) -> Digest:
        """One that was encoded."""
        made = cls(None)
        made._text = text
        return made

    def __str__(self) -> str:
        if self._text is None:
            self._text = blake2b(_bytes(self._value), digest_size=8).hexdigest()
            self._value = None
        return self._text

    def __repr__(self) -> str:
        return f"Digest({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, (Digest, str)) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))


class StepRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about one step after the run; times are seconds since the run began.

    Attributes:
        label: what an item of `each` is called, so that a reader need not count items.
        digest: fingerprint of what it received; None when it was never begun.
        attempts: how often it was begun; retries are counted.
        queued: seconds that its last attempt waited for a worker.
        limited: seconds that an agent waited for limits, of its name and of its models.
        cached: set when an agent's answer came from a cache.
        cost: US dollars; None where a model's price is not known, or no model was asked.
        why: why it was skipped, cancelled, or not what one would expect.
    """

    path: str
    status: StepStatus
    label: str = ""
    digest: Digest | None = None
    output: Any = None  # Any: what the step gave
    usage: Usage = NO_USAGE
    cost: float | None = None
    attempts: int = 0
    queued: float = 0.0
    limited: float = 0.0
    cached: Cached | None = None
    start: float | None = None
    end: float | None = None
    error: BaseException | None = None
    why: str = ""

    @property
    def duration(self) -> float:
        """Seconds it ran, retries included; 0.0 when it did not."""
        return 0.0 if self.start is None or self.end is None else self.end - self.start

    @property
    def input_digest(self) -> str:
        """`digest` as a text; empty when it was never begun."""
        return "" if self.digest is None else str(self.digest)


class WorkflowResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a run of a workflow gave.

    Attributes:
        output: of the last step (sequential, loop), of all steps by name (parallel), of the last
            ones (dag).
        steps: a record for every step and item, by path, nested ones included.
        critical_path: names of the steps that determined the duration, in order.
        cost: US dollars of all steps whose price is known; None where none is.
        completed_early: path of the step that raised `WorkflowComplete`; empty when none did.
        iterations: how often a loop went round; 0 for what is no loop.
        reason: why a loop ended.
        shared: bytes that the run's context held at its end, about.
    """

    name: str
    status: RunStatus
    output: Any  # Any: what the workflow gave
    steps: dict[str, StepRecord]
    critical_path: tuple[str, ...]
    usage: Usage
    duration: float
    run_id: str
    trace_id: str
    cost: float | None = None
    completed_early: str = ""
    iterations: int = 0
    reason: str = ""
    shared: int = 0

    @property
    def failed(self) -> dict[str, BaseException]:
        """What failed, by path."""
        return {path: r.error for path, r in self.steps.items() if r.error is not None}

    def to_dict(self) -> dict[str, Any]:  # Any: plain data
        """As plain data: errors as their sentence and facts, what does not encode as text."""
        from understudy.messages.codec import to_plain

        plain: dict[str, Any] = to_plain(self)
        return plain

    def to_json(self, *, indent: int = 0) -> str:
        """As JSON."""
        data = msgspec.json.encode(self.to_dict())
        return (msgspec.json.format(data, indent=indent) if indent else data).decode()

    def gantt(self, width: int = 60) -> str:
        """When each step ran, as text: a line for each, a bar as long as it took."""
        from understudy.messages.gantt import gantt

        return gantt(self, width)


def _bytes(value: Any) -> bytes:  # Any: what a step received
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    if isinstance(value, (bytes, bytearray)):
        return bytes(value)
    try:
        return msgspec.msgpack.encode(value, enc_hook=repr_of, order="deterministic")
    except (TypeError, ValueError, OverflowError, RecursionError):
        return repr_of(value).encode("utf-8", "replace")
