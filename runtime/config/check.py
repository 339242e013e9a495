"""What the values of a configuration say about each other: names, nesting, functions.

Each mistake is noted at the key that makes it. What was noted is then taken out of the values, so
that the graph check, which knows no lines, reports only what nobody has reported yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import msgspec

from understudy.messages.agents import AgentSpec
from understudy.messages.errors import ConfigError
from understudy.messages.functions import FunctionRef, load_function
from understudy.messages.workflows import PoolRef, WorkflowSpec
from understudy.runtime.config.build import workflow_spec
from understudy.runtime.config.flows import StepConfig, TargetConfig, WorkflowConfig
from understudy.runtime.config.locate import Path
from understudy.runtime.config.problems import Problems, suggestion
from understudy.runtime.config.read import Values, build_table

GraphCheck = Callable[[WorkflowSpec], Sequence[str]]


def check_references(values: Mapping[str, Values], problems: Problems) -> None:
    """Names that lead nowhere or to two places, and functions that cannot be imported."""
    for name, agent in values["agents"].items():
        for key in ("output", "tools"):
            given = agent.get(key) or ()
            for import_path in (given,) if isinstance(given, str) else given:
                try:
                    load_function(import_path)
                except ConfigError as error:
                    problems.at(("agents", name, key), error.message)
    for name, workflow in values["workflows"].items():
        path: Path = ("workflows", name)
        if "mode" not in workflow and not problems.has(path, (*path, "mode")):
            problems.at((*path, "mode"), "is missing; write sequential, parallel, dag or loop")
        steps = workflow.get("steps", [])
        for index, step in enumerate(steps):
            _check_target(step, values, (*path, "steps", index), problems)
        _check_names(steps, (*path, "steps"), problems)
    _check_nesting(values["workflows"], problems)


def check_graphs(values: Mapping[str, Values], check: GraphCheck, problems: Problems) -> None:
    """Note what `check` finds in each workflow, at the step whose name it quotes."""
    agents = values["agents"]
    for name, workflow in values["workflows"].items():
        steps = [(i, step) for i, step in enumerate(workflow.get("steps", [])) if "name" in step]
        if "mode" not in workflow or not steps:
            continue
        named = {**workflow, "steps": tuple(build_table(StepConfig, step) for _, step in steps)}
        try:
            made = build_table(WorkflowConfig, named)
            # Only the graph is judged here: a name stands for what it may not lead to.
            spec = workflow_spec(name, made, partial(_stub, agents), FunctionRef)
        except (ConfigError, TypeError):
            continue  # something is missing, which is noted already
        for text in check(spec):
            quoted = [index for index, step in steps if repr(step["name"]) in text]
            path: Path = ("workflows", name)
            problems.at((*path, "steps", quoted[0]) if quoted else path, text)


def _stub(
    agents: Values, target: TargetConfig | StepConfig, _: str
) -> AgentSpec | PoolRef | FunctionRef:
    if target.pool is not None:
        return PoolRef(target.pool)
    return (
        AgentSpec(name=target.agent)
        if target.agent in agents
        else FunctionRef(target.function or "")
    )


def _check_target(
    step: Values, values: Mapping[str, Values], path: Path, problems: Problems
) -> None:
    for key, family in (("agent", "agents"), ("workflow", "workflows")):
        if key in step and step[key] not in values[family]:
            hint = suggestion(step[key], values[family]) or f"; there is no [{family}.NAME] at all"
            problems.at((*path, key), f"unknown {key} {step[key]!r}{hint}")
    for key in ("function", "when"):
        if isinstance(step.get(key), str) and not step[key].startswith("{"):
            try:
                load_function(step[key])
            except ConfigError as error:
                problems.at((*path, key), error.message)
    for case, target in step.get("cases", {}).items():
        inner = {k: v for k, v in msgspec.structs.asdict(target).items() if v is not None}
        _check_target(inner, values, (*path, "cases", case), problems)
    for key in ("default", "fallback"):
        if isinstance(step.get(key), dict):
            _check_target(step[key], values, (*path, key), problems)


def _check_names(steps: list[Values], path: Path, problems: Problems) -> None:
    first: dict[str, int] = {}
    for index, step in enumerate(steps):
        name = step.get("name")
        if name in first:
            line = problems.lines.line((*path, first[name], "name"))
            text = f"duplicate step name {name!r}; the first is on line {line}"
            problems.at((*path, index, "name"), text)
            del step["name"]
        elif name is not None:
            first[name] = index
    for index, step in enumerate(steps):
        after = step.get("after", ())
        wanted = (after,) if isinstance(after, str) else after
        for name in wanted:
            if name not in first:
                text = f"unknown step {name!r}{suggestion(name, first)}"
                problems.at((*path, index, "after"), text)
        step["after"] = tuple(name for name in wanted if name in first)


def _check_nesting(workflows: Values, problems: Problems) -> None:
    """Depth first, without recursion; each circle is noted once, at the step that closes it."""
    done: set[str] = set()
    for start in workflows:
        around: list[str] = [start]
        pending = [_nested(workflows, start)]
        while pending:
            if not pending[-1]:
                pending.pop()
                done.add(around.pop())
                continue
            index, name = pending[-1].pop(0)
            if name in around:
                circle = " -> ".join((*around[around.index(name) :], name))
                path: Path = ("workflows", around[-1], "steps", index, "workflow")
                problems.at(path, f"workflows nest in a circle: {circle}")
            elif name not in done:
                around.append(name)
                pending.append(_nested(workflows, name))


def _nested(workflows: Values, name: str) -> list[tuple[int, str]]:
    """The workflows that are steps of a workflow, with the steps' numbers."""
    steps = workflows[name].get("steps", [])
    return [
        (index, target)
        for index, step in enumerate(steps)
        for target in _workflows_of(step)
        if target in workflows
    ]


def _workflows_of(step: Values) -> Iterator[str | None]:
    """The workflows that a step may do, or what stands in for it."""
    yield step.get("workflow")
    for case in step.get("cases", {}).values():
        yield case.workflow
    for key in ("default", "fallback"):
        if isinstance(step.get(key), dict):
            yield from _workflows_of(step[key])
