"""A buffer that holds text for a while, so that neighbouring deltas become one.

A token costs a list entry here and nothing else; a chunk is made when `flush_interval` has passed
since the first token that is held, when `HELD` tokens are, or when something else must not overtake
them. The first delta goes on at once. Time is the clock port's, so a simulation drives it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from understudy.actors.streams.buffer import StreamBuffer
from understudy.messages.chunks import TextDelta
from understudy.messages.streams import StreamOptions

HELD = 1024
"""Tokens that are held at most."""
LONG = 64
"""Characters at which a token counts as text and not as a token,"""
HELD_TEXT = 64 * 1024
"""of which so many are held at most."""


class Cancellable(Protocol):
    """A call that is set for later."""

    def cancel(self) -> None:
        """Do not call it."""


class JoiningBuffer(StreamBuffer):
    """See the module's docstring.

    Args:
        options: as for `StreamBuffer`.
        now: monotonic seconds.
        after: calls a function on the loop after some seconds.
    """

    joins = True

    def __init__(
        self,
        options: StreamOptions,
        now: Callable[[], float],
        after: Callable[[float, Callable[[], None]], Cancellable],
    ) -> None:
        super().__init__(options, now)
        self._after = after
        self._held: list[str] = []
        self._length = 0  # of the long ones that are held
        self._patience = 1  # tokens at which something is to be done
        self._bell: Cancellable | None = None

    def offer(self, text: str) -> bool:
        """See `StreamBuffer.offer`."""
        held = self._held
        held.append(text)
        if len(held) < self._patience and len(text) < LONG:
            return True
        return self._consider(len(text))

    def offer_all(self, texts: Sequence[str]) -> bool:
        """See `StreamBuffer.offer_all`."""
        if not texts:
            return True
        if self.first_at is None:
            fits = self.offer(texts[0])
            return self.offer_all(texts[1:]) if len(texts) > 1 else fits
        self._held += texts
        longest = len(max(texts, key=len))
        if len(self._held) < self._patience and longest < LONG:
            return True
        return self._consider(0 if longest < LONG else sum(map(len, texts)))

    def later(self, ring: Callable[[], None]) -> Cancellable:
        """Call `ring` on the loop when text has been held for long enough."""
        return self._after(self.options.flush_interval, ring)

    @property
    def text(self) -> str:
        """See `StreamBuffer.text`; with what is held."""
        with self.lock:
            return self._kept.text + "".join(self._held)

    @property
    def credit(self) -> int:
        """See `StreamBuffer.credit`."""
        return HELD

    def _consider(self, length: int) -> bool:
        with self.lock:
            if self.closed:
                raise self._refusal()
            if length >= LONG:
                self._length += length
            if self.first_at is None or len(self._held) >= HELD or self._length >= HELD_TEXT:
                self._flush()
            elif self._bell is None:
                self._patience = HELD
                self._bell = self.later(self._ring)
            fits = self._fits()
        if self.sleeping:
            self.wake()
        return fits

    def _ring(self) -> None:
        """The time is over for what is held; where there is no room it waits for some."""
        with self.lock:
            self._bell = None
            self._patience = 1
            if self.closed or not self._held:
                return
            if not self._fits():
                self._bell = self.later(self._ring)
                self._patience = HELD
                return
            self._flush()
        if self.sleeping:
            self.wake()

    def _flush(self) -> None:
        held = self._held
        if not held:
            return
        self._held, self._length = [], 0
        self.coalesced += len(held) - 1
        text = held[0] if len(held) == 1 else "".join(held)
        at = self.at
        self._append(TextDelta(delta=text, index=self.next, at=at))
        self._keep(text)
        self._added(at, text)

    def close(self, error: BaseException | None = None) -> None:
        """See `StreamBuffer.close`."""
        super().close(error)
        self._patience = 1
        bell, self._bell = self._bell, None
        if bell is not None:
            bell.cancel()


def make_buffer(options: StreamOptions, system: Any) -> StreamBuffer:  # Any: an ActorSystem
    """The buffer that the options ask for, with the ports of `system`."""
    if options.flush_interval > 0:
        buffer: StreamBuffer = JoiningBuffer(options, system.now, system.after)
    else:
        buffer = StreamBuffer(options, system.now)
    buffer.home = system
    return buffer
