"""When the steps of a run were under way, as lines of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from understudy.messages.words import sentence_of

if TYPE_CHECKING:
    from understudy.messages.records import StepRecord, WorkflowResult

MARKS = {"completed": "█", "failed": "▒", "cancelled": "░", "skipped": " "}
_NAME = 32


def gantt(result: WorkflowResult, width: int = 60) -> str:
    """A line for each step: its path, a bar from its beginning to its end, how long it took.

    Steps on the critical path are marked with `*`; one that did not run says why. A bar is full
    for what was completed, half for what failed, light for what was cancelled.

    Args:
        result: of a run.
        width: columns of the bars, at least 10.
    """
    width = max(10, width)
    total = max([result.duration, *(r.end or 0.0 for r in result.steps.values())]) or 1.0
    critical = set(result.critical_path)
    names = [_short(path) for path in result.steps]
    column = max(map(len, names), default=0)
    lines = [f"{result.name}: {result.status} in {_seconds(result.duration)}"]
    for name, (path, record) in zip(names, result.steps.items(), strict=True):
        mark = "*" if path in critical else " "
        lines.append(f"{mark} {name:<{column}} |{_bar(record, total, width)}| {_end(record)}")
    return "\n".join(lines)


def _bar(record: StepRecord, total: float, width: int) -> str:
    if record.start is None or record.end is None:
        return " " * width
    first = min(width - 1, int(record.start / total * width))
    last = max(first + 1, min(width, round(record.end / total * width)))
    return (" " * first + MARKS[record.status] * (last - first)).ljust(width)


def _end(record: StepRecord) -> str:
    said = record.why or ("" if record.error is None else sentence_of(record.error))
    if record.start is None:
        return f"{record.status}: {said}" if said else record.status
    more = "" if record.status == "completed" else f" {record.status}"
    again = f" ({record.attempts} attempts)" if record.attempts > 1 else ""
    return f"{_seconds(record.duration)}{more}{again}{f': {said}' if said else ''}"


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"


def _short(path: str) -> str:
    return path if len(path) <= _NAME else f"…{path[1 - _NAME :]}"
