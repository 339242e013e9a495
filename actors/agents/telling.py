"""Telling the reader of a stream about tool calls."""

from __future__ import annotations

from understudy.actors.agents.ports import Sink
from understudy.messages.chat import ToolCall
from understudy.messages.chunks import ToolCallFinished, ToolCallStarted
from understudy.messages.tools import ToolResult


class Telling:
    """Puts chunks about the tool calls of a run into its stream."""

    __slots__ = ("_sink",)

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    async def started(self, call: ToolCall) -> None:
        """A call has begun."""
        sink = self._sink
        await sink.put(
            lambda i: ToolCallStarted(
                id=call.id, name=call.name, arguments=call.arguments, index=i, at=sink.at
            )
        )

    async def finished(self, result: ToolResult) -> None:
        """A call has ended, well or not."""
        sink = self._sink
        await sink.put(
            lambda i: ToolCallFinished(
                id=result.call_id,
                name=result.name,
                result=result.value,
                error=result.error,
                duration=result.duration,
                index=i,
                at=sink.at,
            )
        )
