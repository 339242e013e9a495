"""A call as bytes, and its answer as a value or an error.

Whatever does not encode is refused here, by the name of its argument, before any process hears of
it. An error of our own tree comes back as itself; any other becomes a `ToolError` that begins with
the name of the original type. The traceback of the other process hangs on it as a note.
"""

from __future__ import annotations

from typing import Any

from understudy.messages.codec import MAX_DEPTH, decode, encode
from understudy.messages.depth import msgpack_too_deep
from understudy.messages.errors import (
    CodecError,
    ConfigError,
    ToolError,
    UnderstudyError,
    from_wire,
)
from understudy.messages.processes import (
    Call,
    CallFunction,
    ProcessAnswer,
    Raised,
    Ready,
    Returned,
)

_INSIDE = MAX_DEPTH - 2
"""Levels that one argument may have: the call and its dictionary are two more."""


def encode_call(number: int, message: CallFunction) -> bytes:
    """The call as msgpack.

    Raises:
        CodecError: names the argument that does not encode, nests too deep or is too large.
    """
    call = Call(number=number, function=message.function, arguments=message.arguments)
    try:
        data = encode(call)
    except (CodecError, ConfigError) as error:
        raise CodecError(f"{message.function}: {_culprit(message.arguments, error)}") from error
    if msgpack_too_deep(data, MAX_DEPTH):
        for name, value in message.arguments.items():
            if msgpack_too_deep(encode(value), _INSIDE):
                raise CodecError(
                    f"{message.function}: argument {name!r} nests deeper than {_INSIDE} levels"
                )
    return data


def decode_answer(data: bytes, number: int, function: str) -> Returned | Raised:
    """The answer to call `number`.

    Raises:
        CodecError: it is none; the process is not to be trusted any more.
    """
    answer: ProcessAnswer = decode(data, ProcessAnswer)
    if isinstance(answer, Ready) or answer.number != number:
        raise CodecError(f"{function}: its process sent something that is no answer to the call")
    return answer


def error_of(raised: Raised, function: str) -> UnderstudyError:
    """The error that the function raised, as one of our tree."""
    info = raised.error
    if raised.ours:
        error = from_wire(info)
    else:
        error = ToolError(f"{info.type}: {info.message}", tool=function)
    if raised.trace:
        error.add_note(f"In the process of {function}:\n{raised.trace}")
    return error


def _culprit(arguments: dict[str, Any], error: UnderstudyError) -> str:  # Any: user data
    for name, value in arguments.items():
        try:
            encode(value)
        except (CodecError, ConfigError) as reason:
            return f"argument {name!r}: {reason.message}"
    return f"the arguments together: {error.message}"
