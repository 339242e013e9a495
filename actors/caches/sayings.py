"""What a cache says to itself: how a lookup goes on that took more than looking."""

from __future__ import annotations

from typing import Any

import msgspec

from understudy.messages.control import Outcome


class Search(msgspec.Struct, frozen=True):
    """Look in the file, or for another wording (from the actor to itself)."""

    flight: Any  # Any: Flight


class Searched(msgspec.Struct, frozen=True):
    """What was found there: (entry, layer, why), or nothing (from the actor to itself)."""

    flight: Any  # Any: Flight
    outcome: Outcome


class Landed(msgspec.Struct, frozen=True):
    """A call has ended (from the actor to itself)."""

    flight: Any  # Any: Flight
    call: Any  # Any: its Reply


class Left(msgspec.Struct, frozen=True):
    """Somebody waits no more (from the actor to itself)."""

    flight: Any  # Any: Flight


class Said(msgspec.Struct, frozen=True):
    """An answer that took asking somebody (from the actor to itself)."""

    deferred: Any  # Any: Deferred
    outcome: Outcome
