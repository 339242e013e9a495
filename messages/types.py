"""Types as data: the `output=` of an agent by import path.

A class is a `FunctionRef`, as a function is; what is put together from classes (`list[City]`,
`City | None`, `Literal["a", "b"]`) is a `TypeRef` with its parts. As for functions, decoding
imports nothing: `load_type` is a step of its own, for whoever trusts the sender.

A textual annotation would need `eval` to come back.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from operator import or_
from types import GenericAlias, NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from understudy.messages.errors import ConfigError
from understudy.messages.functions import FunctionRef, function_path, load_function

_UNION = "typing:Union"
_LITERAL = "typing:Literal"
_NONE = "types:NoneType"


class TypeRef(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="type"):
    """A type that is put together.

    Attributes:
        path: what of: a generic class, `typing:Union` or `typing:Literal`.
        args: its parameters; None stands for `...`.
        values: the values of a `Literal`.
    """

    path: str
    args: tuple[FunctionRef | TypeRef | None, ...] = ()
    values: tuple[str | int | bool | None, ...] = ()


def type_ref(hint: Any) -> FunctionRef | TypeRef:  # Any: a type, in whatever spelling
    """The type by its import path, for another process.

    Raises:
        ConfigError: a class that another process cannot import, or a form that has no path.
    """
    origin = get_origin(hint)
    if hint is None or hint is NoneType:
        return FunctionRef(_NONE)
    if origin is None:
        if isinstance(hint, type):
            return FunctionRef(function_path(hint))
        raise ConfigError(f"{hint!r} cannot be encoded: it is not a class with an import path")
    if origin is Annotated:
        raise ConfigError(f"{hint!r} cannot be encoded; put it into a msgspec.Struct as a field")
    args = get_args(hint)
    if origin is Literal:
        plain = [value for value in args if isinstance(value, (str, int, NoneType))]
        if len(plain) < len(args):
            raise ConfigError(f"{hint!r} cannot be encoded: its values are not plain; use an Enum")
        return TypeRef(path=_LITERAL, values=tuple(plain))
    parts = tuple(None if part is Ellipsis else type_ref(part) for part in args)
    if origin is UnionType or origin is Union:
        return TypeRef(path=_UNION, args=parts)
    return TypeRef(path=function_path(origin), args=parts)


def load_type(
    ref: FunctionRef | TypeRef,
    load: Callable[[str], Callable[..., Any]] = load_function,  # Any: classes take what they like
) -> Any:  # Any: a type, in whatever spelling
    """Import the type; this runs the code of the modules that hold its classes.

    Raises:
        ConfigError: names the path that leads nowhere, or to something else than a class.
    """
    if isinstance(ref, FunctionRef):
        found = NoneType if ref.path == _NONE else load(ref.path)
        if not isinstance(found, type):
            raise ConfigError(f"{ref.path!r} is not a class")
        return found
    if ref.path == _LITERAL:
        return Literal[ref.values]
    parts = tuple(... if part is None else load_type(part, load) for part in ref.args)
    if ref.path == _UNION:
        if not parts or ... in parts:
            raise ConfigError("a union that was decoded has no members")
        return reduce(or_, parts)
    origin = load(ref.path)
    if not isinstance(origin, type):
        raise ConfigError(f"{ref.path!r} is not a class")
    return GenericAlias(origin, parts)
