"""What a limiter says: its refusals, and its events, which are built only for who subscribed."""

from __future__ import annotations

from understudy.actors.kernel.system import ActorSystem
from understudy.messages.errors import (
    BreakerOpenError,
    OverloadedError,
    RateLimitError,
    UnderstudyError,
)
from understudy.messages.events import BreakerClosed, BreakerOpened, GateClosed, PermitWaited
from understudy.messages.limits import Acquire


class Sayings:
    """Speaks for one limiter.

    Args:
        name: of the account.
        system: whose events they are.
    """

    __slots__ = ("_name", "_system")

    def __init__(self, name: str, system: ActorSystem) -> None:
        self._name = name
        self._system = system

    # -- refusals: final, because the limiter is the one that knows when ---------------------------

    def open_error(self, seconds: float) -> BreakerOpenError:
        """The breaker is open for so long."""
        msg = f"{self._name}: most calls fail; the next one is tried in {seconds:.1f} s"
        return BreakerOpenError(msg, retry_after=seconds, retryable=False)

    def late_error(self, expected: float, left: float) -> RateLimitError:
        """A permit would come after the deadline."""
        msg = (
            f"{self._name}: a permit is {expected:.1f} s away, the deadline {max(0.0, left):.1f} s;"
            " call less often, or give it more time"
        )
        return RateLimitError(msg, retry_after=expected, retryable=False)

    def full_error(self, waiting: int) -> OverloadedError:
        """The queue is full."""
        msg = (
            f"{self._name}: {waiting} callers wait for a permit already (Limit(queue=) bounds "
            "them); call less often"
        )
        return OverloadedError(msg, retryable=False)

    def ticket_error(self, ticket: str) -> UnderstudyError:
        """A ticket that is out is used again."""
        return UnderstudyError(
            f"{self._name}: ticket {ticket!r} is in use; each call needs its own"
        )

    # -- events ------------------------------------------------------------------------------------

    def waited(self, ask: Acquire, seconds: float) -> None:
        """A permit came after a wait."""
        system = self._system
        if system.events.wants(PermitWaited):
            event = PermitWaited(
                at=system.clock.wall(),
                limiter=self._name,
                tenant=ask.tenant,
                session=ask.session,
                seconds=seconds,
            )
            system.events.publish(event)

    def gate_closed(self, seconds: float) -> None:
        """A 429 came."""
        system = self._system
        if system.events.wants(GateClosed):
            at = system.clock.wall()
            system.events.publish(GateClosed(at=at, limiter=self._name, seconds=seconds))

    def breaker_opened(self, seconds: float) -> None:
        """Most calls fail."""
        system = self._system
        if system.events.wants(BreakerOpened):
            at = system.clock.wall()
            system.events.publish(BreakerOpened(at=at, limiter=self._name, seconds=seconds))

    def breaker_closed(self) -> None:
        """Calls succeed again."""
        system = self._system
        if system.events.wants(BreakerClosed):
            system.events.publish(BreakerClosed(at=system.clock.wall(), limiter=self._name))
