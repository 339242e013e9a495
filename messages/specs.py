"""What of a spec can leave the process, and how a spec that came in gets its functions back.

The codec sees values, not the places they are in. So before it encodes, `refuse_local` walks the
specs and names the step or the agent that holds what no other process could use; after decoding,
`load_functions` replaces import paths by functions, when the receiver trusts the sender.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from understudy.messages.agents import AgentSpec, AgentTool, RunAgent
from understudy.messages.conditions import map_functions
from understudy.messages.errors import CodecError, ConfigError
from understudy.messages.functions import FunctionRef, function_path, load_function
from understudy.messages.hooks import Hooks
from understudy.messages.secrets import Secret
from understudy.messages.tools import ToolsetSpec, ToolSpec
from understudy.messages.types import TypeRef, load_type, type_ref
from understudy.messages.workflows import (
    Choice,
    PoolRef,
    RunStep,
    RunWorkflow,
    StepSpec,
    WorkflowSpec,
)

S = TypeVar("S", AgentSpec, WorkflowSpec)
A = TypeVar("A", bound=AgentSpec)


def refuse_local(value: object) -> None:
    """Raise for a spec, or a request that holds one, which works in this process only.

    Raises:
        ConfigError: names the step whose function has no import path, or the agent whose model is
            an object.
        CodecError: names the agent whose key is a Secret.
    """
    match value:
        case WorkflowSpec():
            _refuse_workflow(value, f"workflow {value.name!r}")
        case StepSpec():
            _refuse_step(value, f"step {value.name!r}: ")
        case RunStep():
            _refuse_target(value.target, f"step {value.path!r}: ")
        case AgentSpec():
            _refuse_agent(value, "")
        case ToolSpec():
            _refuse_tool(value)
        case ToolsetSpec():
            for tool in value.tools:
                _refuse_tool(tool)
        case RunWorkflow() | RunAgent():
            refuse_local(value.spec)
        case _:
            pass


def load_functions(
    spec: S,
    load: Callable[[str], Callable[..., Any]] = load_function,  # Any: functions take what they like
) -> S:
    """The spec with every function and every type that it names by path, nested specs included.

    Args:
        spec: what `decode` gave.
        load: finds a function or a class by its path; pass one that looks into a table to allow
            only those.

    Raises:
        ConfigError: names the path that leads nowhere, and the step or agent it belongs to.
    """
    if isinstance(spec, AgentSpec):
        return _loaded(spec, load, "")
    steps = tuple(_loaded_step(spec.name, step, load) for step in spec.steps)
    until = map_functions(spec.until, _loader(load, f"workflow {spec.name!r}, until=: "))
    return msgspec.structs.replace(spec, steps=steps, until=until)


def _loaded_step(
    workflow: str,
    step: StepSpec,
    load: Callable[[str], Callable[..., Any]],  # Any: functions take what they like
) -> StepSpec:
    where = f"workflow {workflow!r}, step {step.name!r}: "
    instead = step.on_error
    if isinstance(instead, StepSpec):
        instead = _loaded_step(workflow, instead, load)
    return msgspec.structs.replace(
        step,
        target=_loaded_target(step.target, load, where),
        when=_loader(load, f"{where}when=: ")(step.when),
        on_error=instead,
    )


def _loaded_target(
    target: Any,  # Any: whatever a step may do
    load: Callable[[str], Callable[..., Any]],  # Any: functions take what they like
    where: str,
) -> Any:  # Any: as target
    match target:
        case WorkflowSpec():
            return load_functions(target, load)
        case AgentSpec():
            return _loaded(target, load, where)
        case Choice():
            cases = {key: _loaded_target(each, load, where) for key, each in target.cases.items()}
            default = _loaded_target(target.default, load, where)
            return msgspec.structs.replace(target, cases=cases, default=default)
    return _loader(load, where)(target)


def _loader(
    load: Callable[[str], Callable[..., Any]],  # Any: functions take what they like
    where: str,
) -> Callable[[Any], Any]:  # Any: what may be a path
    """Puts a function in the place of its path, and leaves anything else alone."""

    def put(value: Any) -> Any:  # Any: what may be a path
        if not isinstance(value, FunctionRef):
            return value
        try:
            return load(value.path)
        except ConfigError as error:
            raise ConfigError(where + error.message) from error

    return put


def _loaded(
    spec: A,
    load: Callable[[str], Callable[..., Any]],  # Any: functions take what they like
    where: str,
) -> A:
    if spec.hooks is not None:
        spec = msgspec.structs.replace(spec, hooks=_loaded_hooks(spec, spec.hooks, load, where))
    if not isinstance(spec.output, (FunctionRef, TypeRef)):
        return spec
    try:
        return msgspec.structs.replace(spec, output=load_type(spec.output, load))
    except ConfigError as error:
        raise ConfigError(f"{where}{_name(spec)}, output=: {error.message}") from error


def _loaded_hooks(
    spec: AgentSpec,
    hooks: Hooks,
    load: Callable[[str], Callable[..., Any]],  # Any: functions take what they like
    where: str,
) -> Hooks:
    found = {}
    for field in hooks.__struct_fields__:
        hook = getattr(hooks, field)
        try:
            found[field] = load(hook.path) if isinstance(hook, FunctionRef) else hook
        except ConfigError as error:
            message = f"{where}{_name(spec)}, Hooks({field}=): {error.message}"
            raise ConfigError(message) from error
    return Hooks(**found)


def _refuse_workflow(spec: WorkflowSpec, where: str) -> None:
    for step in spec.steps:
        _refuse_step(step, f"{where}, step {step.name!r}: ")
    map_functions(spec.until, lambda each: _refuse_function(each, f"{where}, until=: "))


def _refuse_step(step: StepSpec, where: str) -> None:
    _refuse_target(step.target, where)
    _refuse_function(step.when, f"{where}when=: ")
    if isinstance(step.on_error, StepSpec):
        _refuse_step(step.on_error, f"{where}on_error= step {step.on_error.name!r}: ")


def _refuse_function(function: object, where: str) -> None:
    if callable(function):
        try:
            function_path(function)
        except ConfigError as error:
            raise ConfigError(where + error.message) from error


def _refuse_target(target: object, where: str) -> None:
    match target:
        case WorkflowSpec():
            _refuse_workflow(target, f"{where}workflow {target.name!r}")
        case AgentSpec():
            _refuse_agent(target, where)
        case Choice():
            for case, each in target.cases.items():
                _refuse_target(each, f"{where}case {case!r}: ")
            if target.default is not None:
                _refuse_target(target.default, f"{where}default: ")
        case FunctionRef() | PoolRef():
            pass
        case _ if callable(target):
            _refuse_function(target, where)
        case _:
            raise ConfigError(
                f"{where}its target is of type {type(target).__name__}; "
                "an agent, a workflow, a pool or a function can be a step"
            )


def _refuse_tool(spec: ToolSpec) -> None:
    if not isinstance(spec.function, FunctionRef):
        try:
            function_path(spec.function)
        except ConfigError as error:
            raise ConfigError(f"tool {spec.name!r}: {error.message}") from error


def _refuse_agent(spec: AgentSpec, where: str) -> None:
    name = _name(spec)
    if spec.model is not None and not isinstance(spec.model, str):
        raise ConfigError(
            f"{where}{name} has an object of type {type(spec.model).__name__} as its model; "
            "only 'provider:model' can be encoded"
        )
    if spec.output is not None and not isinstance(spec.output, (FunctionRef, TypeRef)):
        try:
            type_ref(spec.output)
        except ConfigError as error:
            raise ConfigError(
                f"{where}{name} has an output= that stays here: {error.message}"
            ) from error
    for model in spec.fallback:
        if not isinstance(model, str):
            raise ConfigError(
                f"{where}{name} has an object of type {type(model).__name__} in its fallback=; "
                "only 'provider:model' can be encoded"
            )
    _refuse_functions(spec, f"{where}{name}")
    if isinstance(spec.api_key, Secret):
        raise CodecError(
            f"{where}{name} has a Secret as its api_key, which is never encoded; "
            "pass 'env:NAME' and let the receiver read it"
        )


def _refuse_functions(spec: AgentSpec, name: str) -> None:
    """Its tools and hooks, where another process could not find them."""
    hooks = spec.hooks
    given = [] if hooks is None else [(f, getattr(hooks, f)) for f in hooks.__struct_fields__]
    given += [("tools", each) for each in spec.tools if not isinstance(each, msgspec.Struct)]
    for field, function in given:
        if function is None or isinstance(function, FunctionRef):
            continue
        try:
            function_path(function)
        except ConfigError as error:
            raise ConfigError(f"{name}, {field}=: {error.message}") from error
    for tool in spec.tools:
        if isinstance(tool, AgentTool):
            _refuse_agent(tool.agent, f"{name}, tool {tool.name!r}: ")


def _name(spec: AgentSpec) -> str:
    return f"agent {spec.name!r}" if spec.name else "an agent without a name"
