"""The chunks of a stream, as its reader sees them.

Each has `index` (its number within the stream), `at` (seconds since the stream began) and `delta`
(text, empty when the chunk is not text), so a reader that only wants text needs no `match`.
"""

from __future__ import annotations

import msgspec

from understudy.messages.chat import Usage


class Chunk(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """What all chunks share."""

    index: int = 0
    at: float = 0.0

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


class AgentStarted(Chunk, frozen=True, kw_only=True, tag="agent_started"):
    """A run of an agent has begun."""

    name: str
    run_id: str


class AgentFinished(Chunk, frozen=True, kw_only=True, tag="agent_finished"):
    """A run of an agent has ended; `usage` is what it took."""

    name: str
    run_id: str
    usage: Usage


class StreamFailed(Chunk, frozen=True, kw_only=True, tag="failed"):
    """The stream failed; `StreamEnd` follows. The error itself is raised by `.result`."""

    error: BaseException


class StreamEnd(Chunk, frozen=True, kw_only=True, tag="end"):
    """Always the last chunk, whatever happened."""


AnyChunk = TextDelta | AgentStarted | AgentFinished | StreamFailed | StreamEnd
