"""Load in virtual time: what is asked when, and what is counted."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from understudy import ConfigError, RateLimitError, Runtime, Usage
from understudy.messages.agents import AgentSpec
from understudy.runtime.edge.load.drive import Driver
from understudy.runtime.edge.load.in_process import InProcessModel
from understudy.runtime.edge.load.plan import MOST, Plan
from understudy.runtime.edge.load.tally import LoadReport
from understudy.testing import SimRuntime

ONE = Usage(input_tokens=1, output_tokens=2)


def drive(
    plan: Plan, ask: Callable[[Runtime], Awaitable[Usage]], *, stop_at: float | None = None
) -> tuple[LoadReport, Driver]:
    """Run a plan in a simulation."""
    made: list[Driver] = []

    async def main(rt: Runtime) -> LoadReport:
        driver = Driver(plan, lambda: ask(rt), rt.system.now)
        made.append(driver)
        if stop_at is not None:
            asyncio.get_running_loop().call_later(stop_at, driver.stop)
        finished = await driver.run()
        return driver.tally.report(
            model="m", agents=plan.agents, requests=plan.requests, rate=plan.rate,
            finished=finished,
        )  # fmt: skip

    return SimRuntime(1).run(main), made[0]


def agent(seconds: float) -> Callable[[Runtime], Awaitable[Usage]]:
    """A run of an agent whose model takes so long."""
    spec = AgentSpec(InProcessModel(seconds), name="load")

    async def ask(rt: Runtime) -> Usage:
        usage: Usage = (await rt.arun(spec, "x")).usage
        return usage

    return ask


def stalls(seconds: float, at: int, usual: float = 0.001) -> Callable[[Runtime], Awaitable[Usage]]:
    """Answers fast, but for the one request of that number."""
    asked = 0

    async def ask(_: Runtime) -> Usage:
        nonlocal asked
        asked += 1
        await asyncio.sleep(seconds if asked == at else usual)
        return ONE

    return ask


def test_a_closed_loop_asks_so_often_and_so_many_at_a_time() -> None:
    """4 agents with 5 requests of 100 ms each: 20 answers in 0.5 s, every one of them 100 ms."""
    report, _ = drive(Plan(agents=4, requests=5), agent(0.1))
    assert (report.loop, report.answered, report.failed, report.finished) == ("closed", 20, 0, True)
    assert report.duration == pytest.approx(0.5, abs=0.001)
    assert report.throughput == pytest.approx(40, rel=0.01)
    assert report.latency.least == pytest.approx(0.1, abs=0.001)
    assert report.latency.most == pytest.approx(0.1, abs=0.001)
    assert report.usage.total_tokens == 40
    assert sum(part.count for part in report.histogram) == 20


def test_a_closed_loop_ends_with_its_duration() -> None:
    """Nothing is begun after it, and what is under way is awaited."""
    report, _ = drive(Plan(agents=2, duration=1.0), agent(0.3))
    assert report.answered == 8
    assert report.duration == pytest.approx(1.2, abs=0.001)
    assert report.unanswered == 0


def test_an_open_loop_asks_on_its_schedule() -> None:
    """10 a second for 2 s are 20 requests, sent when they are due, whatever the answers take."""
    report, _ = drive(Plan(agents=50, rate=10.0, duration=2.0), agent(0.5))
    assert (report.loop, report.answered, report.unanswered) == ("open", 20, 0)
    assert report.latency.most == pytest.approx(0.5, abs=0.001)
    assert report.duration == pytest.approx(1.9 + 0.5, abs=0.001)


def test_a_stall_shows_in_every_request_that_it_delays() -> None:
    """No coordinated omission: one agent, one stall of 1 s at 100 requests a second.

    A closed loop has one slow request in 400 and calls its 99th percentile 1 ms. In the open loop a
    hundred were due meanwhile; the 95th and 99th percentile say so, and the time since sending,
    which is what a closed loop measures, does not.
    """
    closed, _ = drive(Plan(agents=1, requests=400), stalls(1.0, at=50))
    opened, _ = drive(Plan(agents=1, rate=100.0, duration=4.0), stalls(1.0, at=50))
    assert closed.answered == opened.answered == 400
    assert closed.latency.p99 < 0.002
    assert opened.service.p99 < 0.002
    assert opened.latency.p99 > 0.9
    assert opened.latency.p95 > 0.7
    assert opened.latency.most == pytest.approx(1.0, abs=0.01)


def test_what_was_due_and_never_sent_counts() -> None:
    """1 agent that can do 10 a second is asked for 100: the others are counted with their wait."""
    report, _ = drive(Plan(agents=1, rate=100.0, duration=1.0), agent(0.1))
    assert report.answered == 10
    assert report.unanswered == 90
    assert report.latency.p50 > 0.4
    assert sum(part.count for part in report.histogram) == 100


@pytest.mark.parametrize("rate", [None, 10.0])
def test_one_that_is_stopped_reports_what_there_is(rate: float | None) -> None:
    """At once: what is under way counts as unanswered, what was not due yet does not count."""
    report, _ = drive(Plan(agents=2, requests=10, rate=rate), agent(0.4), stop_at=0.5)
    assert not report.finished
    assert report.answered == (2 if rate is None else 1)
    assert report.duration == pytest.approx(0.5, abs=0.001)
    assert report.unanswered == (2 if rate is None else 5)


def test_a_request_is_never_sent_before_it_is_due() -> None:
    """Also where the loop's timers ring a little early, as those that count in milliseconds do."""
    sent: list[float] = []

    async def main(rt: Runtime) -> None:
        def slow() -> float:
            return rt.system.now() * 0.999  # so that whatever the loop counts is too short for it

        async def ask() -> Usage:
            sent.append(slow() - driver.tally.begin)
            return ONE

        driver = Driver(Plan(agents=3, requests=5, rate=7.0), ask, slow)
        await driver.run()
        assert driver.tally.service.most <= driver.tally.latency.most

    SimRuntime(1).run(main)
    assert len(sent) == 15
    assert all(at >= number / 7.0 - 1e-9 for number, at in enumerate(sent)), sent


