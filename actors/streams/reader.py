"""A reader of a stream: its position in the log, and how it waits.

    while chunks := await reader.anext_batch():     # or reader.next_batch() on a thread
        for chunk in chunks:
            reader.position = chunk.index + 1       # what counts as read
            ...

It takes what waits as a batch, because a lock and a wake-up for each chunk cost more than the
chunk. The owner's position is the producer's credit. Neighbouring deltas that wait are joined,
where the buffer joins at all; a joined one has the number of its last.

A reader that is not the owner and falls out of the window gets `StreamFailed` with a
`StreamError(reason="lagged")`, and the end. One at a time may iterate; any thread, any loop.
"""

from __future__ import annotations

import asyncio
from _thread import get_ident
from contextlib import nullcontext, suppress
from typing import Any

from understudy.actors.kernel.dispatchers.threads import current_worker
from understudy.actors.kernel.parking import resolve
from understudy.actors.kernel.reply import Reply
from understudy.actors.streams.buffer import WINDOW, StreamBuffer
from understudy.messages.chunks import AnyChunk, StreamEnd, StreamFailed, TextDelta
from understudy.messages.errors import ConfigError, StreamError
from understudy.messages.kinds import WHOLE

Waiter = Reply[None] | asyncio.Future[None]
_ALWAYS = (TextDelta, StreamFailed, StreamEnd)


class Reader:
    """See the module's docstring; made by `subscribe`."""

    __slots__ = (
        "_buffer",
        "_left",
        "_most",
        "_on_lag",
        "_thread",
        "error",
        "position",
        "text_only",
        "waiting",
    )

    def __init__(self, buffer: StreamBuffer, position: int, *, text_only: bool) -> None:
        self._buffer = buffer
        self._most = buffer.size if buffer.joins else (buffer.size + 1) // 2
        self._left = False
        self._on_lag: Any = None  # Any: told how many chunks were missed, when that happens
        self.error: BaseException | None = None
        """Why this reader lost its stream."""
        self.position = position
        """The number of the next chunk to read."""
        self.text_only = text_only
        self.waiting: Waiter | None = None
        self._thread = 0  # of the loop that waits

    # -- batches -----------------------------------------------------------------------------------

    def next_batch(self, timeout: float | None = None) -> list[AnyChunk]:
        """The next chunks; blocks this thread until there are some. Empty after the end.

        Raises:
            DeadlineExceededError: there are none within `timeout` seconds.
        """
        while not (batch := self._take()):
            ready: Reply[None] = Reply()
            if not self._waits_with(ready):
                if self.over:
                    return []
                continue
            worker = current_worker()
            try:
                with nullcontext() if worker is None else worker.dispatcher.spare():
                    ready.get(timeout=timeout)
            except BaseException:
                self.waiting = None  # nobody waits any more
                raise
        return batch

    async def anext_batch(self) -> list[AnyChunk]:
        """The twin of `next_batch`."""
        buffer = self._buffer
        while True:
            # Nothing there is the usual case: this is once a token when the model is slow.
            if (self.position < buffer.next or buffer.held_up) and (batch := self._take()):
                return batch
            # A plain future and no Reply, for the same reason; and which loop runs here is known
            # on the runtime's own (asyncio asks the operating system for the process each time).
            home, thread = buffer.home, get_ident()
            if home is not None and thread == home.loop_thread:
                ready: asyncio.Future[None] = asyncio.Future(loop=home.loop)
            else:
                ready = asyncio.get_running_loop().create_future()
            self._thread = thread
            if self._waits_with(ready):
                await ready
            elif self.over:
                return []

    @property
    def over(self) -> bool:
        """The end has been read."""
        lost = self._left or self.error is not None
        return lost or (self._buffer.closed and self.position >= self._buffer.next)

    def pause(self) -> None:
        """What was taken has been read: the producer may go on, if it waits."""
        buffer = self._buffer
        if buffer.held_up and buffer.owner is self:
            buffer.relieve()

    @property
    def asleep(self) -> bool:
        """Whether somebody waits for its next chunk."""
        waiting = self.waiting
        if waiting is None:
            return False
        return not (waiting.done if isinstance(waiting, Reply) else waiting.done())

    @property
    def waits(self) -> int:
        """Chunks that wait for it."""
        return max(0, self._buffer.next - self.position)

    def leave(self) -> bool:
        """Read no more; the slowest of the others takes an owner's place.

        Returns:
            True when it was the last one.
        """
        buffer = self._buffer
        with buffer.lock:
            self._left = True
            if self in buffer.readers:
                buffer.readers.remove(self)
            if buffer.owner is self and buffer.readers:
                buffer.owner = min(buffer.readers, key=lambda reader: reader.position)
            waiting, self.waiting = self.waiting, None
            last = not buffer.readers
        if waiting is not None:
            self.rouse(waiting)
        buffer.relieve()
        return last

    # -- private -----------------------------------------------------------------------------------

    def _take(self) -> list[AnyChunk]:
        """What waits, as it is to be read; nothing when there is nothing just now, or no more."""
        buffer = self._buffer
        if buffer.held_up:
            self.pause()
        if self.position >= buffer.next or self._left or self.error is not None:
            return []
        while True:
            with buffer.lock:
                start = self.position - buffer.base
                if start < 0:
                    buffer.dropped -= start
                    return self._fallen(-start)
                batch = buffer.log[start : start + self._most]
                if buffer.owner is self:
                    buffer.peak = max(buffer.peak, len(buffer.log) - start)
            if not self.text_only or buffer.text_only or not batch:
                break
            after = batch[-1].index + 1
            batch = [chunk for chunk in batch if isinstance(chunk, _ALWAYS)]
            if batch:
                break
            self.position = after
        if buffer.joins and len(batch) > 1:
            joined = _joined(batch)
            buffer.coalesced += len(batch) - len(joined)
            return joined
        return batch

    def _waits_with(self, ready: Waiter) -> bool:
        """Have `rouse` called with it; False when there is something already, or never will be."""
        buffer = self._buffer
        with buffer.lock:
            if self._left or self.position < buffer.next or buffer.closed:
                return False
            buffer.sleeping = True
            self.waiting = ready
            return True

    def rouse(self, waiting: Waiter) -> None:
        """Whoever waited with it goes on. Any thread; not under the lock."""
        if isinstance(waiting, Reply):
            waiting.set(None)
        elif get_ident() == self._thread:
            if not waiting.done():
                waiting.set_result(None)
        else:
            with suppress(RuntimeError):  # its loop is closed: nobody waits there any more
                waiting.get_loop().call_soon_threadsafe(resolve, waiting)

    def _fallen(self, missed: int) -> list[AnyChunk]:
        buffer = self._buffer
        msg = (
            f"this reader fell {missed} chunks behind the window of the stream; read faster, or "
            "read as its owner"
        )
        self.error = StreamError(msg, reason="lagged")
        at, index = buffer.at, self.position
        if self._on_lag is not None:
            self._on_lag(missed)
        return [
            StreamFailed(error=self.error, index=index, at=at),
            StreamEnd(index=index + 1, at=at),
        ]


