"""What a run of a workflow tells its stream: which step begins, which ends, and each one's words.

A nested workflow sings in the same stream, under the path of the step that it is. The stream is
never waited for here: the beginnings and ends are as many as the run has steps outstanding.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from understudy.actors.streams.steps import StepSink
from understudy.messages.chunks import StepFinished, StepStarted
from understudy.messages.errors import RunCancelledError, to_wire

if TYPE_CHECKING:
    from understudy.actors.streams.buffer import StreamBuffer


class Chorus:
    """The steps of one run in a stream."""

    def __init__(self, buffer: StreamBuffer) -> None:
        self.buffer = buffer
        self._sinks: dict[str, StepSink] = {}

    def begin(self, path: str, label: str) -> StepSink:
        """A step begins; gives where its words go."""
        buffer = self.buffer
        known = self._sinks.get(path)
        if known is not None:
            return known  # another attempt: nothing was heard of the one before
        if not buffer.text_only:
            at = buffer.at
            with suppress(RunCancelledError):  # closed: the run hears of it by its cancellation
                buffer.add(lambda i: StepStarted(step=path, label=label, index=i, at=at))
        sink = self._sinks[path] = StepSink(buffer, path)
        return sink

    def was_heard(self, path: str) -> bool:
        """Whether the step of this path has said anything yet."""
        sink = self._sinks.get(path)
        return sink is not None and sink.first_at is not None

    def end(self, path: str, duration: float, error: BaseException | None) -> None:
        """A step has ended."""
        buffer, sink = self.buffer, self._sinks.pop(path, None)
        failure = None if error is None else to_wire(error)
        with suppress(RunCancelledError):
            if sink is not None:
                sink.finish()
            if not buffer.text_only:
                at = buffer.at
                buffer.add(
                    lambda i: StepFinished(
                        step=path, duration=duration, error=failure, index=i, at=at
                    )
                )
