"""What came of the requests of a load test, while it lasts and as a report.

A request that was due and has no answer when the test ends counts with the time that it had waited
by then: left out, the slowest would be the ones that are missing.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from understudy.actors.rules.histogram import Histogram
from understudy.messages.chat import Usage
from understudy.messages.errors import UnderstudyError

PERCENTS = (50.0, 90.0, 95.0, 99.0, 99.9)
PARTS = 8
"""Of each doubling, in the report's histogram."""

Loop = Literal["closed", "open"]


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """Times in seconds, at the usual percentiles."""

    mean: float
    least: float
    p50: float
    p90: float
    p95: float
    p99: float
    p999: float
    most: float

    @classmethod
    def of(cls, found: Histogram) -> Times:
        """As a histogram has them; zeros when it is empty."""
        p50, p90, p95, p99, p999 = map(found.percentile, PERCENTS)
        return cls(
            mean=found.mean, least=found.least, most=found.most,
            p50=p50, p90=p90, p95=p95, p99=p99, p999=p999,
        )  # fmt: skip


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """Answers that took from `above` to `up_to` seconds."""

    above: float
    up_to: float
    count: int


class LoadReport(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a load test.

    Attributes:
        loop: `open` measures latency from when a request was due, `closed` from when it was sent.
        rate: that was asked for, in the open loop.
        finished: False when it was interrupted.
        answered, failed: requests by how they ended.
        unanswered: due or under way when the test ended; in `latency` with what they had waited.
        duration: seconds from the first request to the last answer.
        throughput: answers a second.
        latency: of what was answered, and of what was not answered in time.
        service: the same from when it was sent: what the open loop's waiting is not in.
        errors: how often each kind failed, the most frequent first.
        said: what the first of each kind said.
    """

    loop: Loop
    model: str
    agents: int
    requests: int | None
    rate: float | None
    finished: bool
    answered: int
    failed: int
    unanswered: int
    duration: float
    throughput: float
    latency: Times
    service: Times
    histogram: tuple[Part, ...]
    errors: dict[str, int]
    said: dict[str, str]
    usage: Usage


class Tally:
    """Counts; `failed` and `answered` may be read while it goes on."""

    def __init__(self) -> None:
        self.answered = self.failed = self.unanswered = 0
        self.errors: dict[str, int] = {}
        self.said: dict[str, str] = {}
        self.latency, self.service = Histogram(), Histogram()
        self.usage = Usage()
        self.begin = self.end = 0.0

    def answer(self, due: float, sent: float, now: float, usage: Usage) -> None:
        """A request was answered."""
        self.answered += 1
        self.latency.record(now - due)
        self.service.record(now - sent)
        self.usage += usage
        self.end = now

    def failure(self, error: UnderstudyError, now: float) -> None:
        """A request ended with an error: how fast is no latency of an answer."""
        self.failed += 1
        kind = kind_of(error)
        self.errors[kind] = self.errors.get(kind, 0) + 1
        self.said.setdefault(kind, error.message)
        self.end = now

    def no_answer(self, due: float, now: float) -> None:
        """A request that was due has no answer, and will not get one."""
        self.unanswered += 1
        self.latency.record(now - due)
        self.end = max(self.end, now)

    @property
    def taken(self) -> float:
        """Seconds from the first request to the last answer."""
        return max(0.0, self.end - self.begin)

    def report(
        self, *, model: str, agents: int, requests: int | None, rate: float | None, finished: bool
    ) -> LoadReport:
        """All of it."""
        errors = sorted(self.errors.items(), key=lambda it: (-it[1], it[0]))
        return LoadReport(
            loop="closed" if rate is None else "open",
            model=model,
            agents=agents,
            requests=requests,
            rate=rate,
            finished=finished,
            answered=self.answered,
            failed=self.failed,
            unanswered=self.unanswered,
            duration=self.taken,
            throughput=self.answered / self.taken if self.taken else 0.0,
            latency=Times.of(self.latency),
            service=Times.of(self.service),
            histogram=tuple(
                Part(above=above, up_to=up_to, count=count)
                for above, up_to, count in self.latency.buckets(PARTS)
            ),
            errors=dict(errors),
            said={kind: self.said[kind] for kind, _ in errors},
            usage=self.usage,
        )


def kind_of(error: UnderstudyError) -> str:
    """What errors are counted by: the type, and the status where a provider sent one."""
    status = getattr(error, "status", None)
    return type(error).__name__ + (f" {status}" if status else "")
