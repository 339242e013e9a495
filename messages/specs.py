"""What of a spec can leave the process, and how a spec that came in gets its functions back.

The codec sees values, not the places they are in. So before it encodes, `refuse_local` walks the
specs and names the step or the agent that holds what no other process could use; after decoding,
`load_functions` replaces import paths by functions, when the receiver trusts the sender.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from understudy.messages.agents import AgentSpec, RunAgent
from understudy.messages.errors import CodecError, ConfigError
from understudy.messages.functions import FunctionRef, function_path, load_function
from understudy.messages.secrets import Secret
from understudy.messages.workflows import RunStep, RunWorkflow, StepSpec, WorkflowSpec


def refuse_local(value: object) -> None:
    """Raise for a spec, or a request that holds one, which works in this process only.

    Raises:
        ConfigError: names the step whose function has no import path, or the agent whose model is
            an object.
        CodecError: names the agent whose key is a Secret.
    """
    match value:
        case WorkflowSpec():
            for step in value.steps:
                _refuse_target(step.target, f"workflow {value.name!r}, step {step.name!r}: ")
        case StepSpec():
            _refuse_target(value.target, f"step {value.name!r}: ")
        case RunStep():
            _refuse_target(value.target, f"step {value.path!r}: ")
        case AgentSpec():
            _refuse_agent(value, "")
        case RunWorkflow() | RunAgent():
            refuse_local(value.spec)
        case _:
            pass


def load_functions(
    spec: WorkflowSpec,
    load: Callable[[str], Callable[..., Any]] = load_function,  # Any: functions take what they like
) -> WorkflowSpec:
    """The spec with every `FunctionRef` replaced by its function, nested workflows included.

    Args:
        spec: what `decode` gave.
        load: finds a function by its path; pass one that looks into a table to allow only those.

    Raises:
        ConfigError: names the path that leads nowhere, and the step it belongs to.
    """
    steps = []
    for step in spec.steps:
        match step.target:
            case FunctionRef(path):
                try:
                    function = load(path)
                except ConfigError as error:
                    where = f"workflow {spec.name!r}, step {step.name!r}: "
                    raise ConfigError(where + error.message) from error
                steps.append(msgspec.structs.replace(step, target=function))
            case WorkflowSpec():
                steps.append(
                    msgspec.structs.replace(step, target=load_functions(step.target, load))
                )
            case _:
                steps.append(step)
    return msgspec.structs.replace(spec, steps=tuple(steps))


def _refuse_target(target: object, where: str) -> None:
    match target:
        case WorkflowSpec():
            for step in target.steps:
                _refuse_target(
                    step.target, f"{where}workflow {target.name!r}, step {step.name!r}: "
                )
        case AgentSpec():
            _refuse_agent(target, where)
        case FunctionRef():
            pass
        case _ if callable(target):
            try:
                function_path(target)
            except ConfigError as error:
                raise ConfigError(where + error.message) from error
        case _:
            raise ConfigError(
                f"{where}its target is of type {type(target).__name__}; "
                "an agent, a workflow or a function can be a step"
            )


def _refuse_agent(spec: AgentSpec, where: str) -> None:
    name = f"agent {spec.name!r}" if spec.name else "an agent without a name"
    if spec.model is not None and not isinstance(spec.model, str):
        raise ConfigError(
            f"{where}{name} has an object of type {type(spec.model).__name__} as its model; "
            "only 'provider:model' can be encoded"
        )
    if isinstance(spec.api_key, Secret):
        raise CodecError(
            f"{where}{name} has a Secret as its api_key, which is never encoded; "
            "pass 'env:NAME' and let the receiver read it"
        )
