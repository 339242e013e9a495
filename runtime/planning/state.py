"""What a plan knows: which steps there are, what has come back, what it gives."""

from __future__ import annotations

from typing import Any

from understudy.messages.caches import Cached
from understudy.messages.chat import Usage
from understudy.messages.errors import WorkflowError
from understudy.messages.records import NO_USAGE, Digest, StepRecord
from understudy.messages.words import sentence_of
from understudy.messages.workflows import RunStatus, StepStatus, WorkflowSpec
from understudy.runtime.planning.compiled import Node, graph_of
from understudy.runtime.planning.joins import join_of
from understudy.runtime.planning.launch import Items, Launch

SAME = object()
"""In the place of an input for the first steps: the workflow's own."""


class State:
    """The facts of one run; see `Plan`.

    Attributes:
        records: of every step and item, by path.
        outputs: of every step that is through, by name; None for one that was skipped or failed.
        errors: of steps, by name and number of the item.
        status: None while it goes on.
        context: what functions in `when=` are given.
        completed_early: path of the step that ended the run with `WorkflowComplete`.
    """

    iterations = 0
    reason = ""

    def __init__(
        self,
        spec: WorkflowSpec,
        input_: Any,  # Any: what the workflow receives
        *,
        path: str = "",
        first: Any = SAME,  # Any: what the first steps receive instead
        around: State | None = None,
    ) -> None:
        self.spec = spec
        self.graph = graph = graph_of(spec)
        self.status: RunStatus | None = None
        self.error: WorkflowError | None = None
        self.context: Any = None  # Any: a RunContext, which is no business of a plan
        self.completed_early = ""
        self.usage: Usage = NO_USAGE
        self.cost: float | None = None
        self.records: dict[str, StepRecord]
        self.outputs: dict[str, Any]  # Any: what steps give
        self.errors: dict[str, dict[int, BaseException]]
        if around is None:
            self.records, self.outputs, self.errors = {}, {}, {}
        else:
            self.records, self.outputs, self.errors = around.records, around.outputs, around.errors
            self.context = around.context
        self._input = input_
        self._first = input_ if first is SAME else first
        self._prefix = f"{path}/" if path else ""
        self._scope: dict[str, Any] = {"input": input_}  # Any: what templates may name
        if around is not None:
            self._scope = {**dict.fromkeys(graph.names), **around.outputs, "input": input_}
        self._missing = graph.waits.copy()
        # Lists, and not deques: those take 600 bytes each, and there are ten thousand runs.
        self._ready: list[Node] = list(graph.roots)
        self._instead: list[Launch] = []
        self._running: dict[str, Launch] = {}
        self._items: dict[str, Items] = {}
        self._ended: dict[str, float] = {}
        self._open = len(graph.nodes)
        self._join = join_of(spec) if spec.mode == "parallel" else None
        self._early: Any = None  # Any: the value of WorkflowComplete

    @property
    def output(self) -> Any:  # Any: what the workflow gave
        """Of the last step (sequential), of all steps by name (parallel), of the sinks (dag).

        Where `join` lets some steps win, of the one (`any`) or of those that did, by name.
        """
        if self.completed_early:
            return self._early
        spec, outputs, names = self.spec, self.outputs, self.graph.names
        if spec.mode == "parallel":
            join = self._join
            if join is None or spec.join == "all":
                return {name: outputs.get(name) for name in names}
            if spec.join == "any":
                return outputs.get(join.won[0]) if join.won else None
            return {name: outputs.get(name) for name in names if name in join.won}
        if spec.mode != "dag":
            return outputs.get(names[-1])
        sinks = self.graph.sinks
        if len(sinks) == 1:
            return outputs.get(sinks[0])
        return {name: outputs.get(name) for name in sinks}

    @property
    def left(self) -> int:
        """Steps that are not through."""
        return self._open

    def waits_for(self, launch: Launch) -> bool:
        """Whether this very launch has not come back."""
        return self._running.get(launch.path) is launch

    def critical_path(self) -> tuple[str, ...]:
        """The steps that determined how long it took, in order."""
        ended = self._ended
        if self.spec.mode in ("sequential", "loop"):
            return tuple(ended)  # they end in their order
        path: list[str] = []
        behind = list(ended)
        while behind:
            name = max(behind, key=ended.__getitem__)
            path.append(name)
            behind = [each for each in self.graph.by_name[name].after if each in ended]
        path.reverse()
        return tuple(path)

    def _spend(self, usage: Usage, cost: float | None) -> None:
        if usage is not NO_USAGE:
            self.usage = self.usage + usage
        if cost is not None:
            self.cost = cost if self.cost is None else self.cost + cost

    def _fail(self, path: str, error: BaseException, more: str = "") -> None:
        if self.status is None:
            self.status = "failed"
            told = f"step {path} failed: {sentence_of(error)}{more}"
            self.error = WorkflowError(told, step=path, cause=error)
            attempts = getattr(error, "attempts", 0)
            if attempts:  # whoever is around must not try again what was tried again
                self.error.attempts = attempts

    def _fail_join(self, path: str, error: BaseException | None, why: str) -> None:
        """Too few steps of a parallel workflow were done; `path` was the last straw."""
        if error is not None:
            self._fail(path, error, f" ({why})")
            return
        failed = next((r for r in self.records.values() if r.error is not None), None)
        cause = None if failed is None else failed.error
        self.status = "failed"
        self.error = WorkflowError(
            f"workflow {self.spec.name!r}: {why}",
            step=path if failed is None else failed.path,
            cause=cause,
        )

    def _note(
        self,
        name: str,
        status: StepStatus,
        *,
        label: str = "",
        why: str = "",
        error: BaseException | None = None,
        now: float | None = None,
    ) -> None:
        """Record what was never begun."""
        path = self._prefix + name
        self.records[path] = StepRecord(
            path=path, status=status, label=label, why=why, error=error, start=now, end=now
        )

    def _record(
        self,
        launch: Launch,
        status: StepStatus,
        now: float,
        *,
        output: Any = None,  # Any: what the step gave
        error: BaseException | None = None,
        queued: float = 0.0,
        limited: float = 0.0,
        cached: Cached | None = None,
        attempts: int = 1,
        why: str = "",
    ) -> None:
        """Record what was begun."""
        path = launch.path
        self.records[path] = StepRecord(
            path=path,
            status=status,
            label=launch.label,
            digest=Digest(launch.value),
            output=output,
            usage=launch.usage,
            cost=launch.cost,
            attempts=max(launch.attempt, attempts),
            queued=queued,
            limited=limited,
            cached=cached,
            start=launch.start,
            end=now,
            error=error,
            why=why,
        )
