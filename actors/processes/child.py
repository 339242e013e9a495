"""The other side: what runs in a worker's process.

It answers one call after the other from a socket, in the main thread, and ends when the socket
does. Functions are imported by name and kept; arguments arrive as the types that the parameters
declare. Whatever a function raises, SystemExit and KeyboardInterrupt included, is its answer. What
it prints, by whatever means, goes to the log of the parent: the descriptors 1 and 2 are not the
socket. It reads an empty standard input.

It imports as little as it can, because a start is what a killed call costs the next one.
"""

from __future__ import annotations

import faulthandler
import inspect
import os
import socket
import traceback
import typing
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec

from understudy.actors.processes.frames import Unframer, frame
from understudy.actors.processes.lifeline import hold
from understudy.messages.codec import MAX_DEPTH, decode, encode
from understudy.messages.depth import msgpack_too_deep
from understudy.messages.errors import (
    ERRORS,
    CodecError,
    ConfigError,
    ErrorInfo,
    UnderstudyError,
    to_wire,
)
from understudy.messages.functions import load_function
from understudy.messages.processes import Call, Raised, Ready, Returned

_KEPT = 16 * 1024
"""Characters kept of a traceback, and of an error that is too large to send whole."""


def serve(fd: int) -> None:
    """Answer the calls that come from the socket `fd` until it is closed."""
    _take_stdin()
    faulthandler.enable()
    unframer = Unframer()
    with socket.socket(fileno=fd) as sock:
        sock.set_inheritable(False)
        sock.sendall(frame(encode(Ready())))
        while data := sock.recv(256 * 1024):
            for payload in unframer.feed(data):
                sock.sendall(frame(answer(payload)))


def answer(payload: bytes) -> bytes:
    """Do one call; never raises."""
    number = 0
    try:
        call = decode(payload, Call)
        number = call.number
        function, hints = _function(call.function)
        arguments = _converted(call, hints) if hints else call.arguments
        value = function(**arguments)
        if inspect.iscoroutine(value):
            import asyncio  # half of a start; most functions are plain

            value = asyncio.run(value)
        return _returned(call, value)
    except BaseException as error:  # noqa: BLE001 - whatever it was, it is the answer
        return _raised(number, error)


def _take_stdin() -> None:
    """Standard input is the lifeline; the function gets an empty one."""
    lifeline = os.dup(0)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    hold(lifeline)


@lru_cache(maxsize=256)
def _function(path: str) -> tuple[Callable[..., Any], dict[str, Any]]:  # Any: functions and types
    """The function, and the declared types of the parameters that can be given by name."""
    function = load_function(path)
    try:
        hints = typing.get_type_hints(function, include_extras=True)
        parameters = inspect.signature(function).parameters
    except (NameError, TypeError, ValueError, AttributeError):
        return function, {}  # annotations that only a type checker can resolve, or a builtin
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return function, {
        name: hints[name]
        for name, parameter in parameters.items()
        if parameter.kind in named and hints.get(name, Any) not in (Any, object)
    }


def _converted(call: Call, hints: dict[str, Any]) -> dict[str, Any]:  # Any: user data
    converted = dict(call.arguments)
    for name, value in call.arguments.items():
        if name in hints:
            try:
                converted[name] = msgspec.convert(value, hints[name])
            except (msgspec.ValidationError, TypeError) as error:
                raise CodecError(f"{call.function}: argument {name!r}: {error}") from error
    return converted


def _returned(call: Call, value: object) -> bytes:
    where = f"{call.function}: what it returned"
    try:
        data = encode(Returned(number=call.number, value=value))
    except (CodecError, ConfigError) as error:
        raise CodecError(f"{where}: {error.message}") from error
    if msgpack_too_deep(data, MAX_DEPTH):
        raise CodecError(f"{where} nests deeper than {MAX_DEPTH - 1} levels")
    return data


def _raised(number: int, error: BaseException) -> bytes:
    ours = isinstance(error, UnderstudyError)
    try:
        trace = "" if isinstance(error, (CodecError, ConfigError)) else _trace(error)
        data = encode(Raised(number=number, error=to_wire(error), ours=ours, trace=trace))
        if not msgpack_too_deep(data, MAX_DEPTH):
            return data
    except BaseException:  # noqa: BLE001 - its facts are too many, or its words cannot be had
        trace = ""
    public = (base.__name__ for base in type(error).__mro__ if ERRORS.get(base.__name__) is base)
    name = next(public) if ours else type(error).__name__
    info = ErrorInfo(type=name, message=_words(error))
    return encode(Raised(number=number, error=info, ours=ours, trace=trace))


def _trace(error: BaseException) -> str:
    text = "".join(traceback.format_exception(error))[-_KEPT:]
    return text.encode("utf-8", "backslashreplace").decode()


def _words(error: BaseException) -> str:
    try:
        return str(error)[:_KEPT].encode("utf-8", "backslashreplace").decode()
    except BaseException:  # noqa: BLE001 - a __str__ that fails itself
        return "(its message cannot be had: __str__ raised)"
