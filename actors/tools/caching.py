"""Which tools have their results kept, and why the others have not.

Whoever writes a tool knows whether calling it again is as good as what it gave before. It says so
by `effects` (`none`, `idempotent`), or by a `cache=` of its own; `[tools.cache]` alone never caches
a tool that says nothing, unless its `include` names it.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from understudy.actors.tools.defaults import CachedTools
from understudy.actors.tools.signature import Signature
from understudy.messages.caches import Cached, CacheSpec
from understudy.messages.tools import ToolSpec

Ended = tuple[tuple[Any, str] | None, Any]  # Any: a value; what else is told of the call
"""A value and how it reads, or None; and the rest, which only who made the call is told."""


class ResultCache(Protocol):
    """Where results are kept (see `actors.caches.outcomes`)."""

    async def perform(
        self,
        tool: str,
        number: int,
        arguments: Any,  # Any: JSON values
        work: Any,  # Any: gives a coroutine of `Ended`
        ttl: float,
    ) -> tuple[Ended, Cached | None]:
        """How a call ended, and where that was found; None: it was made for this caller."""


class Caching(NamedTuple):
    """How the results of a tool are kept: for how long, in a cache of its own where it has one."""

    ttl: float = 0.0
    own: CacheSpec | None = None
    left_out: str | None = None
    """Not at all: why `[tools.cache]` leaves it out."""


def caching_of(
    spec: ToolSpec, signature: Signature | None, switch: CachedTools | None
) -> Caching | None:
    """How the results of a tool are kept; None where nobody asks for it."""
    own: Any = spec.cache  # Any: checked when the tool was made
    if own is not None:
        return Caching(own.ttl, own) if isinstance(own, CacheSpec) else Caching(float(own))
    if switch is None:
        return None
    if spec.effects == "at_most_once":
        return Caching(left_out="its effects are at_most_once")
    named = spec.name in switch.include
    if spec.effects is None and not named and "*" not in switch.include:
        return Caching(
            left_out="it does not say effects='none' or 'idempotent'; say so, give it cache=, or "
            "name it in [tools.cache] include"
        )
    if signature is not None and signature.context is not None and not named:
        return Caching(
            left_out="it reads the run's context, which is no part of its arguments; give it "
            "cache=, or name it in [tools.cache] include"
        )
    return Caching(switch.ttl)
