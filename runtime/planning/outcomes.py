"""What follows from a launch that has come back: again, instead, on, or the end of the run."""

from __future__ import annotations

from typing import Any

from understudy.messages.caches import Cached
from understudy.messages.chat import Usage
from understudy.messages.errors import (
    BudgetExceededError,
    ConfigError,
    RunCancelledError,
    RuntimeStoppedError,
    UnderstudyError,
    WorkflowComplete,
)
from understudy.messages.records import NO_USAGE, StepRecord, StepStatus
from understudy.messages.workflows import StepSpec
from understudy.runtime.planning.compiled import Node
from understudy.runtime.planning.launch import Items, Launch
from understudy.runtime.planning.state import State

_FINAL = (
    BudgetExceededError,
    ConfigError,
    RunCancelledError,
    RuntimeStoppedError,
    WorkflowComplete,
)
"""Trying again cannot help."""


class Outcomes(State):
    """See the module's docstring and `Plan`."""

    def done(
        self,
        path: str,
        now: float,
        *,
        output: Any = None,  # Any: what the step gave
        error: BaseException | None = None,
        usage: Usage = NO_USAGE,
        cost: float | None = None,
        attempts: int = 1,
        queued: float = 0.0,
        limited: float = 0.0,
        cached: Cached | None = None,
        final: bool = False,
    ) -> Launch | None:
        """A launch has come back; returns it when it shall be done again after a pause.

        Args:
            path: of the launch.
            now: seconds since the run began.
            output: what it gave.
            error: what it failed with.
            usage: tokens that it took.
            cost: US dollars that it took, where they are known.
            attempts: how often a worker began it.
            queued: seconds that it waited for a worker.
            limited: seconds that it waited for limits.
            cached: where its answer was found, if it was not made for it.
            final: it must not be done again, because somebody has seen some of it.
        """
        launch = self._running.get(path)
        if launch is None:
            return None
        if usage is not NO_USAGE or cost is not None:
            self._spend(usage, cost)
            launch.usage = usage if launch.usage is NO_USAGE else launch.usage + usage
            launch.cost = cost if launch.cost is None else launch.cost + (cost or 0.0)
        if error is None:
            del self._running[path]
            self._record(
                launch,
                "completed",
                now,
                output=output,
                queued=queued,
                limited=limited,
                cached=cached,
                attempts=attempts,
            )
            self._finish(launch, now, output)
        elif isinstance(error, WorkflowComplete):
            del self._running[path]
            why = "it completed the workflow"
            self._record(launch, "completed", now, output=error.value, queued=queued, why=why)
            self._complete_early(launch, now, error.value)
        elif self.status is None and not final and _again(launch, error):
            launch.attempt += 1
            return launch
        else:
            del self._running[path]
            self._failed(launch, now, error, attempts, queued)
        return None

    def cancel(self, now: float, why: str = "the run was cancelled") -> None:
        """End the run: what has not come back is cancelled or skipped."""
        if self.status is None:
            self.status = "cancelled"
        for launch in self._running.values():
            self._record(launch, "cancelled", now, why=why)
        self._running.clear()
        for node in self.graph.nodes:
            items = self._items.get(node.name)
            if items is not None:
                if items.end is None:
                    self._break_off(node, items, now, why)
            elif self._prefix + node.name not in self.records:
                self._note(node.name, "skipped", why=why)

    # -- private -----------------------------------------------------------------------------------

    def _failed(
        self, launch: Launch, now: float, error: BaseException, attempts: int, queued: float
    ) -> None:
        """For good: another does it instead, the others go on without it, or the run has failed."""
        if launch.attempt > 1 and isinstance(error, UnderstudyError):
            error.attempts, error.retryable = launch.attempt, False
        instead = launch.doing.instead
        why = "" if instead is None else f"{instead.name} was done instead"
        self._record(launch, "failed", now, error=error, attempts=attempts, queued=queued, why=why)
        if instead is not None and self.status is None:
            self._put_instead(launch, instead, now)
            return
        self.errors.setdefault(launch.node.name, {})[launch.index] = error
        self._lost(launch, now, error)

    def _lost(self, launch: Launch, now: float, error: BaseException) -> None:
        """A step, or an item of one, gave nothing."""
        node, items = launch.node, self._items.get(launch.node.name)
        if items is not None:
            items.errors.append(error)
        if self._join is None and launch.step.on_error != "continue":
            if items is None:
                self._ended[node.name] = now
            self._fail(launch.path, error)
        elif items is not None:
            self._finish(launch, now, None)
        else:
            self._close(node, now, None, error)

    def _finish(self, launch: Launch, now: float, output: Any) -> None:  # Any: what it gave
        """A step, or an item of one, is through."""
        node = launch.node
        items = self._items.get(node.name) if self._items else None
        if items is None:
            self._close(node, now, output)
            return
        items.running -= 1
        items.left -= 1
        items.outputs[launch.index] = output
        if launch.usage is not NO_USAGE:
            items.usage = items.usage + launch.usage
        if launch.cost is not None:
            items.cost = launch.cost + (items.cost or 0.0)
        if items.left == 0:
            self._close_items(node, items, now)

    def _close_items(self, node: Node, items: Items, now: float) -> None:
        items.end = now
        failed = len(items.errors)
        why = f"{failed} of {len(items.outputs)} items failed" if failed else ""
        self._record_items(node, items, "completed", why)
        continues = node.step.on_error != "fail"
        error = items.errors[0] if failed and not continues else None
        self._close(node, now, items.outputs, error)

    def _close(
        self,
        node: Node,
        now: float | None,
        output: Any,  # Any: what the step gave
        error: BaseException | None = None,
    ) -> None:
        """All of a step has come back: its output is known, and others may start.

        Args:
            node: the step.
            now: None when it was skipped.
            output: None when there is none.
            error: what it has failed with, where that need not be the end.
        """
        name = node.name
        if now is not None:
            self._ended[name] = now
        self.outputs[name] = self._scope[name] = output
        for behind in node.behind:
            self._missing[behind.index] -= 1
            if not self._missing[behind.index]:
                self._ready.append(behind)
        self._open -= 1
        if self._join is not None:
            self._joined(name, error, lost=now is None or error is not None)
        if self._open == 0 and self.status is None:
            self.status = "completed"

    def _joined(self, name: str, error: BaseException | None, *, lost: bool) -> None:
        """See `Join`: whether that is enough, or can not be any more."""
        join = self._join
        if join is None or self.status is not None:
            return
        verdict = join.lost() if lost else join.done(name)
        if verdict == "enough":
            self.status = "completed"
        elif verdict == "failed":
            self._fail_join(self._prefix + name, error, join.why())

    def _complete_early(self, launch: Launch, now: float, value: Any) -> None:  # Any: the user's
        node = launch.node
        items = self._items.get(node.name)
        if items is None:
            self._ended[node.name] = now
            self.outputs[node.name] = value
        else:
            items.outputs[launch.index] = value
            items.running -= 1
            items.left -= 1
        if self.status is None:
            self.status, self.completed_early, self._early = "completed", launch.path, value

    def _put_instead(self, launch: Launch, instead: Node, now: float) -> None:
        raise NotImplementedError

    def _break_off(self, node: Node, items: Items, now: float, why: str) -> None:
        """A step with `each` ends before its items do: the rest is skipped."""
        name = node.name
        for index in range(items.next, len(items.outputs)):
            self._note(f"{name}[{index}]", "skipped", label=items.label(index), why=why)
        items.next = len(items.outputs)
        items.end = self._ended[name] = now
        failed = bool(items.errors) and node.step.on_error == "fail"
        error = items.errors[0] if failed else None
        why = f"{items.left} of {len(items.outputs)} items were not done: {why}"
        self._record_items(node, items, "failed" if failed else "cancelled", why, error)

    def _record_items(
        self,
        node: Node,
        items: Items,
        status: StepStatus,
        why: str,
        error: BaseException | None = None,
    ) -> None:
        """The record of a step with `each` that has ended, beside those of its items."""
        path = self._prefix + node.name
        self.records[path] = StepRecord(
            path=path,
            status=status,
            output=items.outputs,
            usage=items.usage,
            cost=items.cost,
            attempts=1,
            start=items.start,
            end=items.end,
            error=error,
            why=why,
        )


def _again(launch: Launch, error: BaseException) -> bool:
    """Whether it is done again: its own retries allow it, and nobody below has given up."""
    step: StepSpec = launch.doing.step
    if launch.attempt > step.retries or isinstance(error, _FINAL):
        return False
    if isinstance(error, UnderstudyError):
        return error.retryable or not error.attempts
    return isinstance(error, Exception)
