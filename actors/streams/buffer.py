"""The buffer of a stream: bounded, between one producer and its readers.

The producer adds chunks to a log on the runtime's loop; each reader has a position in it and drains
it directly, on any loop or thread. Chunks do not travel as messages: whoever waits is woken once.

Guarantees
- What a reader sees is complete, in order and numbered; a reader that fell out of the window is
  told so. The end and an error are always delivered, whether there is room or not.
- At most `buffer_size` chunks, and about `max_bytes` of large ones, wait for the owner: then
  `offer` says False, and the producer awaits `room` before it goes on (and stops reading its
  socket). Only the owner holds the producer up; the others read the window behind it.
- After `close` nothing is taken any more.

`offer` is plain and not a coroutine: an await for each token would cost more than all the rest.
`StreamBuffer` passes every delta on; `JoiningBuffer` (see `joining`) holds text for a while.
"""

from __future__ import annotations

from _thread import allocate_lock
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from understudy.actors.kernel.reply import Reply
from understudy.actors.rules.kept import kept
from understudy.messages.chunks import AnyChunk, StreamEnd, StreamFailed, TextDelta, ThoughtDelta
from understudy.messages.errors import RunCancelledError
from understudy.messages.streams import StreamOptions, StreamStats

if TYPE_CHECKING:
    from understudy.actors.kernel.system import ActorSystem
    from understudy.actors.streams.reader import Reader

WINDOW = 256
"""Chunks that are kept behind the owner, or as many as its buffer holds."""


