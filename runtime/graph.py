"""What can be wrong with a workflow, found when it is built, all of it at once."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from understudy.messages.agents import AgentSpec
from understudy.messages.functions import FunctionRef
from understudy.messages.workflows import StepSpec, WorkflowSpec
from understudy.runtime.template import BUILT_IN, placeholders

MAX_DEPTH = 8
"""How deep workflows nest."""
_NAME = re.compile(r"[A-Za-z_][\w-]*")


def check_workflow(spec: WorkflowSpec) -> list[str]:
    """Every problem of the graph as a sentence that names the step; empty when there is none."""
    problems: list[str] = []
    if spec.mode not in ("sequential", "parallel", "dag"):
        problems.append(f"mode {spec.mode!r}: one of sequential, parallel, dag")
    if not spec.steps:
        problems.append(f"workflow {spec.name!r} has no steps")
    if spec.max_concurrent < 1:
        problems.append(
            f"max_concurrent={spec.max_concurrent}: at least 1 step must be able to run"
        )
    if spec.timeout is not None and spec.timeout <= 0:
        problems.append(f"timeout={spec.timeout}: more than 0 seconds are needed")
    names = [step.name for step in spec.steps]
    seen: set[str] = set()
    for name in names:
        if name in seen:
            problems.append(f"step {name!r} is there twice; names must differ")
        seen.add(name)
    for step in spec.steps:
        problems += _check_step(spec, step, names)
    cycle = _cycle(spec)
    if cycle:
        problems.append(f"step {cycle[0]!r} waits for itself: {' -> '.join(cycle)}")
    if _depth(spec) > MAX_DEPTH:
        problems.append(f"workflow {spec.name!r} nests deeper than {MAX_DEPTH}")
    return problems


def dependencies(spec: WorkflowSpec) -> dict[str, tuple[str, ...]]:
    """The steps that each step waits for."""
    if spec.mode == "dag":
        return {step.name: step.after for step in spec.steps}
    if spec.mode == "parallel":
        return {step.name: () for step in spec.steps}
    found: dict[str, tuple[str, ...]] = {}
    previous: tuple[str, ...] = ()
    for step in spec.steps:
        found[step.name] = previous
        previous = (step.name,)
    return found


def _check_step(spec: WorkflowSpec, step: StepSpec, names: list[str]) -> Iterable[str]:
    here = f"step {step.name!r}"
    if not _NAME.fullmatch(step.name) or step.name in BUILT_IN:
        yield f"{here}: a name has letters, digits, _ and -, and is none of {', '.join(BUILT_IN)}"
    if step.after and spec.mode != "dag":
        yield f"{here} has after=, but a {spec.mode} workflow has an order of its own; use a dag"
    for other in step.after:
        if other not in names:
            yield f"{here} waits for {other!r}, which is not a step{_hint(other, names)}"
    yield from _check_bounds(step, here)
    yield from _check_placeholders(spec, step, names)
    yield from _check_target(step.target, here)


def _check_bounds(step: StepSpec, here: str) -> Iterable[str]:
    if step.max_concurrent is not None:
        if step.each is None:
            yield f"{here} has max_concurrent= but no each="
        elif step.max_concurrent < 1:
            yield f"{here}: max_concurrent={step.max_concurrent}, at least 1 is needed"
    if step.timeout is not None and step.timeout <= 0:
        yield f"{here}: timeout={step.timeout}, more than 0 seconds are needed"


def _check_target(target: object, here: str) -> Iterable[str]:
    if isinstance(target, WorkflowSpec):
        for problem in check_workflow(target):
            yield f"{here}: {problem}"
    elif not isinstance(target, (AgentSpec, FunctionRef)) and not callable(target):
        yield f"{here}: {target!r} is no agent, function or workflow"


def _check_placeholders(spec: WorkflowSpec, step: StepSpec, names: list[str]) -> Iterable[str]:
    before = _ancestors(spec, step.name)
    here = f"step {step.name!r}"
    if step.each is not None:
        found = placeholders(step.each)
        if len(found) != 1 or (found[0].start, found[0].end) != (0, len(step.each)):
            yield f"{here}: each={step.each!r} must be one placeholder, such as '{{documents}}'"
    for place in placeholders(step.prompt or "") + placeholders(step.each or ""):
        if place.name in names:
            if place.name not in before:
                yield f"{here} uses {{{place.name}}}, but does not wait for it; add it to after="
        elif place.name not in BUILT_IN:
            hint = _hint(place.name, [*names, *BUILT_IN])
            yield f"{here} uses {{{place.name}}}, which is no step{hint}"
        elif place.name != "input" and step.each is None:
            yield f"{here} uses {{{place.name}}}, which only exists with each="


def _ancestors(spec: WorkflowSpec, name: str) -> set[str]:
    graph = dependencies(spec)
    found: set[str] = set()
    stack = list(graph.get(name, ()))
    while stack:
        other = stack.pop()
        if other not in found:
            found.add(other)
            stack.extend(graph.get(other, ()))
    return found


def _cycle(spec: WorkflowSpec) -> list[str]:
    """The first cycle with its path, such as [a, b, a]; empty when there is none."""
    graph = dependencies(spec)
    done: set[str] = set()
    for start in graph:
        path: list[str] = []
        stack = [(start, iter(graph[start]))] if start not in done else []
        path += [start] if stack else []
        while stack:
            node, others = stack[-1]
            other = next(others, None)
            if other is None:
                done.add(node)
                path.pop()
                stack.pop()
            elif other in path:
                return [*path[path.index(other) :], other]
            elif other in graph and other not in done:
                path.append(other)
                stack.append((other, iter(graph[other])))
    return []


def _depth(spec: WorkflowSpec) -> int:
    nested = (_depth(s.target) for s in spec.steps if isinstance(s.target, WorkflowSpec))
    return 1 + max(nested, default=0)


def _hint(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
