"""What a run is doing, on standard error: a live table on a terminal, plain lines elsewhere.

A step with `each` is one row, however many items it has. What fails is said at once, the first few
times. It reads events and nothing else. Events may be lost when a run is faster than they can be
shown, so what is shown here is only what it looks like; the numbers that count are in the report.
"""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from understudy.messages.events import StepCompleted, StepDispatched, StepFailed
from understudy.runtime.edge.cli.page import moving
from understudy.runtime.edge.cli.report import SHOWN, Failure

if TYPE_CHECKING:
    from understudy.messages.workflows import WorkflowSpec
    from understudy.runtime.runtime import Runtime

SAY_EVERY = 2.0
"""Seconds between two plain lines about the same step."""
SHOWN_RUNNING = 3
LABEL_WIDTH = 40


class Row:
    """One step of the workflow, with all its items."""

    __slots__ = ("done", "failed", "running", "said_at", "tokens")

    def __init__(self) -> None:
        self.running: dict[str, str] = {}  # what each path is called
        self.done = self.failed = self.tokens = 0
        self.said_at = float("-inf")


class Progress:
    """Shows a run for as long as the block lasts."""

    def __init__(self, runtime: Runtime, workflow: WorkflowSpec) -> None:
        self.console = Console(file=sys.stderr, highlight=False, soft_wrap=True)
        self._now = runtime.system.now
        self._begin = self._now()
        self._rows = {step.name: Row() for step in workflow.steps}
        self._title = workflow.name
        self.said: set[str] = set()
        self._live: Live | None = None
        self._events = runtime.events
        self._subscriptions = [
            runtime.events.subscribe(StepDispatched, self._dispatched),
            runtime.events.subscribe(StepCompleted, self._completed),
            runtime.events.subscribe(StepFailed, self._failed),
        ]

    def __enter__(self) -> Self:
        if moving(self.console):
            self._live = Live(
                get_renderable=self.table,
                console=self.console,
                refresh_per_second=8,
                transient=True,
            )
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._events.flush(0.5)
        for subscription in self._subscriptions:
            subscription.cancel()
        if self._live is not None:
            self._live.stop()

    # -- events, on the bus's thread ---------------------------------------------------------------

    def _dispatched(self, event: StepDispatched) -> None:
        row = self._row(event.path)
        if row is not None:
            row.running[event.path] = event.label
            self._say(event.path, row)

    def _completed(self, event: StepCompleted) -> None:
        row = self._row(event.path)
        if row is not None:
            row.running.pop(event.path, None)
            row.done += 1
            row.tokens += event.usage.total_tokens
            self._say(event.path, row)

    def _failed(self, event: StepFailed) -> None:
        row = self._row(event.path)
        if row is None:
            return
        row.running.pop(event.path, None)
        row.failed += 1
        if len(self.said) < SHOWN:
            self.said.add(event.path)
            self.console.print(str(Failure.of_event(event)), markup=False)

    def _row(self, path: str) -> Row | None:
        """The row of a step of this workflow; what is nested in a step belongs to that step."""
        return None if "/" in path else self._rows.get(path.partition("[")[0])

    # -- showing -----------------------------------------------------------------------------------

    def _say(self, path: str, row: Row) -> None:
        now = self._now()
        if self._live is not None or now - row.said_at < SAY_EVERY:
            return
        row.said_at = now
        name = path.partition("[")[0]
        self.console.print(
            f"{now - self._begin:6.1f} s  {name}: {row.done} done, {len(row.running)} running, "
            f"{row.failed} failed",
            markup=False,
        )

    def table(self) -> Table:
        """What the live table shows now."""
        table = Table(
            title=Text(f"{self._title}: {self._now() - self._begin:.1f} s"), title_justify="left"
        )
        for heading in ("step", "done", "running", "failed", "tokens", "now"):
            table.add_column(heading, justify="left" if heading in ("step", "now") else "right")
        for name, row in list(self._rows.items()):
            running = list(row.running.items())
            shown = [_short(label or path.removeprefix(name)) for path, label in running]
            more = ["…"] if len(shown) > SHOWN_RUNNING else []
            table.add_row(
                name,
                str(row.done),
                str(len(running)),
                f"[red]{row.failed}[/red]" if row.failed else "0",
                f"{row.tokens:,}",
                Text("\n".join(filter(None, shown[:SHOWN_RUNNING] + more))),
            )
        return table


def _short(label: str) -> str:
    """The end of a path, the beginning of anything else."""
    if len(label) <= LABEL_WIDTH:
        return label
    return f"…{label[1 - LABEL_WIDTH :]}" if "/" in label else f"{label[: LABEL_WIDTH - 1]}…"