class StreamBuffer:
    """Chunks on their way.

    Args:
        options: sizes, and what is wanted.
        now: monotonic seconds.
    """

    joins = False
    """Whether a reader may find neighbouring deltas joined."""

    def __init__(self, options: StreamOptions, now: Callable[[], float]) -> None:
        self.options = options
        self.size = options.buffer_size
        self.text_only = options.text_only
        """Nobody wants anything but text: other chunks are not even made."""
        self.first_at: float | None = None
        """Seconds from the beginning to the first text."""
        self.lock = allocate_lock()
        self.log: list[AnyChunk] = []
        self.base = 0
        """The number of the first chunk in the log."""
        self.next = 0
        """The number that the next chunk gets."""
        self.closed = False
        self.error: BaseException | None = None
        """What the stream failed with."""
        self.owner: Reader | None = None
        self.readers: list[Reader] = []
        self.sleeping = False
        """A reader waits for the next chunk."""
        self.held_up = False
        """The producer waits for room: the owner tells it of some (`relieve`)."""
        self.home: ActorSystem | None = None
        """On whose loop most readers wait, where it has one."""
        self.coalesced = self.dropped = self.peak = 0
        self._now = now
        self._begin = now()
        self._kept = kept(options.retain)
        self._keep = self._kept.add
        self._window = 0 if options.retain == "none" else max(self.size, WINDOW)
        self._writers: list[Reply[None]] = []
        self._stalled = 0
        # A delta that is longer counts by its bytes; all others together are below the bound.
        self._heavy = max(1, options.max_bytes // 8 // self.size)
        self._ahead: deque[tuple[int, int]] = deque()  # numbers and bytes of large deltas unread,
        self._behind: deque[tuple[int, int]] = deque()  # and of those that the owner has read
        self._ahead_bytes = self._behind_bytes = 0
        self._alarm = self.size  # the number at which there may be no room any more

    # -- the producer, on the runtime's loop -------------------------------------------------------

    def offer(self, text: str) -> bool:
        """Take some text; False: await `room` before the next.

        Raises:
            RunCancelledError: the stream was closed.
        """
        with self.lock:
            if self.closed:
                raise self._refusal()
            index = self.next
            at = self._now() - self._begin
            self.log.append(TextDelta(delta=text, index=index, at=at))
            self.next = index + 1
            self._keep(text)
            if index + 1 < self._alarm and len(text) < self._heavy and self.first_at is not None:
                fits = True
            else:
                fits = self._added(at, text)
        if self.sleeping:
            self.wake()
        return fits

    def offer_all(self, texts: Sequence[str]) -> bool:
        """Take several deltas, as many as `credit` says at most; else as `offer`."""
        if self.first_at is None or any(len(text) >= self._heavy for text in texts):
            fits = True
            for text in texts:
                fits = self.offer(text)
            return fits
        with self.lock:
            if self.closed:
                raise self._refusal()
            at = self._now() - self._begin
            self.log += [
                TextDelta(delta=text, index=index, at=at)
                for index, text in enumerate(texts, self.next)
            ]
            self.next += len(texts)
            self._kept.extend(texts)
            fits = self.next < self._alarm or self._fits()
        if self.sleeping:
            self.wake()
        return fits

    @property
    def retain(self) -> str:
        """How much of the text is kept."""
        return self.options.retain

    @property
    def has_room(self) -> bool:
        """Whether the next chunk may come."""
        with self.lock:
            return self._fits()

    @property
    def credit(self) -> int:
        """Deltas that may come now; at least 1."""
        read = self.owner.position if self.owner is not None else self.base
        return max(1, read + self.size - self.next)

    def think(self, thought: str) -> bool:
        """Take some reasoning, as `offer`; nothing with `text_only`."""
        if self.text_only:
            return True
        return self.add(lambda index: ThoughtDelta(thought=thought, index=index, at=self.at))

    def add(self, make: Callable[[int], AnyChunk], text: str = "") -> bool:
        """Take the chunk that `make` makes of its index, and says `text`; as `offer`."""
        with self.lock:
            if self.closed:
                raise self._refusal()
            self._flush()
            self._append(make(self.next))
            if text:
                self._keep(text)
                fits = self._added(self.at, text)
            else:
                fits = self._fits()
        if self.sleeping:
            self.wake()
        return fits

    async def put(self, make: Callable[[int], AnyChunk]) -> None:
        """Take the chunk that `make` makes of its index; waits while there is no room.

        With `text_only` nothing is made, nothing is taken, and nothing is waited for.

        Raises:
            RunCancelledError: the stream was closed.
        """
        if self.text_only:
            return
        await self.room()
        self.add(make)

    async def room(self) -> None:
        """Wait until the owner has read something.

        Raises:
            RunCancelledError: the stream was closed.
        """
        stalled = False
        while True:
            with self.lock:
                if self.closed:
                    raise self._refusal()
                self.held_up = True  # first: an owner that reads meanwhile then sees it
                if self._fits():
                    self.held_up = False
                    return
                if not stalled:
                    self._stalled += 1
                    stalled = True
                writer: Reply[None] = Reply()
                self._writers.append(writer)
            await writer

    @property
    def at(self) -> float:
        """Seconds since the stream began."""
        return self._now() - self._begin

    # -- its end -----------------------------------------------------------------------------------

    def close(self, error: BaseException | None = None) -> None:
        """End the stream: the error, if there is one, and the end. Once; later calls do nothing."""
        with self.lock:
            if self.closed:
                return
            self._flush()
            at = self.at
            if error is not None:
                self.error = error
                self._append(StreamFailed(error=error, index=self.next, at=at))
            self._append(StreamEnd(index=self.next, at=at))
            self.closed = True
            writers, self._writers = self._writers, []
        self.wake()
        for writer in writers:
            writer.set(None)

    # -- readers -----------------------------------------------------------------------------------

    def wake(self) -> None:
        """Tell the readers that wait."""
        woken = []
        with self.lock:
            self.sleeping = False
            for reader in self.readers:
                if reader.waiting is not None:
                    woken.append((reader, reader.waiting))
                    reader.waiting = None
        for reader, waiting in woken:
            reader.rouse(waiting)

    def relieve(self) -> None:
        """The owner has read: let the producer go on."""
        with self.lock:
            self.held_up = False
            writers, self._writers = self._writers, []
        for writer in writers:
            writer.set(None)

    def widen(self, window: int) -> None:
        """Keep more behind the owner: somebody else reads too. Under the lock."""
        self._window = max(self._window, window, self.size)

    @property
    def text(self) -> str:
        """The text that was taken so far, as much of it as is kept."""
        with self.lock:
            return self._kept.text

    @property
    def stats(self) -> StreamStats:
        """How it is doing."""
        with self.lock:
            depth = self._depth()
            return StreamStats(
                depth=depth,
                peak=max(self.peak, depth),
                stalled=self._stalled,
                coalesced=self.coalesced,
                dropped=self.dropped,
                readers=len(self.readers),
            )

    # -- private: under the lock -------------------------------------------------------------------

    def _flush(self) -> None:
        """Text that is held goes on."""

    def _append(self, chunk: AnyChunk) -> None:
        self.log.append(chunk)
        self.next += 1

    def _added(self, at: float, text: str) -> bool:
        """What a delta may change: the first one, a large one, one that fills the buffer."""
        if self.first_at is None:
            self.first_at = at
        if len(text) >= self._heavy:
            weight = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
            self._ahead.append((self.next - 1, weight))
            self._ahead_bytes += weight
        return self._fits()

    def _depth(self) -> int:
        return self.next - (self.base if self.owner is None else self.owner.position)

    def _fits(self) -> bool:
        """Whether the next chunk may come; forgets what nobody can ask for any more."""
        read = self.base if self.owner is None else self.owner.position
        while self._ahead and self._ahead[0][0] < read:
            entry = self._ahead.popleft()
            self._behind.append(entry)
            self._ahead_bytes -= entry[1]
            self._behind_bytes += entry[1]
        if len(self.log) > 2 * self._window + self.size or self._behind:
            self._forget(read)
        self._alarm = read + self.size
        return self.next < self._alarm and self._ahead_bytes < self.options.max_bytes

    def _forget(self, read: int) -> None:
        floor = max(self.base, read - self._window)
        limit = self.options.max_bytes if self._window else 0
        while self._behind and (self._behind_bytes > limit or self._behind[0][0] < floor):
            number, weight = self._behind.popleft()
            self._behind_bytes -= weight
            floor = max(floor, number + 1)
        del self.log[: floor - self.base]
        self.base = floor

    def _refusal(self) -> RunCancelledError:
        return RunCancelledError("the stream was closed by its reader")
