"""What is said to a worker in a process of its own, and what travels to that process and back.

`CallFunction` is the message to the `ProcessWorker` actor. `Call` and the three answers are the
frames between it and its process; nobody else sends them.
"""

from __future__ import annotations

from typing import Any

import msgspec

from understudy.messages.errors import ErrorInfo


class CallFunction(msgspec.Struct, frozen=True, kw_only=True):
    """Call a function in another process; the answer is what it returns.

    Attributes:
        function: its import path, `package.module:function` (see `functions.function_path`).
        arguments: by name; plain data or structs, 1 MiB encoded.
        timeout: seconds it may take, a start of the process included; None leaves it to the
            deadline of the message.
    """

    function: str
    arguments: dict[str, Any] = {}  # Any: whatever the function takes
    timeout: float | None = None


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A call on its way to the process; its answer bears the same number."""

    number: int
    function: str
    arguments: dict[str, Any]  # Any: whatever the function takes


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The process has started and takes calls; its first word."""


class Returned(msgspec.Struct, frozen=True, kw_only=True, tag="returned"):
    """The function returned."""

    number: int
    value: Any  # Any: whatever the function returns, as plain data


class Raised(msgspec.Struct, frozen=True, kw_only=True, tag="raised"):
    """The function raised, or could not be called.

    Attributes:
        ours: the error is one of our tree, not a stranger of the same name.
        trace: the traceback, as text.
    """

    number: int
    error: ErrorInfo
    ours: bool
    trace: str


ProcessAnswer = Ready | Returned | Raised
