"""What the server says next: faults first, then scripted answers, a function, or an echo.

An answer is a text, a tool call or a list of them, a `Fault`, or an exception, which becomes what a
provider would have sent for it to be raised. With a list, the n-th request gets the n-th answer,
and one request too many is an error that says so; one text alone answers every request. A function
is called with the conversation in the neutral vocabulary (so one function serves every protocol,
and `FakeModel` too); it may be async, and what it raises is treated like an exception in a list.
Without any the answer repeats the last user message behind `echo: `, the same every time.
"""

from __future__ import annotations

import inspect
import re
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from understudy.messages.chat import Message, ToolCall, UserMessage, text_of
from understudy.messages.errors import (
    AuthenticationError,
    BadRequestError,
    ConnectError,
    ContentFilterError,
    ContextWindowError,
    RateLimitError,
    ResponseError,
    StreamBrokenError,
    UnderstudyError,
)
from understudy.testing.provider_server.faults import Fault, Malformed, Reset, Status, Truncate
from understudy.testing.provider_server.mix import FaultMix

PlainAnswer = str | ToolCall | Sequence[ToolCall]
Answer = PlainAnswer | Fault | BaseException | type[BaseException]
AnswerFunction = Callable[[tuple[Message, ...]], Answer | Awaitable[Answer]]
Answers = str | Sequence[Answer] | AnswerFunction | None
Faults = Sequence[Fault | None] | FaultMix
Said = tuple[PlainAnswer, Fault | None]

_PIECE = re.compile(r"\s*\S+|\s+$")
_FAULTS: dict[type[BaseException], Fault] = {
    AuthenticationError: Status(status=401),
    RateLimitError: Status(status=429),
    ContextWindowError: Status(status=400, code="context_length_exceeded"),
    ContentFilterError: Status(status=400, code="content_filter"),
    BadRequestError: Status(status=400),
    ConnectError: Reset(),
    ResponseError: Malformed(),
    StreamBrokenError: Truncate(),
}


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """An answer ready to be written in some protocol: pieces of text, or tool calls."""

    pieces: tuple[str, ...] = ()
    calls: tuple[ToolCall, ...] = ()
    cut: bool = False
    """The output was bounded and is shorter than the answer."""

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(self.pieces)


class ScriptExhaustedError(Exception):
    """More requests came than the script has answers."""


class Script:
    """Gives the next answer; one a server."""

    def __init__(self, answers: Answers, faults: Faults) -> None:
        self.fixed = answers if isinstance(answers, str) else None
        self._function = answers if callable(answers) else None
        self._list: deque[Answer] | None = None
        if answers is not None and not isinstance(answers, str) and not callable(answers):
            self._list = deque(answers)
        self._size = len(self._list) if self._list is not None else 0
        self._mix = faults if isinstance(faults, FaultMix) else None
        self._faults = deque(() if isinstance(faults, FaultMix) else faults)

    def fault(self) -> Fault | None:
        """What befalls the next request, whatever its answer would be."""
        if self._mix is not None:
            return self._mix.draw()
        return self._faults.popleft() if self._faults else None

    def next(self, messages: tuple[Message, ...], fault: Fault | None) -> Said | Awaitable[Said]:
        """The answer to this conversation, and the fault that befalls it.

        A fault uses up no answer: the one that it breaks off is the next request's answer again.

        Raises:
            ScriptExhaustedError: the list of answers is used up.
        """
        if self.fixed is not None:
            return self.fixed, fault
        if self._list is not None:
            return self._from_list(self._list, fault, messages)
        if self._function is None:
            return _echo(messages), fault
        try:
            made = self._function(messages)
        except Exception as error:  # noqa: BLE001 -- whatever a test's function raises is answered
            return _told(error, messages, fault)
        if inspect.isawaitable(made):
            return self._later(made, messages, fault)
        return _told(made, messages, fault)

    async def _later(
        self, made: Awaitable[Answer], messages: tuple[Message, ...], fault: Fault | None
    ) -> Said:
        try:
            return _told(await made, messages, fault)
        except Exception as error:  # noqa: BLE001 -- as above
            return _told(error, messages, fault)

    def _from_list(
        self, left: deque[Answer], fault: Fault | None, messages: tuple[Message, ...]
    ) -> Said:
        if not left and fault is None:
            raise ScriptExhaustedError(f"the script has {self._size} answers, and this is one more")
        if fault is None:
            answer = _played(left.popleft())
            if not isinstance(answer, Fault):
                return answer, None
            fault = answer
        head = _played(left[0]) if left else None
        return _echo(messages) if head is None or isinstance(head, Fault) else head, fault


def fault_of(error: BaseException | type[BaseException]) -> Fault:
    """What a provider sends when a client shall raise this; what no client raises is status 500."""
    kind = error if isinstance(error, type) else type(error)
    said = "" if isinstance(error, type) else str(error)
    known = next((_FAULTS[base] for base in kind.__mro__ if base in _FAULTS), Status(status=500))
    if not isinstance(known, Status):
        return known
    fault = msgspec.structs.replace(known, message=said or known.message)
    if isinstance(error, UnderstudyError):
        fault = msgspec.structs.replace(
            fault,
            status=error.status or fault.status,
            code=getattr(error, "code", None) or fault.code,
            retry_after=error.retry_after,
        )
    return fault


def _played(answer: Answer) -> PlainAnswer | Fault:
    if isinstance(answer, (BaseException, type)):
        return fault_of(answer)
    return answer


def _told(answer: Answer, messages: tuple[Message, ...], fault: Fault | None) -> Said:
    played = _played(answer)
    if isinstance(played, Fault):
        return _echo(messages), fault or played
    return played, fault


def _echo(messages: tuple[Message, ...]) -> str:
    asked = next(
        (message for message in reversed(messages) if isinstance(message, UserMessage)), None
    )
    return f"echo: {text_of(asked) if asked is not None else ''}"


def split(text: str) -> tuple[str, ...]:
    """Cut a text into pieces of one word each, spaces kept; a piece counts as one token."""
    return tuple(_PIECE.findall(text))


def turn_of(answer: PlainAnswer, max_tokens: int | None, number: int) -> Turn:
    """Make an answer ready to be written; calls without an id get one of this request's number."""
    if isinstance(answer, str):
        pieces = split(answer)
        if max_tokens is not None and len(pieces) > max_tokens:
            return Turn(pieces=pieces[:max_tokens], cut=True)
        return Turn(pieces=pieces)
    calls = (answer,) if isinstance(answer, ToolCall) else answer
    return Turn(
        calls=tuple(
            call if call.id else msgspec.structs.replace(call, id=f"call_{number}_{place}")
            for place, call in enumerate(calls, 1)
        )
    )
