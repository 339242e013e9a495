"""What the server says next: faults first, then scripted answers, a function, or an echo.

An answer is a text, a tool call or a list of them, or a `Fault`. With a list, the n-th request gets
the n-th answer, and one request too many is an error that says so. A function is called with the
conversation in the neutral vocabulary (so one function serves every protocol, and `FakeModel` too);
it may be async, and what it raises becomes status 500. Without either the answer repeats the last
user message behind `echo: `, the same every time.
"""

from __future__ import annotations

import inspect
import re
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from understudy.messages.chat import Message, ToolCall, UserMessage
from understudy.testing.provider_server.faults import Fault

PlainAnswer = str | ToolCall | Sequence[ToolCall]
Answer = PlainAnswer | Fault
AnswerFunction = Callable[[tuple[Message, ...]], Answer | Awaitable[Answer]]
Answers = Sequence[Answer] | AnswerFunction | None

_PIECE = re.compile(r"\s*\S+|\s+$")


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

    def __init__(self, answers: Answers, faults: Sequence[Fault | None]) -> None:
        self._function = answers if callable(answers) else None
        self._list = None if answers is None or callable(answers) else deque(answers)
        self._size = len(self._list) if self._list is not None else 0
        self._faults = deque(faults)

    async def next(self, messages: tuple[Message, ...]) -> tuple[PlainAnswer, Fault | None]:
        """The answer to this conversation, and the fault that befalls it.

        A fault uses up no answer: the one that it breaks off is the next request's answer again.

        Raises:
            ScriptExhaustedError: the list of answers is used up.
        """
        fault = self._faults.popleft() if self._faults else None
        if self._list is not None:
            return self._from_list(self._list, fault, messages)
        answer: Answer = _echo(messages)
        if self._function is not None:
            made = self._function(messages)
            answer = await made if inspect.isawaitable(made) else made
        if isinstance(answer, Fault):
            return _echo(messages), fault or answer
        return answer, fault

    def _from_list(
        self, left: deque[Answer], fault: Fault | None, messages: tuple[Message, ...]
    ) -> tuple[PlainAnswer, Fault | None]:
        if not left and fault is None:
            raise ScriptExhaustedError(f"the script has {self._size} answers, and this is one more")
        if fault is None:
            answer = left.popleft()
            if not isinstance(answer, Fault):
                return answer, None
            fault = answer
        head = left[0] if left else None
        return _echo(messages) if head is None or isinstance(head, Fault) else head, fault


def _echo(messages: tuple[Message, ...]) -> str:
    asked = [message.content for message in messages if isinstance(message, UserMessage)]
    return f"echo: {asked[-1] if asked else ''}"


def split(text: str) -> tuple[str, ...]:
    """Cut a text into pieces of one word each, spaces kept; a piece counts as one token."""
    return tuple(_PIECE.findall(text))


def turn_of(answer: PlainAnswer, max_tokens: int | None) -> Turn:
    """Make an answer ready to be written."""
    if isinstance(answer, str):
        pieces = split(answer)
        if max_tokens is not None and len(pieces) > max_tokens:
            return Turn(pieces=pieces[:max_tokens], cut=True)
        return Turn(pieces=pieces)
    return Turn(calls=(answer,) if isinstance(answer, ToolCall) else tuple(answer))
