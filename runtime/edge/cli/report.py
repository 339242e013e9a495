"""What a run was, when it has ended: a table of its steps, and everything that went wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from rich.table import Table

from understudy.messages.errors import UnderstudyError, WorkflowError

if TYPE_CHECKING:
    from rich.console import Console

    from understudy.messages.workflows import StepRecord, WorkflowResult, WorkflowSpec

SHOWN = 20
"""Failures that are listed; of more, the number is said."""


class Failure(msgspec.Struct, frozen=True):
    """One step or item that did not succeed: where, and what its innermost cause said."""

    path: str
    said: str


class Report:
    """See the module's docstring."""

    def __init__(
        self,
        workflow: WorkflowSpec,
        result: WorkflowResult | None,
        error: BaseException | None,
        *,
        interrupted: bool,
    ) -> None:
        self._workflow = workflow
        self._result = result
        self._error = error
        self._interrupted = interrupted
        records = {} if result is None else result.steps
        top = {path: record for path, record in records.items() if "/" not in path}
        self._top = top
        self.failures = [
            Failure(path, _innermost(record.error))
            for path, record in top.items()
            if record.status == "failed" and record.error is not None
        ]
        self._unfinished = [
            path for path, record in top.items() if record.status in ("cancelled", "skipped")
        ]

    def show(self, console: Console) -> None:
        """Print it."""
        if self._result is not None:
            console.print(self._table(self._result))
        for failure in self.failures[:SHOWN]:
            console.print(f"{failure.path}: {failure.said}", markup=False)
        if len(self.failures) > SHOWN:
            console.print(f"... and {len(self.failures) - SHOWN} more that failed", markup=False)
        if self._interrupted:
            items = [path for path in self._unfinished if "[" in path]
            left = f"{len(items)} items and " if items else ""
            names = ", ".join(path for path in self._unfinished if "[" not in path) or "nothing"
            console.print(f"interrupted; not finished: {left}{names}", markup=False)
        elif self._error is not None and not self.failures:
            console.print(_innermost(self._error), markup=False)

    def _table(self, result: WorkflowResult) -> Table:
        title = f"{result.name}: {result.status} in {result.duration:.1f} s"
        table = Table(title=title, title_justify="left")
        for heading in ("step", "status", "items", "seconds", "tokens", "errors"):
            table.add_column(heading, justify="left" if heading in ("step", "status") else "right")
        for step in self._workflow.steps:
            record = self._top.get(step.name)
            if record is not None:
                table.add_row(*self._cells(step.name, record))
        return table

    def _cells(self, name: str, record: StepRecord) -> tuple[str, ...]:
        items = [r for path, r in self._top.items() if path.startswith(f"{name}[")]
        failed = sum(r.status == "failed" for r in items) + (record.status == "failed")
        return (
            name,
            record.status,
            str(len(items)) if items else "",
            f"{record.duration:.2f}",
            f"{record.usage.total_tokens:,}",
            str(failed) if failed else "",
        )


def _innermost(error: BaseException) -> str:
    while isinstance(error, WorkflowError) and error.cause is not None:
        error = error.cause
    if isinstance(error, UnderstudyError):
        return error.message
    return f"{type(error).__name__}: {error}"
