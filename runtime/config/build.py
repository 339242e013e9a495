"""From a configuration to specs: the same ones that code would write.

Names become what they stand for: an agent's table an `AgentSpec`, a workflow's a `WorkflowSpec`, an
import path the function or the type. Nothing of the file is evaluated; the only code that runs is
the import of the modules that it names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from understudy.messages.agents import AgentSpec
from understudy.messages.errors import ConfigError
from understudy.messages.functions import FunctionRef, load_function
from understudy.messages.specs import load_functions
from understudy.messages.workflows import StepSpec, WorkflowSpec
from understudy.runtime.config.problems import suggestion
from understudy.runtime.config.schema import Config, StepConfig


def build_workflow(config: Config, name: str) -> WorkflowSpec:
    """The workflow `[workflows.NAME]` with its agents, nested workflows and functions in place.

    Raises:
        ConfigError: there is no such workflow, agent or function, or workflows nest in a circle.
    """
    return _build(config, name, ())


def step_spec(
    step: StepConfig,
    target: AgentSpec | WorkflowSpec | FunctionRef | Callable[..., Any],  # Any: as in StepSpec
) -> StepSpec:
    """The step of a file as a spec, with what its target's name stands for."""
    return StepSpec(
        name=step.name,
        target=target,
        prompt=step.prompt,
        after=step.dependencies,
        each=step.each,
        max_concurrent=step.max_concurrent,
        timeout=step.timeout,
        on_error=step.on_error,
        effects=step.effects,
    )


def _build(config: Config, name: str, around: tuple[str, ...]) -> WorkflowSpec:
    if name in around:
        circle = " -> ".join((*around[around.index(name) :], name))
        raise ConfigError(f"workflows nest in a circle: {circle}")
    workflow = config.workflows.get(name)
    if workflow is None:
        hint = suggestion(name, config.workflows)
        raise ConfigError(f"there is no workflow {name!r}{hint}")
    return WorkflowSpec(
        name=name,
        mode=workflow.mode,
        steps=tuple(
            step_spec(step, _target(config, step, (*around, name))) for step in workflow.steps
        ),
        max_concurrent=workflow.max_concurrent,
        timeout=workflow.timeout,
    )


def _target(
    config: Config, step: StepConfig, around: tuple[str, ...]
) -> AgentSpec | WorkflowSpec | Callable[..., Any]:  # Any: as in StepSpec
    if step.function is not None:
        return load_function(step.function)
    if step.workflow is not None:
        return _build(config, step.workflow, around)
    if step.agent is None:
        raise ConfigError(f"step {step.name!r} has no function, workflow or agent")
    agent = config.agents.get(step.agent)
    if agent is None:
        hint = suggestion(step.agent, config.agents)
        raise ConfigError(f"step {step.name!r}: there is no agent {step.agent!r}{hint}")
    return agent if agent.output is None else _with_output(agent)


def _with_output(agent: AgentSpec) -> AgentSpec:
    """The agent with the type that its `output` names, which must be one that answers can have."""
    from understudy.actors.agents.output import output_plan

    loaded = load_functions(agent)
    output_plan(loaded.output, loaded.name)
    return loaded
