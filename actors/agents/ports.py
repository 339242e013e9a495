"""What an agent needs from the other families, which it does not know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from understudy.messages.agents import AgentSpec
    from understudy.messages.chunks import AnyChunk


class ServedModel(Protocol):
    """The Model actor of an agent."""

    @property
    def ref(self) -> Any:  # Any: Ref of a Model actor
        """Whom to ask."""

    @property
    def model(self) -> str:
        """The name behind the provider's colon."""

    @property
    def provider(self) -> str:
        """The name before it."""


class Sampling(Protocol):
    """What agents use that do not say otherwise."""

    @property
    def temperature(self) -> float | None:
        """Of their requests, where it is sent at all."""

    @property
    def max_tokens(self) -> int | None:
        """Of each answer."""


class Models(Protocol):
    """Finds the Model actor of an agent."""

    @property
    def defaults(self) -> Sampling:
        """What agents use that do not say otherwise."""

    def find(self, spec: AgentSpec) -> ServedModel:
        """Raises ConfigError or AuthenticationError when there can be none."""


class Sink(Protocol):
    """The producer's side of a stream; used on the runtime's loop."""

    first_at: float | None
    """Seconds from the beginning to the first text."""
    text_only: bool
    """Nobody wants anything but text: `put` builds nothing then."""

    @property
    def at(self) -> float:
        """Seconds since the stream began."""

    async def put(self, make: Callable[[int], AnyChunk]) -> None:
        """Take the chunk that `make` makes of its index; waits while the reader is behind.

        With `text_only` nothing is made, nothing is taken, and nothing is waited for.

        Raises:
            RunCancelledError: the stream was closed.
        """
