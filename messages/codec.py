"""One codec for what leaves a process or enters it: msgpack between processes, JSON for people.

Guarantees:
- size and depth are checked before anything is decoded, so that bytes from outside cost no more
  than one pass over them, whatever stack the thread has;
- what cannot be encoded or decoded is a `CodecError` that names the type, the place and the limit;
- exceptions travel as `ErrorInfo`, functions as their import path; a `Secret` is refused;
- decoding imports nothing and calls nothing: functions in specs come back as `FunctionRef`, and
  `specs.load_functions` is a separate step.

Assumptions: the receiver knows the type it expects. A value in a field typed `Any` comes back as
plain data (lists for tuples, dictionaries for structs and errors), and unknown fields are ignored,
so that an older receiver understands a newer sender.

Pickle would need no types, and would run whatever its bytes say.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any, TypeVar, get_origin, overload

import msgspec

from understudy.messages.depth import json_too_deep, msgpack_too_deep
from understudy.messages.errors import CodecError, ConfigError, ErrorInfo, from_wire, to_wire
from understudy.messages.functions import FunctionRef, function_path
from understudy.messages.records import Digest
from understudy.messages.secrets import Secret
from understudy.messages.specs import refuse_local
from understudy.messages.types import type_ref
from understudy.messages.words import repr_of

MAX_SIZE = 1024 * 1024
"""Bytes of one message between processes, unless the caller says otherwise."""
MAX_DEPTH = 64
"""Levels of containers in one message, unless the caller says otherwise."""

_FUNCTIONS = (FunctionType, BuiltinFunctionType, MethodType, type)

T = TypeVar("T")


def encode(obj: object, *, max_size: int = MAX_SIZE, canonical: bool = False) -> bytes:
    """Encode as msgpack.

    Args:
        obj: a message, spec, result, event or chunk, or plain data.
        max_size: refuse to give more bytes than that.
        canonical: sort dictionaries and sets, so that equal values give equal bytes (for digests).

    Raises:
        CodecError: too large, too deep to walk, or holds what does not encode.
        ConfigError: a spec holds a function or a model that only this process has.
    """
    encoder = _CANONICAL_MSGPACK if canonical else _MSGPACK
    return _encode(encoder.encode, obj, max_size)


def encode_json(obj: object, *, max_size: int = MAX_SIZE, canonical: bool = False) -> bytes:
    """Encode as JSON; arguments and errors as for `encode`."""
    encoder = _CANONICAL_JSON if canonical else _JSON
    return _encode(encoder.encode, obj, max_size)


@overload
def decode(
    data: bytes, type: type[T], *, max_size: int = MAX_SIZE, max_depth: int = MAX_DEPTH
) -> T: ...
@overload
def decode(
    data: bytes, type: object, *, max_size: int = MAX_SIZE, max_depth: int = MAX_DEPTH
) -> Any: ...  # Any: a union is no type[T]
def decode(
    data: bytes, type: object, *, max_size: int = MAX_SIZE, max_depth: int = MAX_DEPTH
) -> object:
    """Decode msgpack into `type`, a class or a union of tagged structs.

    Raises:
        CodecError: larger than `max_size` bytes, deeper than `max_depth`, or not of the type.
    """
    _check(data, type, max_size, max_depth, msgpack_too_deep)
    return _decode(_msgpack_decoder(type).decode, data, type)


@overload
def decode_json(
    data: bytes | str, type: type[T], *, max_size: int = MAX_SIZE, max_depth: int = MAX_DEPTH
) -> T: ...
@overload
def decode_json(
    data: bytes | str, type: object, *, max_size: int = MAX_SIZE, max_depth: int = MAX_DEPTH
) -> Any: ...  # Any: a union is no type[T]
def decode_json(
    data: bytes | str, type: object, *, max_size: int = MAX_SIZE, max_depth: int = MAX_DEPTH
) -> object:
    """Decode JSON into `type`; arguments and errors as for `decode`."""
    if isinstance(data, str):
        data = data.encode("utf-8", "surrogatepass")
    _check(data, type, max_size, max_depth, json_too_deep)
    return _decode(_json_decoder(type).decode, data, type)


def to_plain(obj: object) -> Any:  # Any: plain data
    """As dictionaries, lists and plain values, for people: what does not encode becomes text."""
    return msgspec.to_builtins(obj, enc_hook=_plain_hook, str_keys=True)


def _plain_hook(value: Any) -> object:  # Any: what msgspec does not know
    try:
        return _enc_hook(value)
    except (CodecError, ConfigError):
        return "***" if isinstance(value, Secret) else repr_of(value)


def _encode(encoder: Callable[[object], bytes], obj: object, max_size: int) -> bytes:
    refuse_local(obj)
    name = type(obj).__name__
    try:
        data = encoder(obj)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise CodecError(f"cannot encode {name}: {error}") from error
    if len(data) > max_size:
        raise CodecError(f"{name} encodes to {len(data)} bytes; the limit is {max_size}")
    return data


def _check(
    data: bytes,
    kind: object,
    max_size: int,
    max_depth: int,
    too_deep: Callable[[bytes, int], bool],
) -> None:
    if len(data) > max_size:
        raise CodecError(f"{len(data)} bytes for {_name(kind)}; the limit is {max_size}")
    if too_deep(data, max_depth):
        raise CodecError(f"bytes for {_name(kind)} nest deeper than the limit of {max_depth}")


def _decode(decoder: Callable[[bytes], object], data: bytes, kind: object) -> object:
    try:
        return decoder(data)
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError) as error:
        raise CodecError(f"cannot decode {_name(kind)}: {error}") from error


def _name(kind: object) -> str:
    return getattr(kind, "__name__", None) or str(kind)


def _enc_hook(value: Any) -> object:  # Any: what msgspec does not know
    if isinstance(value, BaseException):
        return to_wire(value)
    if isinstance(value, Digest):
        return str(value)
    if isinstance(value, Secret):
        raise CodecError("a Secret is never encoded; pass 'env:NAME' and let the receiver read it")
    if isinstance(value, _FUNCTIONS):
        return FunctionRef(function_path(value))
    if hasattr(type(value), "model_dump"):  # a pydantic model: the output of an agent
        return value.model_dump(mode="json")
    if get_origin(value) is not None:  # list[City], City | None: the output= of an agent
        return type_ref(value)
    raise CodecError(
        f"{type(value).__module__}.{type(value).__qualname__} cannot be encoded; "
        "send plain data or a msgspec.Struct"
    )


def _dec_hook(kind: Any, value: object) -> object:  # Any: a class, or a generic alias
    if kind is Digest and isinstance(value, str):
        return Digest.of_text(value)
    if isinstance(kind, type) and issubclass(kind, BaseException):
        try:
            error = from_wire(msgspec.convert(value, ErrorInfo))
        except msgspec.ValidationError as problem:
            raise ValueError(f"not an error: {problem}") from problem  # msgspec adds the place
        if isinstance(error, kind):
            return error
        raise CodecError(f"expected a {kind.__name__}, got a {type(error).__name__}")
    raise CodecError(f"{_name(kind)} cannot be decoded; declare a msgspec.Struct instead")


_MSGPACK = msgspec.msgpack.Encoder(enc_hook=_enc_hook)
_CANONICAL_MSGPACK = msgspec.msgpack.Encoder(enc_hook=_enc_hook, order="deterministic")
_JSON = msgspec.json.Encoder(enc_hook=_enc_hook)
_CANONICAL_JSON = msgspec.json.Encoder(enc_hook=_enc_hook, order="deterministic")


@lru_cache(maxsize=512)
def _msgpack_decoder(kind: Any) -> msgspec.msgpack.Decoder[Any]:  # Any: of whatever type is asked
    return msgspec.msgpack.Decoder(kind, dec_hook=_dec_hook)


@lru_cache(maxsize=512)
def _json_decoder(kind: Any) -> msgspec.json.Decoder[Any]:  # Any: of whatever type is asked
    return msgspec.json.Decoder(kind, dec_hook=_dec_hook)
