"""Health: whether a runtime does its work, and if not, why.

It looks and asks nobody: so it answers from any thread, the loop's included, and also when the loop
stands still, which is what it is for. What it reads changes while it reads; each fact is true of
the instant at which it was read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from understudy.messages.control import Health

if TYPE_CHECKING:
    from understudy.actors.kernel.system import ActorSystem
    from understudy.runtime.crew import Crew
    from understudy.runtime.pool.handle import PoolHandle

READY_LAG = 1.0
"""Seconds: a loop that takes longer to turn is not ready for more work."""
LIVE_LAG = 10.0
"""Seconds: a loop that takes longer to turn is taken for dead."""


def health_of(
    name: str,
    system: ActorSystem | None,
    crew: Crew | None,
    pools: dict[str, PoolHandle],
    *,
    lag: float,
    open_runs: int,
    stopping: bool,
) -> Health:
    """The health of a runtime with these parts; `system` is None before its start."""
    if system is None or crew is None:
        unborn = ("it has not been started",)
        return _health(name, unborn, live=False, stopping=False, open_runs=open_runs)
    over = system.closing or system.lost is not None or system.loop.is_closed()
    why: list[str] = []
    if system.lost is not None:
        why.append(str(system.lost))
    elif over:
        why.append("it has stopped")
    elif stopping:
        why.append("it is stopping")
    if not over and lag > READY_LAG:
        why.append(f"the loop has not turned for {lag:.1f} s")
    parked = tuple(sorted(system.parked_cells))
    breakers = () if over else _open_breakers(crew, pools)
    why += [f"{path} is parked: it has failed too often" for path in parked]
    why += [f"the breaker of {breaker} is open" for breaker in breakers]
    return _health(
        name,
        tuple(why),
        live=not over and lag <= LIVE_LAG,
        stopping=stopping or over,
        open_runs=open_runs,
        parked=parked,
        breakers=breakers,
        lag=lag,
    )


def _health(
    name: str,
    why: tuple[str, ...],
    *,
    live: bool,
    stopping: bool,
    open_runs: int,
    parked: tuple[str, ...] = (),
    breakers: tuple[str, ...] = (),
    lag: float = 0.0,
) -> Health:
    return Health(
        name=name,
        live=live,
        ready=live and not why,
        why=why,
        stopping=stopping,
        parked=parked,
        breakers=breakers,
        loop_lag=lag,
        open_runs=open_runs,
    )


def _open_breakers(crew: Crew, pools: dict[str, PoolHandle]) -> tuple[str, ...]:
    found = [f"limiter {name}" for name in crew.limiters.open_breakers()]
    found += [f"tool {name}" for name in crew.tools.open_breakers()]
    found += [f"pool {pool.name}" for pool in crew.steps.pools if pool.stats.breaker == "open"]
    found += [f"pool {name}" for name, pool in pools.items() if pool.stats.breaker == "open"]
    return tuple(sorted(found))
