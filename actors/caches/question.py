"""What a cache has to know about what is looked up: how to make it, copy it, and tell it apart.

The families whose calls are cached know that; a cache knows only keys, copies and time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from understudy.messages.chat import Usage

if TYPE_CHECKING:
    from understudy.actors.caches.tee import Tee


class Wording(NamedTuple):
    """What a question says, where others may say the same: all else is in `partition`."""

    partition: bytes
    text: str


class Question(Protocol):
    """See the module's docstring. Used on the loop's thread.

    Attributes:
        ttl: seconds that the answer lives.
        tenant: for whom it is.
        tags: what it may be invalidated by.
        wording: None where only the exact question is the same.
        persistent: the copy is bytes that mean the same in another process.
        reads: it has read some of another's stream already.
    """

    ttl: float
    tenant: str
    wording: Wording | None
    persistent: bool
    reads: bool

    @property
    def tags(self) -> tuple[str, ...]:
        """Found when the answer is kept, not before."""

    def begin(self, tee: Tee) -> Any:  # Any: a Reply with the value
        """Have it made. What is streamed goes through `tee`.

        Raises:
            Exception: it may not be made for this one (who is told so).
        """

    def follow(self, tee: Tee) -> None:
        """Somebody else has it made: read it from `tee` meanwhile, where that is wanted."""

    def keeps(self, value: Any) -> bool:  # Any: what was made
        """Whether it is an answer that may be given again."""

    def freeze(self, value: Any, tee: Tee | None) -> tuple[Any, int]:  # Any: what was made
        """A copy that nobody else holds, and its bytes.

        Raises:
            Exception: there can be none.
        """

    def thaw(self, kept: Any) -> Any:  # Any: what `freeze` gave; the value
        """The value again, for one who may do with it what it likes.

        Raises:
            Exception: it cannot be read.
        """

    def usage_of(self, value: Any) -> Usage | None:  # Any: what was made
        """The tokens that it took."""
