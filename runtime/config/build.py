"""From a configuration to specs: the same ones that code would write.

Names become what they stand for: an agent's table an `AgentSpec`, a workflow's a `WorkflowSpec`, an
import path the function or the type. Nothing of the file is evaluated; the only code that runs is
the import of the modules that it names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from understudy.messages.agents import AgentSpec
from understudy.messages.budgets import Budget
from understudy.messages.conditions import (
    all_of,
    any_of,
    converged,
    not_,
    output_contains,
    output_matches,
    tokens_over,
)
from understudy.messages.errors import ConfigError
from understudy.messages.functions import load_function
from understudy.messages.specs import load_functions
from understudy.messages.workflows import Choice, PoolRef, StepSpec, WorkflowSpec
from understudy.runtime.config.flows import StepConfig, TargetConfig, UntilConfig, WorkflowConfig
from understudy.runtime.config.problems import suggestion
from understudy.runtime.config.schema import Config


def build_workflow(config: Config, name: str) -> WorkflowSpec:
    """The workflow `[workflows.NAME]` with its agents, nested workflows and functions in place.

    Raises:
        ConfigError: there is no such workflow, agent or function, or workflows nest in a circle.
    """
    return _build(config, name, ())


def workflow_spec(
    name: str,
    workflow: WorkflowConfig,
    target_of: Callable[[TargetConfig | StepConfig, str], Any],  # Any: a target of a step
    function_of: Callable[[str], Any] = load_function,  # Any: a function, or its path
) -> WorkflowSpec:
    """The workflow of a file as a spec.

    Args:
        name: of the workflow.
        workflow: its table.
        target_of: what a target's name stands for; it is told the step's name too.
        function_of: what an import path stands for.
    """
    budget = workflow.budget
    return WorkflowSpec(
        name=name,
        mode=workflow.mode,
        steps=tuple(step_spec(step, target_of, function_of) for step in workflow.steps),
        max_concurrent=workflow.max_concurrent,
        timeout=workflow.timeout,
        join=workflow.join,
        on_error=workflow.on_error,
        until=None if workflow.until is None else _condition(workflow.until, function_of),
        max_iterations=workflow.max_iterations,
        budget=None if budget is None else Budget(**msgspec.structs.asdict(budget)),
    )


def step_spec(
    step: StepConfig,
    target_of: Callable[[TargetConfig | StepConfig, str], Any],  # Any: a target of a step
    function_of: Callable[[str], Any] = load_function,  # Any: a function, or its path
) -> StepSpec:
    """The step of a file as a spec; see `workflow_spec`."""
    target: Any  # Any: a target of a step
    if step.choose is None:
        target = target_of(step, step.name)
    else:
        default = step.default
        target = Choice(
            on=step.choose,
            cases={case: target_of(each, step.name) for case, each in step.cases.items()},
            default=None if default is None else target_of(default, step.name),
        )
    when = step.when
    fallback = step.fallback
    return StepSpec(
        name=step.name,
        target=target,
        prompt=step.prompt,
        after=step.dependencies,
        when=when if when is None or when.startswith("{") else function_of(when),
        each=step.each,
        max_concurrent=step.max_concurrent,
        timeout=step.timeout,
        retries=step.retries,
        on_error=step.on_error if fallback is None else step_spec(fallback, target_of, function_of),
        effects=step.effects,
        key=step.key,
    )


def _condition(
    until: UntilConfig,
    function_of: Callable[[str], Any],  # Any: a function, or its path
) -> Any:  # Any: a condition
    """Of several keys, any."""
    parts: list[Any] = []  # Any: conditions
    for field, make in _CONDITIONS.items():
        value = getattr(until, field)
        if value is not None:
            parts.append(make(value))
    if until.function is not None:
        parts.append(function_of(until.function))
    for field, join in (("all_of", all_of), ("any_of", any_of)):
        inner = getattr(until, field)
        if inner:
            parts.append(join(*(_condition(each, function_of) for each in inner)))
    if until.not_ is not None:
        parts.append(not_(_condition(until.not_, function_of)))
    return parts[0] if len(parts) == 1 else any_of(*parts)


_CONDITIONS: dict[str, Callable[[Any], Any]] = {  # Any: what a key holds, and conditions
    "output_contains": output_contains,
    "output_matches": output_matches,
    "tokens_over": tokens_over,
    "converged": converged,
}


def _build(config: Config, name: str, around: tuple[str, ...]) -> WorkflowSpec:
    if name in around:
        circle = " -> ".join((*around[around.index(name) :], name))
        raise ConfigError(f"workflows nest in a circle: {circle}")
    workflow = config.workflows.get(name)
    if workflow is None:
        hint = suggestion(name, config.workflows)
        raise ConfigError(f"there is no workflow {name!r}{hint}")

    def target_of(target: TargetConfig | StepConfig, step: str) -> Any:  # Any: as in StepSpec
        return _target(config, target, step, (*around, name))

    return workflow_spec(name, workflow, target_of)


def _target(
    config: Config, target: TargetConfig | StepConfig, step: str, around: tuple[str, ...]
) -> AgentSpec | WorkflowSpec | PoolRef | Callable[..., Any]:  # Any: as in StepSpec
    if target.function is not None:
        return load_function(target.function)
    if target.workflow is not None:
        return _build(config, target.workflow, around)
    if target.pool is not None:
        return PoolRef(target.pool)
    if target.agent is None:
        raise ConfigError(f"step {step!r} has no function, workflow, agent or pool")
    agent = config.agents.get(target.agent)
    if agent is None:
        hint = suggestion(target.agent, config.agents)
        raise ConfigError(f"step {step!r}: there is no agent {target.agent!r}{hint}")
    return agent if agent.output is None else _with_output(agent)


def _with_output(agent: AgentSpec) -> AgentSpec:
    """The agent with the type that its `output` names, which must be one that answers can have."""
    from understudy.actors.agents.output import output_plan

    loaded = load_functions(agent)
    output_plan(loaded.output, loaded.name)
    return loaded