def subscribe(
    buffer: StreamBuffer,
    *,
    after: int | None = None,
    text_only: bool = False,
    owner: bool = False,
    on_lag: Any = None,  # Any: called with the number of missed chunks
) -> Reader:
    """A reader of what follows chunk number `after`, or of all that is still there.

    Any thread. The first that wants more than text has the other chunks made, from then on.

    Raises:
        ConfigError: there is no chunk number `after`.
    """
    with buffer.lock:
        if after is not None and not (WHOLE.fits(after) and -1 <= after < buffer.next):
            msg = f"after={after!r}: this stream has the chunks 0 to {buffer.next - 1} so far"
            raise ConfigError(msg)
        position = buffer.base if after is None else after + 1
        reader = Reader(buffer, position, text_only=text_only)
        reader._on_lag = on_lag  # noqa: SLF001 - ours
        buffer.readers.append(reader)
        if owner:
            buffer.owner = reader
        else:
            buffer.widen(WINDOW)
        if not text_only:
            buffer.text_only = False
    return reader


def _joined(batch: list[AnyChunk]) -> list[AnyChunk]:
    """Neighbouring deltas of one step as one, with the number and time of the last."""
    found: list[AnyChunk] = []
    run: list[TextDelta] = []
    for chunk in batch:
        if type(chunk) is TextDelta:
            if run and run[-1].step != chunk.step:
                found.append(_one(run))
                run = []
            run.append(chunk)
            continue
        if run:
            found.append(_one(run))
            run = []
        found.append(chunk)
    if run:
        found.append(_one(run))
    return found


def _one(run: list[TextDelta]) -> TextDelta:
    last = run[-1]
    if len(run) == 1:
        return last
    text = "".join([chunk.delta for chunk in run])
    return TextDelta(delta=text, index=last.index, at=last.at, step=last.step)
