"""The sink port: where the pieces of a streamed answer go.

Models fill a sink, streams are one, and a cache is one in between; none of these families knows the
others. Used on the runtime's loop. Every method raises `RunCancelledError` when the stream was
closed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from understudy.messages.chunks import AnyChunk


class Sink(Protocol):
    """See the module's docstring."""

    text_only: bool
    """Nobody wants anything but text."""

    @property
    def retain(self) -> str:
        """How much of the text the `Completion` shall hold: `full`, `tail` or `none`."""

    @property
    def at(self) -> float:
        """Seconds since the stream began."""

    @property
    def credit(self) -> int:
        """How many texts may come now; at least 1."""

    def offer(self, text: str) -> bool:
        """Take some text; False: await `room` before the next."""

    def offer_all(self, texts: Sequence[str]) -> bool:
        """Take several, at most `credit`."""

    def think(self, thought: str) -> bool:
        """Take some reasoning, as `offer`."""

    async def room(self) -> None:
        """Wait until there is room."""

    async def put(self, make: Callable[[int], AnyChunk]) -> None:
        """Take the chunk that `make` makes of its index."""
