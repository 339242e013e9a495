"""How a model calls a function: the schema of its arguments, and arguments made of what it sent.

The parameters become a msgspec Struct: its JSON Schema is what the model is told, and converting to
it is the check, so the two cannot disagree. A parameter with a default may be left out, and then
the function's own default counts. The one annotated with `RunContext` is filled in here and never
shown.

Arguments are taken strictly first. Where that fails they are taken as models mean them: `"5"` for a
number, null for an option that was left out. What is wrong then is told for every argument at once.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, get_args, get_origin

import msgspec
from msgspec import UNSET, UnsetType

from understudy.actors.kernel.run_context import RunContext
from understudy.actors.rules.docstrings import parse_docstring
from understudy.actors.rules.strict_schema import drop_added_nulls
from understudy.messages.errors import ConfigError, ToolError

Function = Callable[..., Any]  # Any: a tool takes and gives what it likes
Schema = dict[str, Any]  # Any: JSON values


class ArgumentsError(ToolError):
    """What the model sent are no arguments of this tool; the message tells it why."""


class Signature:
    """The parameters of one function.

    Args:
        function: a function, method, `functools.partial` or object with `__call__`.
        name: of the tool, for messages.

    Attributes:
        parameters: the JSON Schema.
        description: from the docstring.
        context: the parameter that takes the run's context, if there is one.

    Raises:
        ConfigError: a parameter has no annotation, or one that JSON cannot carry.
    """

    __slots__ = ("_fields", "_kind", "_name", "_names", "context", "description", "parameters")

    def __init__(self, function: Function, name: str) -> None:
        self._name = name
        inner = innermost(function)
        said = parse_docstring(inspect.getdoc(inner))
        self.description = said.description
        self.context: str | None = None
        self._fields: dict[str, Any] = {}  # Any: types, and whatever stands for one
        hints = _hints(inner, name)
        required: dict[str, Any] = {}
        optional: dict[str, Any] = {}
        defaults: dict[str, Any] = {}
        for parameter in open_parameters(function, name):
            hint = _hint_of(parameter, hints, name)
            if is_context(hint):
                self.context = parameter.name
                continue
            kind = _described(hint, said.parameters.get(parameter.name))
            self._fields[parameter.name] = kind
            if parameter.default is parameter.empty:
                required[parameter.name] = kind
            else:
                optional[parameter.name] = kind
                defaults[parameter.name] = parameter.default
        self._names = tuple(self._fields)
        fields = [(each, required[each]) for each in required]
        fields += [(each, optional[each] | UnsetType, UNSET) for each in optional]  # type: ignore[misc]
        try:
            self._kind: type[msgspec.Struct] = msgspec.defstruct(
                "Arguments", fields, kw_only=True, forbid_unknown_fields=True
            )
            self.parameters = _schema(self._kind, self._names, defaults)
        except (TypeError, ValueError, NameError, RecursionError) as error:
            why = " ".join(str(error).split())
            raise ConfigError(
                f"tool {name!r}: its parameters have no JSON schema: {why}; "
                "use plain types, msgspec.Struct, dataclasses, TypedDict"
            ) from error

    def bind(self, arguments: Any, context: RunContext | None) -> dict[str, Any]:  # Any: JSON
        """The arguments as the function takes them.

        Raises:
            ArgumentsError: says what is wrong with each.
        """
        bound = self.convert(arguments)
        if self.context is not None:
            bound[self.context] = RunContext("", {}) if context is None else context
        return bound

    def convert(self, arguments: Any) -> dict[str, Any]:  # Any: JSON values
        """The arguments without the context; raises as `bind`."""
        kind = self._kind
        try:
            made = msgspec.convert(arguments, kind)
        except (msgspec.ValidationError, RecursionError):
            try:
                meant = drop_added_nulls(arguments, self.parameters)
                made = msgspec.convert(meant, kind, strict=False)
            except (msgspec.ValidationError, RecursionError) as error:
                raise ArgumentsError(self._complaint(arguments, error)) from None
        return {name: value for name in self._names if (value := getattr(made, name)) is not UNSET}

    def _complaint(self, arguments: Any, error: Exception) -> str:  # Any: JSON values
        problems: list[str] = []
        if isinstance(arguments, Mapping) and not isinstance(error, RecursionError):
            required = self.parameters.get("required", ())
            for name, kind in self._fields.items():
                if name not in arguments:
                    if name in required:
                        problems.append(f"{name}: missing")
                    continue
                try:
                    msgspec.convert(arguments[name], kind, strict=False)
                except msgspec.ValidationError as problem:
                    problems.append(f"{name}: {problem}")
            for name in arguments:
                if name not in self._fields:
                    near = difflib.get_close_matches(str(name), self._fields, 1)
                    hint = f", did you mean {near[0]!r}?" if near else ""
                    problems.append(f"{name}: there is no such argument{hint}")
        listed = "; ".join(problems) or str(error) or "they nest too deeply"
        return (
            f"Invalid arguments for the tool {self._name!r}: {listed}. "
            "It was not called; correct them and call it again."
        )


def innermost(function: Function) -> Any:  # Any: whatever has code and annotations
    """What stands behind partials, methods and objects that can be called."""
    while isinstance(function, functools.partial):
        function = function.func
    if isinstance(function, types.MethodType):
        return function.__func__
    if inspect.isroutine(function) or isinstance(function, type):
        return function
    return type(function).__call__


def is_async(function: Function) -> bool:
    """Whether calling it gives something to await."""
    return inspect.iscoroutinefunction(innermost(function))


def is_context(hint: Any) -> bool:  # Any: whatever stands in an annotation
    """Whether a parameter of this type takes the run's context."""
    if get_origin(hint) in (typing.Union, types.UnionType):
        return RunContext in get_args(hint)
    return hint is RunContext


