"""The fifteen lines of the guide's optimization checklist, in its order and in its words."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from understudy.runtime.config.schema import Config
from understudy.runtime.edge.doctor import answers, work
from understudy.runtime.edge.doctor.facts import Facts
from understudy.runtime.edge.doctor.point import DoctorReport, Point, judged, unknown

Judge = Callable[[Facts], Point]


def cancellation(_: Facts) -> Point:
    """Use context cancellation."""
    found = "deadlines and cancellation travel with every message, down to the socket"
    return judged([f"{found}: nothing to switch on"], "pass the context on, and cancel it")


def copying(_: Facts) -> Point:
    """Minimize data copying."""
    found = "steps of a run share its context by reference: nothing to switch on"
    return judged([found], "share data between steps instead of copying it")


def profile(_: Facts) -> Point:
    """Profile memory usage."""
    return unknown([], "measure what agents and runs take", "understudy bench --memory")


def benchmark(_: Facts) -> Point:
    """Benchmark critical paths."""
    return unknown([], "measure before and after a change", "understudy bench, understudy loadtest")


CHECKLIST: dict[str, Judge] = {
    "Use streaming for long responses": answers.streaming,
    "Configure appropriate buffer sizes": answers.buffers,
    "Enable caching for repeated operations": work.caching,
    "Use parallel workflows when possible": work.parallel_workflows,
    "Set reasonable token limits": answers.token_limits,
    "Configure timeouts": work.timeouts,
    "Use context cancellation": cancellation,
    "Implement rate limiting": answers.rate_limits,
    "Profile memory usage": profile,
    "Benchmark critical paths": benchmark,
    "Use appropriate models for tasks": answers.models,
    "Clear old session data": work.sessions,
    "Optimize tool execution": work.tool_execution,
    "Minimize data copying": copying,
    "Use connection pooling": answers.connections,
}


def judge(config: Config, source: str) -> DoctorReport:
    """Every point against one configuration."""
    facts = Facts(config)
    points = tuple(
        msgspec.structs.replace(check(facts), number=number, title=title)
        for number, (title, check) in enumerate(CHECKLIST.items(), 1)
    )
    verdicts = [point.verdict for point in points]
    return DoctorReport(
        source=source,
        ok=verdicts.count("ok"),
        change=verdicts.count("change"),
        unknown=verdicts.count("unknown"),
        points=points,
    )
