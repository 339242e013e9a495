"""`[tools]`, as the family takes it: what holds for tools that do not say otherwise."""

from __future__ import annotations

import msgspec

from understudy.actors.rules.breaker import BreakerPolicy


class CachedTools(msgspec.Struct, frozen=True, kw_only=True):
    """`[tools.cache]`, where it is enabled.

    Attributes:
        ttl: seconds that a result lives, where the tool does not say.
        include: names of tools whose results are kept although they do not say what happens when
            they run; `*`: of all of them.
    """

    ttl: float = 300.0
    include: tuple[str, ...] = ()


class ToolDefaults(msgspec.Struct, frozen=True, kw_only=True):
    """`[tools]`: what holds for tools that do not say otherwise.

    Attributes:
        timeout: seconds for each attempt.
        max_retries: further attempts for tools whose `effects` allow it.
        rate_limit: calls a second, of all tools together that have no bound of their own.
        max_concurrent: calls at a time, likewise.
        breaker: when to stop calling a tool that fails; None: never.
        cache: tools whose results are kept without saying so themselves; None: no others are.
    """

    timeout: float = 30.0
    max_retries: int = 0
    rate_limit: float | None = None
    max_concurrent: int | None = None
    breaker: BreakerPolicy | None = None
    cache: CachedTools | None = None
