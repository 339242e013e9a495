"""When a failed child may start again: intensity and backoff, as a pure rule.

OTP counts restarts per supervisor, so that five children which fail once each stop all five. Here
each child has its own account: more than `intensity` failures within `period` seconds and it stays
down; until then the delay doubles from `backoff_min` to `backoff_max`, with jitter so that children
of one cause do not come back at one instant, and is forgotten after `quiet` seconds without a
failure.
"""

from __future__ import annotations

import msgspec


class RestartPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of restarting; times in seconds, `jitter` as a share of the delay."""

    intensity: int = 5
    period: float = 30.0
    backoff_min: float = 0.1
    backoff_max: float = 10.0
    jitter: float = 0.2
    quiet: float = 60.0


class RestartHistory:
    """The failures of one child that still count."""

    __slots__ = ("_delays", "_last", "_times")

    def __init__(self) -> None:
        self._times: list[float] = []
        self._delays = 0
        self._last = float("-inf")

    def delay(self, policy: RestartPolicy, now: float, random: float) -> float | None:
        """Seconds to wait before the next life, or None when there shall be none.

        Args:
            policy: the bounds.
            now: the time of this failure, in monotonic seconds.
            random: a number in [0, 1) for the jitter.
        """
        if now - self._last >= policy.quiet:
            self._times.clear()
            self._delays = 0
        self._last = now
        self._times = [at for at in self._times if now - at < policy.period]
        self._times.append(now)
        if len(self._times) > policy.intensity:
            return None
        base = min(policy.backoff_max, policy.backoff_min * 2.0**self._delays)
        self._delays += 1
        return base * (1 + policy.jitter * (2 * random - 1))