def open_parameters(function: Function, name: str) -> list[inspect.Parameter]:
    """The parameters that a caller fills in; those that a partial has bound are not.

    Raises:
        ConfigError: it takes `*args`, `**kwargs` or positional-only parameters, or does not say.
    """
    try:
        found = inspect.signature(function).parameters
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"tool {name!r}: its parameters are not known ({error}); wrap it in a function"
        ) from error
    bound: set[str] = set()
    inner = function
    while isinstance(inner, functools.partial):
        bound |= set(inner.keywords)
        inner = inner.func
    for parameter in found.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise ConfigError(
                f"tool {name!r} takes {str(parameter).split(':')[0]}, which no schema can "
                "describe; name its parameters"
            )
        if parameter.kind == parameter.POSITIONAL_ONLY:
            raise ConfigError(
                f"tool {name!r}: {parameter.name!r} can only be given by position, and models "
                "give arguments by name; remove the '/'"
            )
    return [parameter for parameter in found.values() if parameter.name not in bound]


def _hint_of(parameter: inspect.Parameter, hints: Mapping[str, Any], name: str) -> Any:
    hint = hints.get(parameter.name, parameter.empty)
    if hint is parameter.empty:
        raise ConfigError(
            f"tool {name!r}: the parameter {parameter.name!r} has no type hint, so the model "
            f"cannot be told what to give; write {parameter.name}: str, or what it is"
        )
    return Any if hint is object else hint


def _hints(inner: Any, name: str) -> dict[str, Any]:  # Any: see innermost
    """The resolved annotations of the parameters; what it returns does not matter here."""
    try:
        raw = {key: hint for key, hint in inspect.get_annotations(inner).items() if key != "return"}
        shell = types.SimpleNamespace(__annotations__=raw)
        globalns = getattr(inspect.unwrap(inner), "__globals__", {})
        # A RunContext that only a type checker imports is still meant.
        localns = {} if "RunContext" in globalns else {"RunContext": RunContext}
        return typing.get_type_hints(shell, globalns, localns, include_extras=True)
    except (NameError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"tool {name!r}: a type hint cannot be resolved: {error}; define the type at the top "
            "level of a module, and import it at run time"
        ) from error


def _described(hint: Any, said: str | None) -> Any:  # Any: a type, or what stands for one
    """The type with a description: its own `Annotated[T, "..."]`, or the docstring's."""
    if get_origin(hint) is Annotated:
        kind, *extras = get_args(hint)
        metas = [each for each in extras if isinstance(each, msgspec.Meta)]
        words = next((each for each in extras if isinstance(each, str)), None)
        if any(meta.description for meta in metas):
            said = words = None
        for meta in metas:
            kind = Annotated[kind, meta]
        hint, said = kind, words or said
    return Annotated[hint, msgspec.Meta(description=said)] if said else hint


def _schema(kind: type, names: tuple[str, ...], defaults: Mapping[str, Any]) -> Schema:
    """The schema of an object, its own definition inlined."""
    whole: Schema = msgspec.json.schema(kind)
    definitions: Schema = whole.pop("$defs", {})
    root: Schema = definitions.pop(whole["$ref"].removeprefix("#/$defs/"), whole)
    root.pop("title", None)
    properties: Schema = root.get("properties", {})
    root["properties"] = {name: properties[name] for name in names}  # in the function's order
    for name, default in defaults.items():
        properties[name].pop("default", None)
        if default is not None and "$ref" not in properties[name]:
            try:
                properties[name]["default"] = msgspec.to_builtins(default)
            except (TypeError, ValueError, RecursionError):
                continue  # the function knows it, the model need not
    if definitions:
        root["$defs"] = definitions
    return root
