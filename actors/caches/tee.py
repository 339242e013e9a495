"""One streamed answer, read by several: the copy is taken at the producer.

The caller whose call it is reads its stream as always, and only its reader holds the producer up.
Everybody else who asks the same meanwhile reads the copy at a pace of its own, from the beginning;
what is left of it when the answer is whole goes to the cache. Where the owner goes away and others
still read, the producer goes on without it.

Guarantees: chunks are replayed one by one, in order; a copy that would be larger than `limit` is
given up, and those who read it are told (`StreamError(lagged)`). On the loop's thread alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from understudy.actors.kernel.sinks import Sink
from understudy.messages.chunks import AnyChunk
from understudy.messages.errors import RunCancelledError, StreamError

LIMIT = 4 * 1024 * 1024
"""Characters of a copy."""
BATCH = 64
"""Chunks between two turns of the loop."""

Piece = tuple[bool, str]
"""Whether it is a thought, and its text."""


class Reader(Protocol):
    """Who reads a copy."""

    reads: bool
    """Whether it has read some of it."""

    @property
    def over(self) -> bool:
        """Whether it has no more to read: it leads itself, or has its answer."""


class Tee:
    """See the module's docstring; to its producer it is a sink.

    Args:
        others: how many read the copy.
    """

    text_only = False  # a later reader may want the thoughts
    retain = "full"

    def __init__(self, others: Callable[[], int]) -> None:
        self._others = others
        self._owner: Sink | None = None
        self._pieces: list[Piece] = []
        self._length = 0
        self._wakes: list[asyncio.Future[None]] = []
        self.whole = True
        """Whether the copy is all that was said."""
        self.done = False

    def own(self, sink: Sink) -> Tee:
        """Give the stream to its owner."""
        self._owner = sink
        return self

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """The copy so far."""
        return tuple(self._pieces)

    # -- the producer ------------------------------------------------------------------------------

    @property
    def at(self) -> float:
        """See `Sink.at`."""
        return 0.0 if self._owner is None else self._owner.at

    @property
    def credit(self) -> int:
        """See `Sink.credit`."""
        return BATCH if self._owner is None else self._owner.credit

    def offer(self, text: str) -> bool:
        """See `Sink.offer`."""
        self._take(text, thought=False)
        return self._passed(lambda owner: owner.offer(text))

    def offer_all(self, texts: Sequence[str]) -> bool:
        """See `Sink.offer_all`."""
        for text in texts:
            self._take(text, thought=False)
        return self._passed(lambda owner: owner.offer_all(texts))

    def think(self, thought: str) -> bool:
        """See `Sink.think`."""
        self._take(thought, thought=True)
        return self._passed(lambda owner: owner.text_only or owner.think(thought))

    async def room(self) -> None:
        """See `Sink.room`."""
        if self._owner is None:
            await asyncio.sleep(0)
            return
        try:
            await self._owner.room()
        except RunCancelledError:
            self._abandon()

    async def put(self, make: Callable[[int], AnyChunk]) -> None:
        """See `Sink.put`; facts are no part of the copy."""
        if self._owner is None:
            return
        try:
            await self._owner.put(make)
        except RunCancelledError:
            self._abandon()

    def _passed(self, give: Callable[[Sink], bool]) -> bool:
        if self._owner is None:
            return False  # so that the producer lets the others have their turn
        try:
            return give(self._owner)
        except RunCancelledError:
            self._abandon()
            return False

    def _abandon(self) -> None:
        """The owner has gone; without anybody else it is over."""
        if not self._others():
            raise RunCancelledError("the stream was closed by its reader")
        self._owner = None

    def _take(self, text: str, *, thought: bool) -> None:
        if not self.whole:
            return
        self._length += len(text)
        if self._length > LIMIT:
            self.whole = False
            self._pieces.clear()
        else:
            self._pieces.append((thought, text))
        if self._wakes:
            self.wake()

    def wake(self) -> None:
        """Let those who read look again."""
        wakes, self._wakes = self._wakes, []
        for wake in wakes:
            if not wake.done():
                wake.set_result(None)

    # -- its end -----------------------------------------------------------------------------------

    def finish(self) -> None:
        """It is all there, or has failed."""
        self.done = True
        self.wake()

    def begin_again(self) -> None:
        """Another caller has it made: the copy begins anew."""
        self._owner, self._length, self.whole = None, 0, True
        self._pieces = []
        self.wake()

    # -- those who read the copy -------------------------------------------------------------------

    async def pour(self, sink: Sink, reader: Reader) -> None:
        """Read it into a sink, to its end or until the reader has no more to read here.

        Raises:
            StreamError: the copy was given up while it was read.
        """
        position = 0
        while not reader.over:
            if not self.whole:
                told = "the stream that this one follows is longer than what is kept of it"
                raise StreamError(told, reason="lagged")
            if position < len(self._pieces):
                batch = self._pieces[position : position + BATCH]
                position += len(batch)
                reader.reads = True
                await replay(batch, sink)
            elif self.done:
                return
            else:
                wake = asyncio.get_running_loop().create_future()
                self._wakes.append(wake)
                await wake


async def replay(pieces: Sequence[Piece], sink: Sink) -> None:
    """Give pieces to a sink, one by one, as fast as it has room."""
    for thought, text in pieces:
        if thought and sink.text_only:
            continue
        if not (sink.think(text) if thought else sink.offer(text)):
            await sink.room()
