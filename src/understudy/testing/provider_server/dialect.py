"""What a protocol must be able to say, and the neutral words between it and the script.

A dialect reads a request into an `Asked`, and writes a `Reply` whole or in pieces; it knows what an
error, a failing stream and a rate limit look like. When and how far something is written is not its
business.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

import msgspec

from understudy.messages.chat import AssistantMessage, Message, ToolCall, ToolMessage, text_of
from understudy.testing.provider_server.faults import StreamFault
from understudy.testing.provider_server.limits import Reading, Refused, go_duration
from understudy.testing.provider_server.records import RecordedRequest
from understudy.testing.provider_server.script import Turn


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What of a request changes the answer.

    Attributes:
        usage: the stream shall end with what it cost.
    """

    model: str
    messages: tuple[Message, ...]
    stream: bool = False
    max_tokens: int | None = None
    usage: bool = True

    def prompt_tokens(self) -> int:
        """A token is a word."""
        return sum(len(text_of(message).split()) for message in self.messages)


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """One answer, ready to be written."""

    asked: Asked
    turn: Turn
    number: int
    input_tokens: int

    @property
    def output_tokens(self) -> int:
        """A piece of text is a token, and so is a call."""
        return len(self.turn.pieces) + len(self.turn.calls)


class Dialect(ABC):
    """One wire format."""

    content_type = "text/event-stream"
    """Of a streamed answer."""
    request_id_header = "x-request-id"
    reserves_output = False
    """Whether limits are charged with `max_tokens` before anything is answered."""

    @abstractmethod
    def read(self, body: bytes) -> Asked:
        """What a request asks for.

        Raises:
            msgspec.DecodeError, ValueError: it makes no sense.
        """

    @abstractmethod
    def whole(self, reply: Reply) -> bytes:
        """An answer in one piece."""

    @abstractmethod
    def pieces(self, reply: Reply) -> Iterable[bytes]:
        """The pieces of a stream that come at the pace: a token each, calls in fragments."""

    @abstractmethod
    def end(self, reply: Reply) -> Iterable[bytes]:
        """What follows them at once."""

    @abstractmethod
    def error(
        self, status: int, message: str, kind: str = "", code: str | int | None = None
    ) -> bytes:
        """The body of an error; what is not given is what the protocol has for the status."""

    @abstractmethod
    def stream_error(self, fault: StreamFault) -> bytes:
        """An error inside a stream, framed."""

    def lets_in(self, request: RecordedRequest, key: str) -> bool:
        """Whether a request carries this key."""
        return request.headers.get("authorization") == f"Bearer {key}"

    def limit_headers(self, readings: Sequence[Reading]) -> dict[str, str]:
        """How the state of the limits is told with every answer."""
        headers: dict[str, str] = {}
        for reading in readings:
            name = reading.name
            headers[f"x-ratelimit-limit-{name}"] = str(reading.limit)
            headers[f"x-ratelimit-remaining-{name}"] = str(reading.remaining)
            headers[f"x-ratelimit-reset-{name}"] = go_duration(reading.reset)
        return headers

    @abstractmethod
    def refused(self, refused: Refused) -> tuple[int, bytes]:
        """Status and body for who ran into a limit."""


class Conversation:
    """Gathers neutral messages; results find the name of their call by its id."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._names: dict[str, str] = {}

    def say(self, message: Message) -> None:
        """Add a message that needs nothing of the others."""
        self.messages.append(message)

    def answered(self, content: str, calls: Sequence[ToolCall]) -> None:
        """What the model said."""
        for call in calls:
            self._names[call.id] = call.name
        self.messages.append(AssistantMessage(content=content, tool_calls=tuple(calls)))

    def result(self, call_id: str, content: str, *, is_error: bool = False) -> None:
        """What a tool gave.

        Raises:
            ValueError: no call has this id.
        """
        name = self._names.get(call_id)
        if name is None:
            raise ValueError(f"the tool result {call_id!r} must follow the tool call it answers")
        self.messages.append(
            ToolMessage(call_id=call_id, name=name, content=content, is_error=is_error)
        )

    def done(self) -> tuple[Message, ...]:
        """All of it."""
        return tuple(self.messages)
