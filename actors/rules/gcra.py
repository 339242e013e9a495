"""The generic cell rate algorithm: a rate with a burst, in one number.

A bucket keeps the *theoretical arrival time* of the next unit. A request of `cost` units moves it
by `cost * period / limit`; it conforms while that lies at most a burst ahead of now. Compared with
fixed windows it never lets twice the limit through at an edge, and compared with a leaky bucket it
needs no ticking. (ITU-T I.371, 1996; the form used here is the virtual scheduling one.)

A cost above the burst would never conform. It is let through when the bucket is full, and then
owed.
"""

from __future__ import annotations

_DUST = 1e-9
"""Seconds: less than that is what adding up floats leaves, and no time to wait."""


class Gcra:
    """One dimension of a limit; time is handed in, in seconds.

    Args:
        limit: units per `period`.
        period: seconds.
        burst: units that may pass at once after a quiet time; at least 1.
    """

    __slots__ = ("_interval", "_tat", "burst", "limit", "period")

    def __init__(self, limit: float, period: float, burst: float) -> None:
        self.limit = limit
        self.period = period
        self.burst = max(1.0, burst)
        self._interval = period / limit
        self._tat = float("-inf")

    def wait(self, now: float, cost: float) -> float:
        """Seconds until `cost` units conform; 0.0 when they do now."""
        behind = self._tat - now
        if cost >= self.burst:  # when nothing is owed
            return behind if behind > _DUST else 0.0
        wait = behind + (cost - self.burst) * self._interval
        return wait if wait > _DUST else 0.0

    def queue_wait(self, now: float, total: float) -> float:
        """Seconds until the last of `total` units, taken bit by bit, would conform."""
        behind = max(0.0, self._tat - now)
        return max(0.0, behind + (total - self.burst) * self._interval)

    def take(self, now: float, cost: float) -> None:
        """Take `cost` units, whether they conform or not."""
        begin = max(now, self._tat)
        self._tat = begin + cost * self._interval

    def give_back(self, cost: float) -> None:
        """Correct an estimate: `cost` units were not used (a negative number: were used too)."""
        self._tat -= cost * self._interval

    def tighten(self, now: float, remaining: float, reset: float) -> None:
        """Believe somebody who counts too, where they say less is left than we think.

        Args:
            now: the time.
            remaining: units that are left.
            reset: seconds until the bucket is full again.
        """
        full_in = min(reset, max(0.0, self.limit - remaining) * self._interval)
        tat = now + full_in - max(0.0, self.limit - self.burst) * self._interval
        self._tat = max(self._tat, tat)

    def slow_to(self, interval: float) -> None:
        """A unit takes at least so many seconds from now on."""
        if interval > self._interval:
            self.burst = max(1.0, self.burst * self._interval / interval)
            self._interval = interval
            self.limit = self.period / interval

    def follow(self, before: Gcra) -> None:
        """Take the place of another bucket: what is owed there is owed here."""
        self._tat = before._tat

    def left(self, now: float) -> float:
        """Units that would conform now."""
        used = max(0.0, self._tat - now) / self._interval
        return max(0.0, self.burst - used)
