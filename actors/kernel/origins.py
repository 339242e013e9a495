"""Sending in the name of a run: with an origin of its own, but nothing else changed.

A new run gets its own id while it inherits deadline and cancellation from whoever started it. This
sets the envelope in hand to one that says so, for as long as the block lasts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from understudy.actors.kernel.context import in_hand
from understudy.messages.envelope import Envelope, Origin


def in_the_name_of(origin: Origin) -> Envelope:
    """The envelope in hand, as it is but for its origin.

    The hot paths set it themselves; as a block (`under`) it costs three times as much.
    """
    hand = in_hand.get()
    if hand is None:
        return Envelope(None, origin=origin)
    return Envelope(None, hand.deadline, origin, hand.scope, None, hand.cell)


@contextmanager
def under(origin: Origin) -> Iterator[None]:
    """Whatever is sent in this block belongs to `origin`."""
    token = in_hand.set(in_the_name_of(origin))
    try:
        yield
    finally:
        in_hand.reset(token)


def origin_in_hand() -> Origin | None:
    """Where the message being handled here comes from, if there is one and it says so."""
    hand = in_hand.get()
    return None if hand is None else hand.origin


def is_named() -> bool:
    """Whether the session in hand was named for what begins here, and not only inherited."""
    origin = origin_in_hand()
    return origin is not None and origin.named
