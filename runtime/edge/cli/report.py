"""What a run was, when it has ended: a table of its steps, and everything that went wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from rich.table import Table
from rich.text import Text

from understudy.messages.errors import ERRORS, UnderstudyError, WorkflowError

if TYPE_CHECKING:
    from collections.abc import Container

    from rich.console import Console

    from understudy.messages.errors import ErrorInfo
    from understudy.messages.events import StepFailed
    from understudy.messages.workflows import StepRecord, WorkflowResult, WorkflowSpec

SHOWN = 20
"""Failures that are listed; of more, the number is said."""
NAMED = 3
"""Unfinished items that are named; of more, the number is said."""


NARROWEST = 72
"""Columns of a table: on a narrower terminal its lines run over, and no number is cut."""


def wide(console: Console) -> Console:
    """The console for a report, which stands still: never so narrow that it has to leave out."""
    console.width = max(console.width, NARROWEST)
    return console


class Failure(msgspec.Struct, frozen=True):
    """One step or item that did not succeed: where, and what its innermost cause said."""

    path: str
    label: str
    said: str

    @classmethod
    def of_event(cls, event: StepFailed) -> Failure:
        """The failure that an event tells of."""
        info: ErrorInfo = event.error
        while info.type == "WorkflowError" and info.cause is not None:
            info = info.cause
        said = info.message if info.type in ERRORS else f"{info.type}: {info.message}"
        return cls(event.path, event.label, said)

    @classmethod
    def of_record(cls, record: StepRecord) -> Failure:
        """The failure that a record keeps."""
        said = "" if record.error is None else innermost(record.error)
        return cls(record.path, record.label, said)

    def __str__(self) -> str:
        if not self.label or self.said.startswith(self.label):
            return f"{self.path}: {self.said}"
        return f"{self.path}: {self.label}: {self.said}"


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
        self._top = {path: record for path, record in records.items() if "/" not in path}
        self.failures = [
            Failure.of_record(record)
            for record in self._top.values()
            if record.status == "failed" and record.error is not None
        ]

    def show(self, console: Console, *, said: Container[str] = ()) -> None:
        """Print it, without the failures of the paths that were `said` already."""
        if self._result is not None:
            console.print(self._table(self._result))
        new = [failure for failure in self.failures if failure.path not in said]
        room = max(0, SHOWN - (len(self.failures) - len(new)))
        for failure in new[:room]:
            console.print(str(failure), markup=False)
        if len(new) > room:
            console.print(f"... and {len(new) - room:,} more that failed", markup=False)
        if self._interrupted:
            left = "; ".join(self._unfinished()) or "nothing"
            console.print(f"interrupted; not finished: {left}", markup=False)
        elif self._error is not None and not self.failures:
            console.print(innermost(self._error), markup=False)

    def _unfinished(self) -> list[str]:
        """Each step that is not through, with its items that are not."""
        if self._result is None:
            return [self._workflow.name]
        lines = []
        for step in self._workflow.steps:
            record = self._top.get(step.name)
            if record is not None and record.status in ("cancelled", "skipped"):
                lines.append(f"{step.name}{self._items_left(step.name)}")
        return lines

    def _items_left(self, name: str) -> str:
        items = self._items(name)
        left = [item for item in items if item.status in ("cancelled", "skipped")]
        if not left:
            return ""
        names = ", ".join(filter(None, (item.label for item in left[:NAMED])))
        more = ", ..." if names and len(left) > NAMED else ""
        return f" ({len(left):,} of {len(items):,}: {names or 'unnamed'}{more})"

    def _items(self, name: str) -> list[StepRecord]:
        return [record for path, record in self._top.items() if path.startswith(f"{name}[")]

    def _table(self, result: WorkflowResult) -> Table:
        title = Text(f"{result.name}: {result.status} in {result.duration:.1f} s")
        table = Table(title=title, title_justify="left")
        for heading in ("step", "status", "items", "seconds", "tokens", "errors"):
            table.add_column(heading, justify="left" if heading in ("step", "status") else "right")
        for step in self._workflow.steps:
            record = self._top.get(step.name)
            if record is not None:
                table.add_row(*self._cells(step.name, record))
        return table

    def _cells(self, name: str, record: StepRecord) -> tuple[str, ...]:
        items = self._items(name)
        failed = sum(r.status == "failed" for r in items) + (record.status == "failed")
        return (
            name,
            record.status,
            str(len(items)) if items else "",
            f"{record.duration:.2f}",
            f"{record.usage.total_tokens:,}",
            str(failed) if failed else "",
        )


def innermost(error: BaseException) -> str:
    """What the first cause of a failure said."""
    while isinstance(error, WorkflowError) and error.cause is not None:
        error = error.cause
    if isinstance(error, UnderstudyError):
        return error.message
    return f"{type(error).__name__}: {error}"
