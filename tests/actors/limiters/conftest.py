"""A limiter on a simulated stage."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from understudy import Ref, Runtime, child
from understudy.actors.kernel.reply import Reply
from understudy.actors.limiters.limiter import LimiterActor
from understudy.actors.rules.breaker import BreakerPolicy
from understudy.messages.events import Event
from understudy.messages.limits import (
    Acquire,
    AskStats,
    Headroom,
    Limit,
    LimiterStats,
    Permit,
    Settle,
)
from understudy.testing import SimRuntime


class Desk:
    """One limiter and its callers, in virtual time.

    Attributes:
        events: what was published, in order.
    """

    def __init__(self, rt: Runtime, ref: Ref[Any]) -> None:  # Any: Ref of LimiterActor
        self.rt = rt
        self.ref = ref
        self.events: list[Event] = []
        self._numbers = itertools.count(1)

    @property
    def now(self) -> float:
        """Virtual seconds."""
        return asyncio.get_running_loop().time()

    def ask(self, *, timeout: float = 1_000.0, **options: Any) -> Reply[Permit]:
        """Ask for a permit, and do not wait for it."""
        ticket = options.pop("ticket", f"t{next(self._numbers)}")
        return self.ref.request(Acquire(ticket=ticket, **options), timeout=timeout)

    def settle(self, permit: Permit | str, **options: Any) -> None:
        """Give it back."""
        ticket = permit if isinstance(permit, str) else permit.ticket
        self.ref.tell(Settle(ticket=ticket, **options))

    async def call(self, *, ended: str = "answered", **options: Any) -> Permit:
        """A call that takes no time."""
        permit = await self.ask(**options)
        self.settle(permit, ended=ended)
        return permit

    async def learn(self, *headroom: Headroom, model: str = "m") -> None:
        """A call whose answer's headers say that."""
        permit = await self.ask(model=model)
        self.settle(permit, headroom=headroom)

    async def stats(self) -> LimiterStats:
        """The limiter's, after everything that was sent before."""
        stats: LimiterStats = await self.ref.request(AskStats())
        return stats


Play = Callable[..., Any]


@pytest.fixture
def play() -> Play:
    """Runs `main(desk)` in virtual time; gives what it returns."""

    def run(
        main: Callable[[Desk], Awaitable[Any]],  # Any: what a test wants out of it
        limit: Limit | None = None,
        *,
        breaker: BreakerPolicy | None = None,
        seed: int = 1,
        hears: tuple[type[Event], ...] = (),
    ) -> Any:
        async def staged(rt: Runtime) -> Any:  # Any: as above
            spec = child(LimiterActor, "acme:*", limit or Limit(), breaker)
            desk = Desk(rt, await rt.aspawn(spec, name="limiter"))
            for kind in hears:
                rt.events.subscribe(kind, desk.events.append)
            found = await main(desk)
            await asyncio.sleep(0)
            return found

        return SimRuntime(seed).run(staged)

    return run
