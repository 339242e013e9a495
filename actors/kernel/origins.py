"""Sending in the name of a run: with an origin of its own, but nothing else changed.

A new run gets its own id while it inherits deadline and cancellation from whoever started it. This
sets the envelope in hand to one that says so, for as long as the block lasts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from understudy.actors.kernel.context import in_hand
from understudy.messages.envelope import Envelope, Origin


@contextmanager
def under(origin: Origin) -> Iterator[None]:
    """Whatever is sent in this block belongs to `origin`."""
    hand = in_hand.get()
    if hand is None:
        env = Envelope(None, origin=origin)
    else:
        env = Envelope(None, hand.deadline, origin, hand.scope, None, hand.cell)
    token = in_hand.set(env)
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
