"""What can be wrong with a workflow, found when it is built, all of it at once.

What concerns one step is in `planning.checking`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from understudy.messages.conditions import problems_of
from understudy.messages.workflows import Choice, StepSpec, WorkflowSpec
from understudy.runtime.planning.checking import check_step
from understudy.runtime.planning.compiled import dependencies
from understudy.runtime.planning.kinds import wrong_kinds

MAX_DEPTH = 8
"""How deep workflows nest."""
MAX_ITERATIONS = 100
"""Rounds of a loop, at most."""
MODES = ("sequential", "parallel", "dag", "loop")
OPTIONS = {"parallel": ("join", "on_error"), "loop": ("until", "max_iterations")}
"""What only one mode knows."""
_DEFAULTS = {"join": "all", "on_error": "fail_fast", "until": None, "max_iterations": 10}


def check_workflow(spec: WorkflowSpec) -> list[str]:
    """Every problem of the graph as a sentence that names the step; empty when there is none."""
    wrong = wrong_kinds(spec, all_steps(spec))
    if wrong:
        return wrong
    problems = [*_check_options(spec), *_check_names(spec)]
    names = [step.name for step in spec.steps]
    graph = dependencies(spec)
    for step in spec.steps:
        known = names if spec.mode == "loop" else _ancestors(graph, step.name)
        problems += check_step(spec, step, names, known)
        for target in targets(step.target):
            if isinstance(target, WorkflowSpec):
                problems += (f"step {step.name!r}: {each}" for each in check_workflow(target))
    cycle = _cycle(graph)
    if cycle:
        problems.append(f"step {cycle[0]!r} waits for itself: {' -> '.join(cycle)}")
    if _depth(spec) > MAX_DEPTH:
        problems.append(f"workflow {spec.name!r} nests deeper than {MAX_DEPTH}")
    return problems


def all_steps(spec: WorkflowSpec) -> Iterator[StepSpec]:
    """The steps, each followed by those that stand in for it."""
    for step in spec.steps:
        each: object = step
        while isinstance(each, StepSpec):
            yield each
            each = each.on_error


def targets(target: object) -> Iterator[object]:
    """What a step may do: its target, or those that it chooses from."""
    if not isinstance(target, Choice):
        yield target
        return
    yield from target.cases.values()
    if target.default is not None:
        yield target.default


def _check_options(spec: WorkflowSpec) -> Iterable[str]:
    if spec.mode not in MODES:
        yield f"mode {spec.mode!r}: one of {', '.join(MODES)}"
    if not spec.steps:
        yield f"workflow {spec.name!r} has no steps"
    if spec.max_concurrent < 1:
        yield f"max_concurrent={spec.max_concurrent}: at least 1 step must be able to run"
    if spec.timeout is not None and spec.timeout <= 0:
        yield f"timeout={spec.timeout}: more than 0 seconds are needed"
    for mode, options in OPTIONS.items():
        for name in options:
            if spec.mode != mode and getattr(spec, name) != _DEFAULTS[name]:
                yield f"{name}= is for {mode} workflows; {spec.name!r} is a {spec.mode} one"
    if spec.mode == "parallel":
        yield from _check_join(spec)
    if spec.mode == "loop":
        yield from _check_rounds(spec)


def _check_rounds(spec: WorkflowSpec) -> Iterable[str]:
    if not 1 <= spec.max_iterations <= MAX_ITERATIONS:
        yield f"max_iterations={spec.max_iterations}: 1 to {MAX_ITERATIONS}"
    if spec.until is not None:
        yield from (f"until=: {problem}" for problem in problems_of(spec.until))


def _check_join(spec: WorkflowSpec) -> Iterable[str]:
    join, count = spec.join, len(spec.steps)
    if spec.on_error not in ("fail_fast", "collect"):
        yield f"on_error={spec.on_error!r}: it is 'fail_fast' or 'collect'"
    if isinstance(join, str):
        if join not in ("all", "any"):
            yield f"join={join!r}: it is 'all', 'any', or how many steps must be done"
    elif not 1 <= join <= count:
        yield f"join={join}: 1 to {count}, as many as there are steps"


def _check_names(spec: WorkflowSpec) -> Iterable[str]:
    seen: set[str] = set()
    for step in all_steps(spec):
        if step.name in seen:
            yield f"step {step.name!r} is there twice; names must differ"
        seen.add(step.name)


def _ancestors(graph: dict[str, tuple[str, ...]], name: str) -> list[str]:
    found: dict[str, None] = {}
    stack = list(graph.get(name, ()))
    while stack:
        other = stack.pop()
        if other not in found:
            found[other] = None
            stack.extend(graph.get(other, ()))
    return list(found)


def _cycle(graph: dict[str, tuple[str, ...]]) -> list[str]:
    """The first cycle with its path, such as [a, b, a]; empty when there is none."""
    done: set[str] = set()
    for start, after in graph.items():
        path: list[str] = []
        stack = [(start, iter(after))] if start not in done else []
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
    nested = (
        _depth(target)
        for step in all_steps(spec)
        for target in targets(step.target)
        if isinstance(target, WorkflowSpec)
    )
    return 1 + max(nested, default=0)
