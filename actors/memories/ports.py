"""What memories need from others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


class Embedder(Protocol):
    """Makes vectors of texts."""

    @property
    def name(self) -> str:
        """Whose vectors they are: those of different names are never compared."""

    async def embed(self, texts: Sequence[str]) -> Sequence[Any]:  # Any: packed floats, or numbers
        """One vector for each text, in order.

        Raises:
            UnderstudyError: there are none.
        """
