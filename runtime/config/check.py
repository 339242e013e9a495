"""What the values of a configuration say about each other: names, nesting, functions.

Each mistake is noted at the key that makes it. What was noted is then taken out of the values, so
that the graph check, which knows no lines, reports only what nobody has reported yet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from understudy.messages.agents import AgentSpec
from understudy.messages.errors import ConfigError
from understudy.messages.functions import FunctionRef, load_function
from understudy.messages.workflows import WorkflowSpec
from understudy.runtime.config.build import step_spec
from understudy.runtime.config.locate import Path
from understudy.runtime.config.problems import Problems, suggestion
from understudy.runtime.config.read import Values
from understudy.runtime.config.schema import StepConfig

GraphCheck = Callable[[WorkflowSpec], Sequence[str]]


def check_references(values: Mapping[str, Values], problems: Problems) -> None:
    """Names that lead nowhere or to two places, and functions that cannot be imported."""
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
        spec = WorkflowSpec(
            name=name,
            mode=workflow["mode"],
            steps=tuple(
                step_spec(
                    StepConfig(**step),
                    # Only the graph is judged here: a name stands for what it may not lead to.
                    AgentSpec(name=step["agent"])
                    if step.get("agent") in agents
                    else FunctionRef(step.get("function", "")),
                )
                for _, step in steps
            ),
        )
        for text in check(spec):
            quoted = [index for index, step in steps if repr(step["name"]) in text]
            path: Path = ("workflows", name)
            problems.at((*path, "steps", quoted[0]) if quoted else path, text)


def _check_target(
    step: Values, values: Mapping[str, Values], path: Path, problems: Problems
) -> None:
    for key, family in (("agent", "agents"), ("workflow", "workflows")):
        if key in step and step[key] not in values[family]:
            hint = suggestion(step[key], values[family]) or f"; there is no [{family}.NAME] at all"
            problems.at((*path, key), f"unknown {key} {step[key]!r}{hint}")
    if "function" in step:
        try:
            load_function(step["function"])
        except ConfigError as error:
            problems.at((*path, "function"), error.message)


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
    targets = [(index, step.get("workflow")) for index, step in enumerate(steps)]
    return [(index, target) for index, target in targets if target in workflows]