def test_agents_that_wait_for_their_time_owe_nothing() -> None:
    """One that is stopped counts what was due by then, not what somebody had taken already."""
    report, _ = drive(Plan(agents=5, requests=10, rate=10.0), agent(0.01), stop_at=0.25)
    assert (report.answered, report.unanswered) == (3, 0)


def test_one_that_is_stopped_before_it_begins_asks_nothing() -> None:
    """A signal may come early."""

    async def main(rt: Runtime) -> bool:
        driver = Driver(Plan(agents=2, requests=3), lambda: agent(0.1)(rt), rt.system.now)
        driver.stop()
        finished = await driver.run()
        assert driver.tally.answered == 0
        return finished

    assert not SimRuntime(1).run(main)


def test_failures_are_counted_by_their_kind_and_are_no_latency() -> None:
    """With the provider's status where there is one; a fast failure makes no answer faster."""
    asked = 0

    async def ask(_: Runtime) -> Usage:
        nonlocal asked
        asked += 1
        if asked % 4 == 0:
            raise RateLimitError(f"no {asked}", status=429)
        await asyncio.sleep(0.1)
        return ONE

    report, _ = drive(Plan(agents=1, requests=8), ask)
    assert (report.answered, report.failed) == (6, 2)
    assert report.errors == {"RateLimitError 429": 2}
    assert report.said == {"RateLimitError 429": "no 4"}
    assert report.latency.least == pytest.approx(0.1, abs=0.001)


def test_what_is_no_failure_of_a_request_ends_the_test() -> None:
    """A bug in what asks is raised, not counted a thousand times."""

    async def ask(_: Runtime) -> Usage:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        drive(Plan(agents=2, requests=2), ask)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"agents": 0, "requests": 1}, "agents=0"),
        ({"requests": 1, "rate": -1.0}, "rate=-1"),
        ({}, "requests or its duration"),
        ({"requests": MOST}, "at most"),
        ({"rate": 1e6, "duration": 100.0}, "at most"),
    ],
)
def test_plans_that_make_no_sense(options: dict[str, float], said: str) -> None:
    """They are refused before anything is asked."""
    with pytest.raises(ConfigError, match=said):
        Plan(**options)  # type: ignore[arg-type]


def test_a_closed_loop_has_no_schedule() -> None:
    """Whoever asks for it has forgotten the rate."""
    with pytest.raises(ConfigError, match="rate"):
        Plan(requests=1).schedule()
    assert list(Plan(agents=2, requests=1, rate=2.0).schedule()) == [0.0, 0.5]
