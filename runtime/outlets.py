"""Streams in other forms: a file, a queue, server-sent events.

None has a thread or a task of its own: whoever reads it reads the stream, so what is left half-way
costs nothing, and the producer is held up as ever.
"""

from __future__ import annotations

import io
import queue
from _thread import allocate_lock
from collections import deque
from collections.abc import AsyncIterator, Iterator
from typing import Any, TypeVar

import msgspec

from understudy.actors.streams.reader import Reader
from understudy.messages.chunks import AnyChunk
from understudy.messages.errors import ConfigError, DeadlineExceededError, to_wire
from understudy.messages.words import repr_of
from understudy.runtime.reading import StreamReader

T = TypeVar("T")


class StreamFile(io.TextIOBase):
    """The text of a stream as a file; see `StreamReader.as_reader`.

    `read` and `readline` block, and raise what the run failed with when they come to its end.
    """

    def __init__(self, stream: StreamReader[Any]) -> None:  # Any: the output's type
        self._stream = stream
        self._texts = stream.text()
        self._rest = ""

    def readable(self) -> bool:
        """It is."""
        return True

    def read(self, size: int | None = -1, /) -> str:
        """So many characters, fewer only at the end; all of them when `size` is negative."""
        self._check_open()
        limit = -1 if size is None or size < 0 else size
        parts, count = [self._rest], len(self._rest)
        while limit < 0 or count < limit:
            text = self._next()
            if not text:
                break
            parts.append(text)
            count += len(text)
        whole = "".join(parts)
        if limit < 0:
            self._rest = ""
            return whole
        self._rest = whole[limit:]
        return whole[:limit]

    def readline(self, size: int | None = -1, /) -> str:  # type: ignore[override]  # as IOBase does
        """The text up to and with the next line end."""
        self._check_open()
        limit = -1 if size is None or size < 0 else size
        parts = [self._rest]
        count = len(self._rest)
        while "\n" not in parts[-1] and (limit < 0 or count < limit):
            text = self._next()
            if not text:
                break
            parts.append(text)
            count += len(text)
        whole = "".join(parts)
        end = whole.find("\n") + 1 or len(whole)
        if limit >= 0:
            end = min(end, limit)
        self._rest = whole[end:]
        return whole[:end]

    def close(self) -> None:
        """Close the stream."""
        if not self.closed:
            self._stream.close()
        super().close()

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("read of a closed stream")

    def _next(self) -> str:
        return next(self._texts, "")


class StreamQueue(queue.Queue[AnyChunk]):
    """The chunks of a stream as a queue; see `StreamReader.to_queue`. Any thread may `get`.

    After `StreamEnd` there is nothing more: `get` raises `queue.Empty` at once.
    """

    def __init__(self, stream: StreamReader[Any], reader: Reader) -> None:  # Any: as above
        super().__init__()
        self._stream = stream  # held, so that it is not taken for abandoned
        self._reader = reader
        self._batch: deque[AnyChunk] = deque()
        self._mutex = allocate_lock()

    def get(self, block: bool = True, timeout: float | None = None) -> AnyChunk:  # noqa: FBT001, FBT002 - as the base class
        """The next chunk.

        Raises:
            queue.Empty: none within `timeout` seconds, or none any more.
            WouldDeadlockError: on the loop that fills the stream, unless `block=False`.
        """
        if block:
            self._stream.check_thread("read it with `async for`")
        with self._mutex:
            if not self._batch:
                try:
                    seconds = timeout if block else 0.0
                    self._batch.extend(self._reader.next_batch(seconds))
                except DeadlineExceededError:
                    raise queue.Empty from None
                if not self._batch:
                    raise queue.Empty
            chunk = self._batch.popleft()
            self._reader.position = chunk.index + 1
            if not self._batch:
                self._reader.pause()
            return chunk

    def qsize(self) -> int:
        """Chunks that wait; neighbouring texts may yet be joined."""
        return self._reader.waits

    def empty(self) -> bool:
        """Whether there is nothing just now."""
        return self.qsize() == 0

    def full(self) -> bool:
        """Never: the stream has its own bound."""
        return False

    def put(self, item: AnyChunk, block: bool = True, timeout: float | None = None) -> None:  # noqa: FBT001, FBT002 - as the base class
        """Refused: the run fills it."""
        del item, block, timeout
        msg = "a stream's queue is filled by its run"
        raise TypeError(msg)


class ServerSentEvents:
    """Bytes for `text/event-stream`, made by `sse_events`: iterate with `for` or `async for`."""

    def __init__(self, stream: StreamReader[Any]) -> None:  # Any: the output's type
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._stream:
            yield event_of(chunk)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            yield event_of(chunk)


def sse_events(stream: StreamReader[Any]) -> ServerSentEvents:  # Any: the output's type
    """The chunks of a stream as server-sent events, the end included.

    Each has the chunk's number as `id`, its kind as `event` and its fields as JSON: a browser that
    comes back says in `Last-Event-ID` what `stream.subscribe(after=...)` wants to know. The headers
    are the web framework's to set: `content-type: text/event-stream`.
    """
    return ServerSentEvents(_stream(stream))


def collect_stream(stream: StreamReader[Any]) -> str:  # Any: the output's type
    """The whole text of a stream; blocks until it is complete. See `StreamReader.collect`."""
    return _stream(stream).collect()


def stream_to_queue(stream: StreamReader[Any]) -> queue.Queue[AnyChunk]:  # Any: as above
    """The chunks of a stream as a queue. See `StreamReader.to_queue`."""
    return _stream(stream).to_queue()


def _stream(given: Any) -> StreamReader[Any]:  # Any: what users pass; the output's type
    if not isinstance(given, StreamReader):
        raise ConfigError(f"{given!r} is no stream; pass what agent.stream(...) gives")
    return given


def event_of(chunk: AnyChunk) -> bytes:
    """One chunk as a server-sent event."""
    kind = type(chunk).__struct_config__.tag
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (
        chunk.index,
        str(kind).encode(),
        _encoder.encode(chunk),
    )


def _plain(value: object) -> object:
    """What JSON has no word for: errors as data, anything else as text."""
    return to_wire(value) if isinstance(value, BaseException) else repr_of(value)


_encoder = msgspec.json.Encoder(enc_hook=_plain)
