"""What is said to and by a model, in one vocabulary for every provider.

A conversation is a tuple of four kinds of messages. They are frozen and tagged by `role`, so a
history encodes as it stands, travels by reference between actors and can be shared by any number of
runs. Providers translate at their own edge; nothing here knows a wire format.
"""

from __future__ import annotations

from typing import Any

import msgspec

from understudy.messages.errors import ConfigError


class ToolCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call that a model asks for.

    Attributes:
        id: the provider's, or one of ours.
        name: of the tool.
        arguments: decoded.
        problem: why what the model wrote as arguments is no JSON object; they are empty then. The
            call is not made: this is what the model reads.
    """

    id: str
    name: str
    arguments: dict[str, Any] = {}  # Any: JSON values, checked against the tool's schema later
    problem: str | None = None


class Text(msgspec.Struct, frozen=True, kw_only=True, tag_field="part", tag="text"):
    """Some text of a message that has other parts too."""

    text: str


class Image(msgspec.Struct, frozen=True, kw_only=True, tag_field="part", tag="image"):
    """A picture for the model: an address that the provider fetches, or the bytes themselves.

    Attributes:
        url: an `https://` address; None when `data` is given.
        data: the file's bytes, with its `media_type` (`image/png`).
    """

    url: str | None = None
    data: bytes | None = None
    media_type: str = "image/png"

    def __post_init__(self) -> None:
        if (self.url is None) == (self.data is None):
            msg = "Image: give exactly one of url= and data="
            raise ConfigError(msg)


class Thought(msgspec.Struct, frozen=True, kw_only=True):
    """Reasoning that a model showed, to be echoed back to the provider it came from.

    Attributes:
        text: what can be read; may be empty.
        provider: whose it is; others never get it.
        token: the provider's own opaque proof (a signature, or the whole block as JSON where that
            alone can be sent back), verbatim.
    """

    text: str = ""
    provider: str = ""
    token: str | None = None


class SystemMessage(msgspec.Struct, frozen=True, kw_only=True, tag_field="role", tag="system"):
    """What the model is told before the conversation."""

    content: str


class UserMessage(msgspec.Struct, frozen=True, kw_only=True, tag_field="role", tag="user"):
    """What the user says."""

    content: str | tuple[Text | Image, ...]


class AssistantMessage(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="role", tag="assistant"
):
    """What the model says, and the tool calls it asks for."""

    content: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    thoughts: tuple[Thought, ...] = ()


class ToolMessage(msgspec.Struct, frozen=True, kw_only=True, tag_field="role", tag="tool"):
    """The answer to one `ToolCall`; every call of a turn gets one, right after the turn."""

    call_id: str
    name: str
    content: str
    is_error: bool = False


Message = SystemMessage | UserMessage | AssistantMessage | ToolMessage


def text_of(message: Message) -> str:
    """The text of a message, without its pictures."""
    if isinstance(message.content, str):
        return message.content
    return "".join(part.text for part in message.content if isinstance(part, Text))


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens of one or more model calls.

    `cached_tokens` are part of the input, `reasoning_tokens` of the output. `measured` is False as
    soon as one summand was estimated instead of reported by the provider.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    measured: bool = True

    @property
    def total_tokens(self) -> int:
        """Input plus output."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
            measured=self.measured and other.measured,
        )
