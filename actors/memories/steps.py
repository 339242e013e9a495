"""What the Memory actor says to itself: that something it has begun beside its handlers is done."""

from __future__ import annotations

import msgspec

from understudy.actors.kernel.deferred import Deferred
from understudy.actors.memories.shelf import Key
from understudy.messages.control import Outcome
from understudy.messages.memories import Clear, Erase, Ingest, Recall


class Loaded(msgspec.Struct, frozen=True):
    """A session was read, or could not be."""

    key: Key
    epoch: int
    outcome: Outcome


class Written(msgspec.Struct, frozen=True):
    """Turns were written, or could not be."""

    key: Key
    numbers: tuple[int, ...]
    deferred: Deferred
    outcome: Outcome


class Answer(msgspec.Struct, frozen=True):
    """Something was done in the background."""

    asked: Clear | Erase | Ingest | Recall
    deferred: Deferred
    outcome: Outcome
    edition: int = 0


class Sweep(msgspec.Struct, frozen=True):
    """It is time to forget what is over."""
