"""Of which kind the fields of workflows and steps are, for those who run no type checker.

It is looked at before anything else: what a field of the wrong kind means, no other check can say.
What a field of the right kind may be is the matter of `checking` and `graph`.
"""

from __future__ import annotations

from collections.abc import Iterable

from understudy.messages.budgets import Budget
from understudy.messages.kinds import TEXT, WHOLE, Kind, instance, is_number
from understudy.messages.workflows import StepSpec, WorkflowSpec

_SECONDS = Kind(
    lambda value: is_number(value) and value - value == 0,  # type: ignore[operator]
    "seconds are needed, as a number",
)
_EFFECTS = Kind(
    lambda value: value in ("none", "idempotent", "at_most_once"),
    "'none', 'idempotent' or 'at_most_once'",
)
_NAMES = Kind(
    lambda value: isinstance(value, tuple) and all(isinstance(each, str) for each in value),
    "a name of a step is needed, or a list of names",
)
_STEP = {
    "name": TEXT,
    "prompt": TEXT,
    "after": _NAMES,
    "each": TEXT,
    "max_concurrent": WHOLE,
    "timeout": _SECONDS,
    "retries": WHOLE,
    "effects": _EFFECTS,
    "key": TEXT,
}
_WORKFLOW = {
    "name": TEXT,
    "max_concurrent": WHOLE,
    "timeout": _SECONDS,
    "join": Kind(
        lambda value: isinstance(value, str) or WHOLE.fits(value),
        "'all', 'any', or how many steps must be done",
    ),
    "max_iterations": WHOLE,
    "budget": instance("give a Budget(...)", Budget),
}
_MAY_BE_NONE = frozenset(
    {"prompt", "each", "max_concurrent", "timeout", "effects", "key", "budget"}
)


def wrong_kinds(spec: WorkflowSpec, steps: Iterable[StepSpec]) -> list[str]:
    """A sentence for every field of another kind.

    Args:
        spec: the workflow.
        steps: its own, with those that stand in for them.
    """
    found = list(_wrong(spec, _WORKFLOW))
    for step in steps:
        found += (f"step {step.name!r}: {problem}" for problem in _wrong(step, _STEP))
    return found


def _wrong(spec: WorkflowSpec | StepSpec, kinds: dict[str, Kind]) -> Iterable[str]:
    for name, kind in kinds.items():
        value = getattr(spec, name)
        absent = value is None and name in _MAY_BE_NONE
        if not absent and not kind.fits(value):
            yield f"{name}={value!r}: {kind.needed}"
