"""What can be wrong with one step of a workflow."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from inspect import iscoroutinefunction
from typing import Any

from understudy.messages.agents import AgentSpec
from understudy.messages.functions import FunctionRef
from understudy.messages.workflows import Choice, PoolRef, StepSpec, WorkflowSpec
from understudy.runtime.template import BUILT_IN, placeholders

_NAME = re.compile(r"[A-Za-z_][\w-]*")
_SET_BY_THE_FIRST = ("after", "each", "when", "max_concurrent")


def check_step(
    spec: WorkflowSpec, step: StepSpec, names: list[str], known: Sequence[str]
) -> Iterable[str]:
    """Every problem of a step as a sentence.

    Args:
        spec: the workflow.
        step: one of its steps.
        names: of all its steps.
        known: of those whose outputs there are when it begins.
    """
    here = f"step {step.name!r}"
    yield from _check_place(spec, step, here, names)
    yield from _check_alone(step, here, names, known, with_items=step.each is not None)
    instead = step.on_error
    while isinstance(instead, StepSpec):
        there = f"{here}: on_error= step {instead.name!r}"
        for option in _SET_BY_THE_FIRST:
            if getattr(instead, option):
                yield f"{there} has {option}=, which is for the step that it stands in for"
        yield from _check_alone(instead, there, names, known, with_items=step.each is not None)
        instead = instead.on_error


def _check_place(spec: WorkflowSpec, step: StepSpec, here: str, names: list[str]) -> Iterable[str]:
    if step.after and spec.mode != "dag":
        yield f"{here} has after=, but a {spec.mode} workflow has an order of its own; use a dag"
    for other in step.after:
        if other not in names:
            yield f"{here} waits for {other!r}, which is not a step{_hint(other, names)}"
    if step.each is not None and not _is_placeholder(step.each):
        yield f"{here}: each={step.each!r} must be one placeholder, such as '{{documents}}'"
    if isinstance(step.when, str) and not _is_placeholder(step.when):
        yield f"{here}: when={step.when!r} must be one placeholder, such as '{{found}}'"
    elif step.when is not None and not isinstance(step.when, (str, FunctionRef)):
        when: Any = step.when  # Any: whatever was given
        if not callable(when):
            yield f"{here}: when={step.when!r} is no placeholder and no function of ctx"
        elif iscoroutinefunction(step.when):
            yield f"{here}: when= is an async function; use a plain one, which must not wait"


def _check_alone(
    step: StepSpec, here: str, names: list[str], known: Sequence[str], *, with_items: bool
) -> Iterable[str]:
    if not _NAME.fullmatch(step.name) or step.name in BUILT_IN:
        yield f"{here}: a name has letters, digits, _ and -, and is none of {', '.join(BUILT_IN)}"
    yield from _check_bounds(step, here)
    yield from _check_target(step.target, here)
    chosen = [step.target.on] if isinstance(step.target, Choice) else []
    for on in chosen:
        if not placeholders(on):
            yield f"{here} chooses on {on!r}, which is always the same; write '{{input}}' or a step"
    before = [step.each or "", step.when if isinstance(step.when, str) else ""]
    for text in before:
        yield from _check_placeholders(text, here, names, known, with_items=False)
    for text in (step.prompt or "", step.key or "", *chosen):
        yield from _check_placeholders(text, here, names, known, with_items=with_items)


def _check_bounds(step: StepSpec, here: str) -> Iterable[str]:
    if step.max_concurrent is not None:
        if step.each is None:
            yield f"{here} has max_concurrent= but no each="
        elif step.max_concurrent < 1:
            yield f"{here}: max_concurrent={step.max_concurrent}, at least 1 is needed"
    if step.timeout is not None and step.timeout <= 0:
        yield f"{here}: timeout={step.timeout}, more than 0 seconds are needed"
    if step.retries < 0:
        yield f"{here}: retries={step.retries}, 0 or more"
    if step.retries and step.effects == "at_most_once":
        yield f"{here}: effects='at_most_once' and retries= contradict each other; leave one out"
    if not isinstance(step.on_error, StepSpec) and step.on_error not in ("fail", "continue"):
        yield f"{here}: on_error={step.on_error!r}: 'fail', 'continue', or a step to do instead"
    if step.key is not None and not _is_pool(step.target):
        yield f"{here} has key=, which is for a step whose target is a keyed pool"


def _check_target(
    target: Any, here: str, *, inside: bool = False
) -> Iterable[str]:  # Any: whatever was given
    if isinstance(target, Choice) and not inside:
        if not target.cases:
            yield f"{here} chooses from no cases; write choose('{{kind}}', {{'bug': fixer}})"
        for case, each in target.cases.items():
            yield from _check_target(each, f"{here}, case {case!r}", inside=True)
        if target.default is not None:
            yield from _check_target(target.default, f"{here}, default", inside=True)
    elif isinstance(target, Choice):
        yield f"{here} is a choice within a choice; make it a workflow of its own"
    elif isinstance(target, type) and hasattr(target, "on_receive"):
        named = target.__name__
        yield f"{here}: {named} is a class of actors; make a pool of it: rt.pool('name', {named})"
    elif not (
        isinstance(target, (AgentSpec, WorkflowSpec, FunctionRef))
        or _is_pool(target)
        or callable(target)
    ):
        yield f"{here}: {target!r} is no agent, function, workflow or pool"


def _check_placeholders(
    text: str, here: str, names: list[str], known: Sequence[str], *, with_items: bool
) -> Iterable[str]:
    for place in placeholders(text):
        if place.name in names:
            if place.name not in known:
                yield f"{here} uses {{{place.name}}}, but does not wait for it; add it to after="
        elif place.name not in BUILT_IN:
            hint = _hint(place.name, [*names, *BUILT_IN])
            yield f"{here} uses {{{place.name}}}, which is no step{hint}"
        elif place.name != "input" and not with_items:
            yield f"{here} uses {{{place.name}}}, which only exists with each="


def _is_placeholder(text: str) -> bool:
    found = placeholders(text)
    return len(found) == 1 and (found[0].start, found[0].end) == (0, len(text))


def _hint(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _is_pool(target: object) -> bool:
    """A pool by its name, or as it is held: a handle, which is no business of a pure module."""
    return isinstance(target, PoolRef) or hasattr(type(target), "submit_patiently")
