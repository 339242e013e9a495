"""Conditions of one run: what they have seen so far, and whether they hold now.

Each run makes its own `Checker`, because a condition such as "it does not change any more" has a
memory, which runs must not share.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from difflib import SequenceMatcher
from typing import Any

import msgspec

from understudy.messages.conditions import (
    AllOf,
    AnyOf,
    Converged,
    Not,
    OutputContains,
    OutputMatches,
    TokensOver,
    describe,
)
from understudy.runtime.template import as_text

Checker = Callable[["Round"], str]
"""Gives the reason when the condition holds, else the empty text."""


class Round(msgspec.Struct, frozen=True):
    """One iteration, as conditions see it.

    Attributes:
        output: of its last step.
        tokens: of all iterations so far.
        context: the run's RunContext, for functions.
    """

    output: Any  # Any: what a step gave
    tokens: int
    context: Any  # Any: a RunContext, which is no business of a plan

    @property
    def text(self) -> str:
        """The output as text."""
        return as_text(self.output)


def checker_of(condition: Any) -> Checker:  # Any: a condition, or None
    """A condition with a memory of its own; without one, it never holds."""
    match condition:
        case None:
            return lambda _: ""
        case OutputContains(text=text, ignore_case=ignore):
            wanted = text.casefold() if ignore else text
            return _when(condition, lambda r: wanted in (r.text.casefold() if ignore else r.text))
        case OutputMatches(pattern=pattern):
            compiled = re.compile(pattern)
            return _when(condition, lambda r: compiled.search(r.text) is not None)
        case TokensOver(tokens=tokens):
            return _when(condition, lambda r: r.tokens > tokens)
        case Converged():
            return _Changes(condition)
        case AllOf(conditions=parts):
            return _all([checker_of(part) for part in parts])
        case AnyOf(conditions=parts):
            return _any([checker_of(part) for part in parts])
        case Not(condition=part):
            inner = checker_of(part)
            return lambda r: "" if inner(r) else describe(condition)
    return _when(condition, lambda r: bool(condition(r.context)))


def _when(condition: object, holds: Callable[[Round], bool]) -> Checker:
    return lambda r: describe(condition) if holds(r) else ""


def _all(parts: list[Checker]) -> Checker:
    def check(r: Round) -> str:
        reasons = [part(r) for part in parts]  # each of them has to see every iteration
        return " and ".join(reasons) if all(reasons) else ""

    return check


def _any(parts: list[Checker]) -> Checker:
    def check(r: Round) -> str:
        return next(filter(None, [part(r) for part in parts]), "")

    return check


class _Changes:
    """`Converged`: remembers the output before."""

    def __init__(self, condition: Converged) -> None:
        self._condition = condition
        self._before: str | None = None

    def __call__(self, r: Round) -> str:
        before, now = self._before, r.text
        self._before = now
        if before is None:
            return ""
        same = before == now or (
            self._condition.similarity < 1.0
            and SequenceMatcher(None, before, now, autojunk=False).ratio()
            >= self._condition.similarity
        )
        return describe(self._condition) if same else ""
