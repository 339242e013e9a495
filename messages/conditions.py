"""Conditions as data: when a loop has done enough.

A condition says *what* ends a loop, in words that encode; what it has to remember from one
iteration to the next belongs to a run and lives there (`runtime.planning.conditions`), so that runs
of one workflow share nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from understudy.messages.functions import FunctionRef
from understudy.messages.kinds import TEXT, is_number


class OutputContains(msgspec.Struct, frozen=True, tag_field="kind", tag="output_contains"):
    """The text of an iteration's output holds `text`."""

    text: str
    ignore_case: bool = False

    def __str__(self) -> str:
        return f"the output contains {self.text!r}"


class OutputMatches(msgspec.Struct, frozen=True, tag_field="kind", tag="output_matches"):
    """Somewhere in the text of an iteration's output, `pattern` matches."""

    pattern: str

    def __str__(self) -> str:
        return f"the output matches {self.pattern!r}"


class TokensOver(msgspec.Struct, frozen=True, tag_field="kind", tag="tokens_over"):
    """All iterations together took more than `tokens` tokens."""

    tokens: int

    def __str__(self) -> str:
        return f"more than {self.tokens:,} tokens were used"


class Converged(msgspec.Struct, frozen=True, tag_field="kind", tag="converged"):
    """An iteration's output is (nearly) the one before: at least as similar as `similarity`."""

    similarity: float = 1.0

    def __str__(self) -> str:
        if self.similarity >= 1.0:
            return "the output did not change any more"
        return f"the output changed by less than {1 - self.similarity:.0%}"


class AllOf(msgspec.Struct, frozen=True, tag_field="kind", tag="all_of"):
    """All conditions hold for the same iteration."""

    conditions: tuple[Condition, ...]

    def __str__(self) -> str:
        return " and ".join(map(describe, self.conditions))


class AnyOf(msgspec.Struct, frozen=True, tag_field="kind", tag="any_of"):
    """At least one condition holds."""

    conditions: tuple[Condition, ...]

    def __str__(self) -> str:
        return " or ".join(map(describe, self.conditions))


class Not(msgspec.Struct, frozen=True, tag_field="kind", tag="not"):
    """The condition does not hold."""

    condition: Condition

    def __str__(self) -> str:
        return f"not ({describe(self.condition)})"


Plain: TypeAlias = OutputContains | OutputMatches | TokensOver | Converged | AllOf | AnyOf | Not
if TYPE_CHECKING:
    # Any: a RunContext, which is defined above us
    Condition: TypeAlias = Plain | FunctionRef | Callable[[Any], bool]
else:
    Condition = Plain | FunctionRef
CONDITIONS = (OutputContains, OutputMatches, TokensOver, Converged, AllOf, AnyOf, Not)


def output_contains(text: str, *, ignore_case: bool = False) -> OutputContains:
    """Until the output of an iteration contains `text`."""
    return OutputContains(text, ignore_case)


def output_matches(pattern: str) -> OutputMatches:
    """Until the regular expression `pattern` is found in the output of an iteration."""
    return OutputMatches(pattern)


def tokens_over(tokens: int) -> TokensOver:
    """Until all iterations together took more than so many tokens."""
    return TokensOver(tokens)


def converged(similarity: float = 1.0) -> Converged:
    """Until an iteration gives what the one before gave.

    Args:
        similarity: 1.0 is the same output; 0.95 lets one character in twenty differ.
    """
    return Converged(similarity)


def all_of(*conditions: Condition) -> AllOf:
    """Until all of them hold for the same iteration."""
    return AllOf(conditions)


def any_of(*conditions: Condition) -> AnyOf:
    """Until one of them holds."""
    return AnyOf(conditions)


def not_(condition: Condition) -> Not:
    """Until it does not hold."""
    return Not(condition)


def describe(condition: object) -> str:
    """A condition in words."""
    if isinstance(condition, CONDITIONS):
        return str(condition)
    if isinstance(condition, FunctionRef):
        return f"{condition.path} says so"
    return f"{getattr(condition, '__name__', 'a function')} says so"


def problems_of(condition: object) -> list[str]:
    """What is wrong with a condition, each as a sentence."""
    match condition:
        case AllOf(conditions=parts) | AnyOf(conditions=parts):
            if not parts:
                return [f"{type(condition).__name__} without a condition"]
            return [problem for part in parts for problem in problems_of(part)]
        case Not(condition=part):
            return problems_of(part)
        case _ if not isinstance(condition, (FunctionRef, *CONDITIONS)) and not callable(condition):
            return [f"{condition!r} is no condition; use output_contains(...) or a function of ctx"]
    problem = _wrong_kind(condition) or _wrong_value(condition)
    return [problem] if problem else []


def _wrong_kind(condition: object) -> str:
    match condition:
        case OutputContains(text=compared) | OutputMatches(pattern=compared):
            return "" if TEXT.fits(compared) else f"{condition!r}: a text is needed"
        case TokensOver(tokens=compared) | Converged(similarity=compared):
            return "" if is_number(compared) else f"{condition!r}: a number is needed"
    return ""


def _wrong_value(condition: object) -> str:
    match condition:
        case OutputContains(text="") | OutputMatches(pattern=""):
            return f"{type(condition).__name__} with an empty text holds always"
        case OutputMatches(pattern=pattern):
            try:
                re.compile(pattern)
            except re.error as error:
                return f"output_matches({pattern!r}) is no regular expression: {error}"
        case TokensOver(tokens=tokens) if tokens < 0:
            return f"tokens_over({tokens}): 0 or more tokens"
        case Converged(similarity=similarity) if not 0 < similarity <= 1:
            return f"converged({similarity}): more than 0, at most 1"
    return ""


def map_functions(
    condition: Any,  # Any: a condition
    change: Callable[[Any], Any],  # Any: a function, or its path
) -> Any:  # Any: a condition
    """The condition with every function, or path of one, replaced by what `change` makes of it."""
    match condition:
        case AllOf(conditions=parts) | AnyOf(conditions=parts):
            return type(condition)(tuple(map_functions(part, change) for part in parts))
        case Not(condition=part):
            return Not(map_functions(part, change))
        case _ if isinstance(condition, CONDITIONS):
            return condition
    return change(condition)
