"""The buffer of a stream: bounded, between one producer and one reader.

The producer writes on the runtime's loop and waits while the buffer is full, so that it stops
reading its socket; the reader drains on any loop or thread. Chunks do not travel as messages: the
buffer is filled and drained directly, and a waiting side is woken once. The end and an error are
always delivered, whether there is room or not.

What the reader sees is complete and in order; after `close` nothing is taken any more.
"""

from __future__ import annotations

from _thread import allocate_lock
from collections import deque
from collections.abc import Callable
from typing import Any

from understudy.actors.kernel.reply import Reply
from understudy.messages.chunks import AnyChunk, StreamEnd, StreamFailed, TextDelta, ThoughtDelta
from understudy.messages.errors import ConfigError, RunCancelledError


class StreamBuffer:
    """Chunks on their way.

    Args:
        size: chunks that may wait for the reader.
        now: monotonic seconds.
    """

    def __init__(self, size: int, now: Callable[[], float]) -> None:
        if size < 1:
            msg = f"buffer_size={size}: at least 1 chunk is needed"
            raise ConfigError(msg)
        self._size = size
        self._now = now
        self._begin = now()
        self._lock = allocate_lock()
        self._chunks: deque[AnyChunk] = deque()
        self._index = 0
        self._closed = False
        self._reader: Reply[None] | None = None
        self._writer: Reply[None] | None = None
        self._text: list[str] = []
        self.text_only = False
        """Nobody wants anything but text: other chunks are not even made."""
        self.first_at: float | None = None
        """Seconds from the beginning to the first text."""

    @property
    def text(self) -> str:
        """All text that was written so far."""
        return "".join(self._text)

    async def write(self, text: str) -> None:
        """Take some text; waits while the buffer is full."""
        at = self._now() - self._begin
        if self.first_at is None:
            self.first_at = at
        self._text.append(text)
        await self._put(lambda index: TextDelta(delta=text, index=index, at=at))

    async def think(self, thought: str) -> None:
        """Take some reasoning; waits while the buffer is full."""
        await self.put(lambda index: ThoughtDelta(thought=thought, index=index, at=self.at))

    async def put(self, make: Callable[[int], AnyChunk]) -> None:
        """Take the chunk that `make` makes of its index; waits while the buffer is full.

        Raises:
            RunCancelledError: the stream was closed.
        """
        if self.text_only:
            return
        await self._put(make)

    async def _put(self, make: Callable[[int], AnyChunk]) -> None:
        while True:
            with self._lock:
                if self._closed:
                    raise RunCancelledError("the stream was closed by its reader")
                if len(self._chunks) < self._size:
                    self._append(make)
                    reader, self._reader = self._reader, None
                    break
                if self._writer is None or self._writer.done:  # done: who waited was cancelled
                    self._writer = Reply()
                writer = self._writer
            await writer
        if reader is not None:
            reader.set(None)

    def close(self, error: BaseException | None = None) -> None:
        """End the stream: the error, if there is one, and the end. Once; later calls do nothing."""
        with self._lock:
            if self._closed:
                return
            if error is not None:
                failure = error
                self._append(lambda index: StreamFailed(error=failure, index=index, at=self.at))
            self._append(lambda index: StreamEnd(index=index, at=self.at))
            self._closed = True
            reader, self._reader = self._reader, None
            writer, self._writer = self._writer, None
        for waiting in (reader, writer):
            if waiting is not None:
                waiting.set(None)

    def take(self) -> AnyChunk | None:
        """The next chunk, or None when there is none just now."""
        with self._lock:
            if not self._chunks:
                return None
            chunk = self._chunks.popleft()
            writer, self._writer = self._writer, None
        if writer is not None:
            writer.set(None)
        return chunk

    def readable(self) -> Reply[Any]:
        """Answered when there is something to take: await it, or `.get()` it on a thread."""
        with self._lock:
            if not self._chunks:
                if self._reader is None or self._reader.done:  # done: who waited was cancelled
                    self._reader = Reply()
                return self._reader
        ready: Reply[Any] = Reply()
        ready.set(None)
        return ready

    @property
    def at(self) -> float:
        """Seconds since the stream began."""
        return self._now() - self._begin

    def _append(self, make: Callable[[int], AnyChunk]) -> None:
        self._chunks.append(make(self._index))
        self._index += 1
