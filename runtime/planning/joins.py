"""How many steps of a parallel workflow must be done, and what a failure means for that."""

from __future__ import annotations

from typing import Literal

from understudy.messages.workflows import WorkflowSpec

Verdict = Literal["open", "enough", "failed"]


class Join:
    """Counts the steps of one run.

    A step that failed, or was skipped, is not there any more. With `fail_fast` the run has failed
    when not enough steps are left; with `collect` only when all have ended and too few were done.

    Attributes:
        won: the steps that were done, in the order in which they were.
    """

    __slots__ = ("_collects", "_left", "_needed", "won")

    def __init__(self, spec: WorkflowSpec) -> None:
        count = len(spec.steps)
        collects = self._collects = spec.on_error == "collect"
        if spec.join == "all":
            self._needed = 0 if collects else count
        else:
            self._needed = 1 if spec.join == "any" else spec.join
        self._left = count
        self.won: list[str] = []

    def done(self, name: str) -> Verdict:
        """A step was done."""
        self.won.append(name)
        return self._judge()

    def lost(self) -> Verdict:
        """A step was not done."""
        return self._judge()

    def _judge(self) -> Verdict:
        self._left -= 1
        if self._needed and len(self.won) >= self._needed:
            return "enough"
        if self._collects and self._left:
            return "open"
        return "failed" if len(self.won) + self._left < self._needed else "open"

    def why(self) -> str:
        """What was missing, for an error."""
        return f"{len(self.won)} of the {self._needed} steps that are needed were done"


def join_of(spec: WorkflowSpec) -> Join | None:
    """Counts for a run of `spec`; None where each failure ends the run and all must be done."""
    if spec.mode != "parallel" or (spec.join == "all" and spec.on_error == "fail_fast"):
        return None
    return Join(spec)
