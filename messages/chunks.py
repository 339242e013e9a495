"""The chunks of a stream, as its reader sees them.

Each has `index` (its number within the stream), `at` (seconds since the stream began), `delta`
(text of the answer, empty when the chunk is something else) and `step` (the path of the workflow
step that it comes from, empty where there is none). So a reader that only wants text needs no
`match`, and the deltas of a stream together are its text: what the model thinks is `thought`.

Numbers rise. A delta that was joined from several has the number of its last one, so a reader that
comes back asks for what follows the last number it saw.
"""

from __future__ import annotations

from typing import Any

import msgspec

from understudy.messages.chat import Usage
from understudy.messages.errors import ErrorInfo


class Chunk(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """What all chunks share."""

    index: int = 0
    at: float = 0.0
    step: str = ""

    @property
    def delta(self) -> str:
        """The text of this chunk."""
        return ""


class TextDelta(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="text", gc=False):
    """Text as it arrives.

    Spelled out instead of derived from `Chunk`, so that `delta` is a plain field: this is the one
    chunk of which there are a million.
    """

    delta: str
    index: int = 0
    at: float = 0.0
    step: str = ""


class ThoughtDelta(Chunk, frozen=True, kw_only=True, tag="thought", gc=False):
    """Some of the model's reasoning, where the provider shows it; no part of the answer."""

    thought: str


class ToolCallStarted(Chunk, frozen=True, kw_only=True, tag="tool_started"):
    """The model called a tool, and the call has begun."""

    id: str
    name: str
    arguments: dict[str, Any]  # Any: JSON values, as the tool takes them


class ToolCallFinished(Chunk, frozen=True, kw_only=True, tag="tool_finished"):
    """A call of a tool has ended: `result` is what the model is told, or `error` why it failed."""

    id: str
    name: str
    result: Any = None  # Any: what the tool returned
    error: str | None = None
    duration: float = 0.0


class Metadata(Chunk, frozen=True, kw_only=True, tag="metadata"):
    """Facts about the answer: who gave it, how it ended, the provider's id of the request."""

    values: dict[str, Any]  # Any: plain values


class AgentStarted(Chunk, frozen=True, kw_only=True, tag="agent_started"):
    """A run of an agent has begun."""

    name: str
    run_id: str


class AgentFinished(Chunk, frozen=True, kw_only=True, tag="agent_finished"):
    """A run of an agent has ended; `usage` is what it took."""

    name: str
    run_id: str
    usage: Usage


class StepStarted(Chunk, frozen=True, kw_only=True, tag="step_started"):
    """The workflow step `step` has begun; `label` is what an item of `each` is called."""

    label: str = ""


class StepFinished(Chunk, frozen=True, kw_only=True, tag="step_finished"):
    """The workflow step `step` has ended, well or with `error`."""

    duration: float = 0.0
    error: ErrorInfo | None = None


class StreamFailed(Chunk, frozen=True, kw_only=True, tag="failed"):
    """The stream failed; `StreamEnd` follows. The error itself is raised by `.result`."""

    error: BaseException


class StreamEnd(Chunk, frozen=True, kw_only=True, tag="end"):
    """Always the last chunk, whatever happened."""


AnyChunk = (
    TextDelta
    | ThoughtDelta
    | ToolCallStarted
    | ToolCallFinished
    | Metadata
    | AgentStarted
    | AgentFinished
    | StepStarted
    | StepFinished
    | StreamFailed
    | StreamEnd
)
