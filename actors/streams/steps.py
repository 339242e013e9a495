"""A step's place in the stream of its workflow.

Steps run beside each other and share one buffer: what each says is marked with its path, and text
is joined step by step, so that neighbours of one step are joined whoever speaks in between. For the
agent of the step it is a sink like any other. A step's text is in the stream once, as it is made;
what the workflow gives in the end is not repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from understudy.actors.streams.buffer import StreamBuffer
from understudy.actors.streams.joining import HELD, HELD_TEXT, Cancellable, JoiningBuffer
from understudy.messages.chunks import AnyChunk, TextDelta, ThoughtDelta


class StepSink:
    """See the module's docstring; used on the runtime's loop.

    Args:
        buffer: of the workflow's stream.
        step: the path of the step.
    """

    retain = "full"
    """The steps behind need all of its text, however much of it the stream keeps."""

    def __init__(self, buffer: StreamBuffer, step: str) -> None:
        self._buffer = buffer
        self._step = step
        self._texts: list[str] = []
        self._held: list[str] = []
        self._length = 0
        self._bell: Cancellable | None = None
        self.first_at: float | None = None
        """Seconds from the stream's beginning to the first text of the step."""

    @property
    def text(self) -> str:
        """All text of the step so far."""
        return "".join(self._texts)

    @property
    def text_only(self) -> bool:
        """See `StreamBuffer.text_only`."""
        return self._buffer.text_only

    @property
    def at(self) -> float:
        """Seconds since the stream began."""
        return self._buffer.at

    @property
    def credit(self) -> int:
        """See `StreamBuffer.credit`."""
        return self._buffer.credit

    def offer(self, text: str) -> bool:
        """See `StreamBuffer.offer`."""
        buffer = self._buffer
        self._texts.append(text)
        self._held.append(text)
        self._length += len(text)
        if self.first_at is None:
            self.first_at = buffer.at
        elif (
            isinstance(buffer, JoiningBuffer)
            and not buffer.closed
            and len(self._held) < HELD
            and self._length < HELD_TEXT
        ):
            if self._bell is None:
                self._bell = buffer.later(self._ring)
            return buffer.has_room
        return self._flush()

    def offer_all(self, texts: Sequence[str]) -> bool:
        """See `StreamBuffer.offer_all`."""
        fits = True
        for text in texts:
            fits = self.offer(text)
        return fits

    def think(self, thought: str) -> bool:
        """See `StreamBuffer.think`."""
        if self.text_only:
            return True
        self._flush()
        at, step = self.at, self._step
        return self._buffer.add(
            lambda index: ThoughtDelta(thought=thought, index=index, at=at, step=step)
        )

    async def put(self, make: Callable[[int], AnyChunk]) -> None:
        """See `StreamBuffer.put`."""
        if self.text_only:
            return
        await self._buffer.room()
        self._flush()
        step = self._step
        self._buffer.add(lambda index: msgspec.structs.replace(make(index), step=step))

    async def room(self) -> None:
        """See `StreamBuffer.room`."""
        await self._buffer.room()

    def finish(self) -> None:
        """The step has ended: what is held goes on."""
        if not self._buffer.closed:
            self._flush()

    def _ring(self) -> None:
        self._bell = None
        buffer = self._buffer
        if buffer.closed or not self._held:
            return
        if buffer.has_room:
            self._flush()
        elif isinstance(buffer, JoiningBuffer):
            self._bell = buffer.later(self._ring)

    def _flush(self) -> bool:
        if self._bell is not None:
            self._bell.cancel()
            self._bell = None
        held = self._held
        if not held:
            return self._buffer.has_room
        self._held, self._length = [], 0
        self._buffer.coalesced += len(held) - 1
        text, at, step = "".join(held), self.at, self._step
        return self._buffer.add(
            lambda index: TextDelta(delta=text, index=index, at=at, step=step), text
        )
