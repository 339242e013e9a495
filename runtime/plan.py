"""A workflow run as a pure state machine.

A `Plan` knows which steps there are, what has come back, and what may start now; it never waits,
reads a clock or touches an actor. The run actor feeds it facts (`done`, with the time) and carries
out the launches that it returns. Dataflow: a step is launched the instant its own dependencies are
done, within the bounds; nothing waits for a level of the graph.

Bounds: at most `max_concurrent` launches are outstanding in a run, at most a step's own
`max_concurrent` of its items, and what may not start yet stays here, not in a mailbox.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import msgspec

from understudy.messages.chat import Usage
from understudy.messages.errors import WorkflowError
from understudy.messages.workflows import (
    RunStatus,
    StepRecord,
    StepSpec,
    StepStatus,
    WorkflowSpec,
)
from understudy.runtime.graph import dependencies
from understudy.runtime.template import as_text, label_of, render

_NONE = Usage()


class Launch(msgspec.Struct, frozen=True):
    """Start this: one step, or one item of a step with `each`."""

    path: str
    step: StepSpec
    value: Any  # Any: what the target receives
    label: str = ""


class _Progress:
    """A step that has begun."""

    __slots__ = ("end", "errors", "items", "left", "next", "outputs", "running", "start", "usage")

    def __init__(self, items: list[Any] | None, start: float) -> None:
        count = 1 if items is None else len(items)
        self.items = items
        self.outputs: list[Any] = [None] * count
        self.next = 0
        self.left = count
        self.running = 0
        self.start = start
        self.end: float | None = None
        self.usage = Usage()
        self.errors: list[BaseException] = []

    def label(self, index: int) -> str:
        """What an item is called; a step without `each` has its name."""
        return "" if self.items is None else label_of(self.items[index])


class Plan:
    """One run of `spec` with `input_`. Not thread-safe: it belongs to one actor."""

    def __init__(
        self,
        spec: WorkflowSpec,
        input_: Any,  # Any: what the first steps receive
        *,
        path: str = "",
    ) -> None:
        self.spec = spec
        self.records: dict[str, StepRecord] = {}
        self.outputs: dict[str, Any] = {}
        self.errors: dict[str, dict[int, BaseException]] = {}
        self.status: RunStatus | None = None
        self.error: WorkflowError | None = None
        self._input = input_
        self._prefix = f"{path}/" if path else ""
        self._steps = {step.name: step for step in spec.steps}
        self._after = dependencies(spec)
        self._missing = {name: set(after) for name, after in self._after.items()}
        self._behind: dict[str, list[str]] = {name: [] for name in self._steps}
        for name, after in self._after.items():
            for other in after:
                self._behind[other].append(name)
        self._begun: dict[str, _Progress] = {}
        self._ready: deque[str] = deque(n for n, missing in self._missing.items() if not missing)
        self._running: dict[str, tuple[str, int, float]] = {}
        self._open = len(self._steps)

    # -- what the run actor calls ------------------------------------------------------------------

    def launches(self, now: float) -> list[Launch]:
        """What may start now; each is returned once."""
        found: list[Launch] = []
        blocked: list[str] = []
        while self._ready and len(self._running) < self.spec.max_concurrent and self.status is None:
            name = self._ready.popleft()
            step = self._steps[name]
            progress = self._begun.get(name) or self._begin(step, now)
            if progress is None or progress.left == 0:
                continue
            bound = step.max_concurrent or self.spec.max_concurrent
            if progress.running >= bound:
                blocked.append(name)
                continue
            found += self._launch(step, progress, now)
            if progress.next < len(progress.outputs):
                self._ready.append(name)
        self._ready.extend(blocked)
        return found

    def done(
        self,
        path: str,
        now: float,
        *,
        output: Any = None,  # Any: what the step gave
        error: BaseException | None = None,
        usage: Usage = _NONE,
        attempts: int = 1,
    ) -> None:
        """A launch has come back."""
        if path not in self._running:
            return
        name, index, start = self._running.pop(path)
        step, progress = self._steps[name], self._begun[name]
        progress.running -= 1
        progress.left -= 1
        progress.usage = progress.usage + usage
        progress.outputs[index] = output
        self.records[path] = StepRecord(
            path=path,
            status="completed" if error is None else "failed",
            label=progress.label(index),
            output=output,
            usage=usage,
            attempts=attempts,
            start=start,
            end=now,
            error=error,
        )
        if error is not None:
            progress.errors.append(error)
            self.errors.setdefault(name, {})[index] = error
            if step.on_error == "fail":
                if progress.items is None:
                    progress.end = now
                self._fail(path, error)
                return
        if progress.left == 0:
            self._close(step, progress, now)

    def cancel(self, now: float, why: str = "the run was cancelled") -> None:
        """End the run: what has not come back is cancelled or skipped."""
        if self.status is None:
            self.status = "cancelled"
        for path, (name, index, start) in self._running.items():
            label = self._begun[name].label(index)
            self.records[path] = StepRecord(
                path=path,
                status="cancelled",
                label=label,
                start=start,
                end=now,
                attempts=1,
                why=why,
            )
        self._running.clear()
        for name in self._steps:
            progress = self._begun.get(name)
            if progress is None:
                self._record(name, "skipped", why=why)
            elif progress.items is not None and progress.end is None:
                self._break_off(name, progress, now, why)

    @property
    def usage(self) -> Usage:
        """Of everything that has come back."""
        total = Usage()
        for progress in self._begun.values():
            total = total + progress.usage
        return total

    @property
    def output(self) -> Any:  # Any: what the workflow gave
        """Of the last step (sequential), of all steps by name (parallel), of the sinks (dag)."""
        if self.spec.mode == "sequential":
            return self.outputs.get(self.spec.steps[-1].name)
        if self.spec.mode == "parallel":
            return {name: self.outputs.get(name) for name in self._steps}
        sinks = [name for name, behind in self._behind.items() if not behind]
        if len(sinks) == 1:
            return self.outputs.get(sinks[0])
        return {name: self.outputs.get(name) for name in sinks}

    def critical_path(self) -> tuple[str, ...]:
        """The steps that determined how long it took, in order."""
        ended = {name: p.end for name, p in self._begun.items() if p.end is not None}
        path: list[str] = []
        behind = list(ended)
        while behind:
            name = max(behind, key=lambda each: ended[each])
            path.append(name)
            behind = [other for other in self._after[name] if other in ended]
        return tuple(reversed(path))

    # -- private -----------------------------------------------------------------------------------

    def _break_off(self, name: str, progress: _Progress, now: float, why: str) -> None:
        """A step with `each` ends before its items do: the rest is skipped."""
        for index in range(progress.next, len(progress.outputs)):
            self._record(f"{name}[{index}]", "skipped", label=progress.label(index), why=why)
        progress.next = len(progress.outputs)
        progress.end = now
        path = self._prefix + name
        failed = bool(progress.errors) and self._steps[name].on_error == "fail"
        self.records[path] = StepRecord(
            path=path,
            status="failed" if failed else "cancelled",
            output=progress.outputs,
            usage=progress.usage,
            attempts=1,
            start=progress.start,
            end=now,
            error=progress.errors[0] if failed else None,
            why=f"{progress.left} of {len(progress.outputs)} items were not done: {why}",
        )

    def _begin(self, step: StepSpec, now: float) -> _Progress | None:
        items: list[Any] | None = None
        if step.each is not None:
            try:
                items = _items(step, render(step.each, self._values()))
            except WorkflowError as error:
                progress = self._begun[step.name] = _Progress(None, now)
                progress.errors.append(error)
                self._record(step.name, "failed", error=error, now=now)
                if step.on_error == "fail":
                    progress.end = now
                    self._fail(self._prefix + step.name, error)
                else:
                    self._close(step, progress, now)
                return None
        progress = self._begun[step.name] = _Progress(items, now)
        if progress.left == 0:
            self._close(step, progress, now)
        return progress

    def _launch(self, step: StepSpec, progress: _Progress, now: float) -> list[Launch]:
        index = progress.next
        progress.next += 1
        path = self._prefix + step.name
        values = self._values()
        if progress.items is not None:
            path = f"{path}[{index}]"
            values = {**values, "item": progress.items[index], "index": index}
        progress.running += 1
        self._running[path] = (step.name, index, now)
        try:
            value = self._value(step, values)
        except WorkflowError as error:
            self.done(path, now, error=error)
            return []
        return [Launch(path, step, value, progress.label(index))]

    def _value(
        self, step: StepSpec, values: dict[str, Any]
    ) -> Any:  # Any: what the target receives
        if step.prompt is not None:
            return render(step.prompt, values)
        if step.each is not None:
            return values["item"]
        after = self._after[step.name]
        if not after:
            return self._input
        if len(after) == 1:
            return self.outputs.get(after[0])
        return "\n\n".join(filter(None, (as_text(self.outputs.get(name)) for name in after)))

    def _values(self) -> dict[str, Any]:  # Any: outputs of steps
        return {**self.outputs, "input": self._input}

    def _close(self, step: StepSpec, progress: _Progress, now: float) -> None:
        """All of a step has come back: its output is known, and others may start."""
        progress.end = now
        output = progress.outputs if progress.items is not None else progress.outputs[0]
        self.outputs[step.name] = output
        if progress.items is not None:
            failed = len(progress.errors)
            why = f"{failed} of {len(progress.outputs)} items failed" if failed else ""
            self.records[self._prefix + step.name] = StepRecord(
                path=self._prefix + step.name,
                status="completed",
                output=output,
                usage=progress.usage,
                attempts=1,
                start=progress.start,
                end=now,
                why=why,
            )
        for name in self._behind[step.name]:
            self._missing[name].discard(step.name)
            if not self._missing[name] and name not in self._begun:
                self._ready.append(name)
        self._open -= 1
        if self._open == 0 and self.status is None:
            self.status = "completed"

    def _fail(self, path: str, error: BaseException) -> None:
        if self.status is None:
            self.status = "failed"
            self.error = WorkflowError(f"step {path} failed: {error}", step=path, cause=error)

    def _record(
        self,
        name: str,
        status: StepStatus,
        *,
        label: str = "",
        why: str = "",
        error: BaseException | None = None,
        now: float | None = None,
    ) -> None:
        path = self._prefix + name
        self.records[path] = StepRecord(
            path=path, status=status, label=label, why=why, error=error, start=now, end=now
        )


def _items(step: StepSpec, value: Any) -> list[Any]:  # Any: what a placeholder named
    if isinstance(value, (list, tuple)):
        if len(value) > 10_000:
            msg = f"step {step.name!r}: each={step.each!r} has {len(value):,} items; 10,000 at most"
            raise WorkflowError(msg, step=step.name)
        return list(value)
    kind = type(value).__name__
    msg = f"step {step.name!r}: each={step.each!r} is a {kind}, not a list"
    raise WorkflowError(msg, step=step.name)
