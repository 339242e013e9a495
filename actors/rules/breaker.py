"""A circuit breaker, as a pure rule.

Closed, it counts the last `window` seconds; with at least `min_calls` of them and `failure_rate` of
those failed it opens for `open_for` seconds, doubling up to `max_open` each time it has to open
again at once. After that it is half open: one probe may pass, then `probes` more, and if they all
succeed it closes. One failed probe opens it again; the others are not let through meanwhile.

After a long outage the doubled time would go on long after its end. So with `scout` a single call
may pass every so many seconds while it is open; one that succeeds makes it half open at once, one
that fails changes nothing. Half open, one more probe may pass as often, because the first may hang
on a connection that died in the outage; the first to succeed makes those before it irrelevant.
"""

from __future__ import annotations

from collections import deque
from typing import Literal

import msgspec

BreakerState = Literal["closed", "open", "half_open"]


class BreakerPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of a breaker; times in seconds, `scout` None: nothing passes while it is open."""

    window: float = 20.0
    min_calls: int = 10
    failure_rate: float = 0.5
    open_for: float = 5.0
    max_open: float = 60.0
    probes: int = 3
    scout: float | None = None


class Breaker:
    """The state of one breaker; time is handed in."""

    __slots__ = (
        "_failed",
        "_open_for",
        "_out",
        "_policy",
        "_scout_at",
        "_succeeded",
        "_until",
        "_well",
    )

    def __init__(self, policy: BreakerPolicy | None = None) -> None:
        self._policy = policy = policy or BreakerPolicy()
        self._well: deque[float] = deque()  # when calls of the last window have ended
        self._failed: deque[float] = deque()
        self._open_for = policy.open_for
        self._until: float | None = None
        self._scout_at = float("inf")
        self._out = 0
        self._succeeded = 0

    def state(self, now: float) -> BreakerState:
        """Closed, open, or half open."""
        if self._until is None:
            return "closed"
        return "open" if now < self._until else "half_open"

    def retry_after(self, now: float) -> float:
        """Seconds until a probe may pass; 0.0 unless it is open."""
        return 0.0 if self._until is None else max(0.0, self._until - now)

    def allow(self, now: float) -> bool:
        """Whether a call may be made now; in the half open state it is a probe then."""
        state = self.state(now)
        if state == "half_open":
            allowed = 1 if self._succeeded == 0 else self._policy.probes
            if self._out >= allowed and now < self._scout_at:
                return False
            self._scout_at = now + (self._policy.scout or float("inf"))
            self._out += 1
            return True
        return state == "closed"

    def scout(self, now: float) -> bool:
        """Whether one call may be made although it is open; tell `found_well` if it succeeds."""
        if self.state(now) != "open" or now < self._scout_at:
            return False
        self._scout_at = now + (self._policy.scout or 0.0)
        return True

    def scout_in(self, now: float) -> float:
        """Seconds until one more call may pass, whatever became of the ones before."""
        return max(0.0, self._scout_at - now)

    def found_well(self, now: float) -> None:
        """A scout has succeeded: it is half open now, and that was the first probe."""
        if self.state(now) == "open":
            self._until = now
            self._succeeded = 1

    @property
    def tripped(self) -> bool:
        """True unless it is closed: how calls end is of interest."""
        return self._until is not None

    def forgo(self) -> None:
        """A call that was allowed will have no end to be recorded: another may be tried."""
        self._out = max(0, self._out - 1)

    def record(self, now: float, *, ok: bool) -> None:
        """How a call that was allowed has ended."""
        if self._until is not None:
            self._record_probe(now, ok)
            return
        policy, well, failed = self._policy, self._well, self._failed
        (well if ok else failed).append(now)
        horizon = now - policy.window
        while well and well[0] <= horizon:
            well.popleft()
        if not failed:
            return
        while failed and failed[0] <= horizon:
            failed.popleft()
        calls = len(well) + len(failed)
        if failed and calls >= policy.min_calls and len(failed) >= policy.failure_rate * calls:
            self._open(now)

    def _record_probe(self, now: float, ok: bool) -> None:  # noqa: FBT001 - internal
        if self.state(now) == "open":
            return  # a call from before it opened
        self._out = max(0, self._out - 1)
        if not ok:
            self._open_for = min(self._policy.max_open, self._open_for * 2)
            self._open(now)
            return
        if self._succeeded == 0:
            self._out = 0  # those before it hang
        self._succeeded += 1
        if self._succeeded > self._policy.probes:
            self._until = None
            self._open_for = self._policy.open_for
            self._forget()

    def _open(self, now: float) -> None:
        self._until = now + self._open_for
        self._scout_at = now + (self._policy.scout or float("inf"))
        self._out = self._succeeded = 0
        self._forget()

    def _forget(self) -> None:
        self._well.clear()
        self._failed.clear()
