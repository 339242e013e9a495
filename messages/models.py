"""Requests to a Model actor and what it answers.

`Complete` and `CompleteStream` carry everything that shapes the answer and nothing else: who pays,
how long it may take and where chunks go is in the envelope and in the call, so an encoded
`Complete` can be a cache key. Unset options are `None` and are not sent; `0` and `0.0` are sent.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from understudy.messages.chat import AssistantMessage, Message, Usage
from understudy.messages.limits import Headroom

FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]
"""Why a model stopped: done, out of tokens, wants tools, refused."""


class ToolDeclaration(msgspec.Struct, frozen=True, kw_only=True):
    """A tool as the model sees it; `parameters` is a JSON Schema of an object."""

    name: str
    description: str = ""
    parameters: dict[str, Any] = {}  # Any: JSON values
    strict: bool = False


class OutputSchema(msgspec.Struct, frozen=True, kw_only=True):
    """The JSON Schema that an answer must match."""

    name: str
    schema: dict[str, Any]  # Any: JSON values


class Complete(msgspec.Struct, frozen=True, kw_only=True):
    """Ask for one completion.

    Attributes:
        model: the name behind the provider's colon (`gpt-5-mini`).
        max_tokens: bound on the output, in the provider's tokens.
        tools: what the model may call; none are offered when empty.
        tool_choice: whether it may (`auto`), must (`required`) or must not (`none`) call one.
        output: the shape that the answer must have.
        extra: further fields for the provider's request body, sent as they are.
    """

    model: str
    messages: tuple[Message, ...]
    temperature: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    tools: tuple[ToolDeclaration, ...] = ()
    tool_choice: Literal["auto", "required", "none"] | None = None
    output: OutputSchema | None = None
    extra: dict[str, Any] = {}  # Any: JSON values of the provider's own


class CompleteStream(msgspec.Struct, frozen=True, kw_only=True):
    """Ask for a completion whose deltas go to `sink` as they arrive; the reply is the whole."""

    request: Complete
    sink: Any  # Any: a TextSink of the kernel's side (see actors.streams), never encoded


class Insist(msgspec.Struct, frozen=True, kw_only=True):
    """Make a request with so many further attempts, whatever the Model's own policy says."""

    request: Complete | CompleteStream
    retries: int


class Completion(msgspec.Struct, frozen=True, kw_only=True):
    """A model's answer.

    Attributes:
        model: what the provider says it used.
        request_id: the provider's own id of the call, for its support.
        usage: of the attempt that succeeded; `spent` adds those before it.
        attempts: how many requests it took.
        headroom: what is left of the account's limits, by the answer's headers.
        wasted: what the attempts before used, as far as that is known.
        waited: seconds that it waited for permits of its account.
    """

    message: AssistantMessage
    finish_reason: FinishReason
    usage: Usage
    model: str
    provider: str
    request_id: str | None = None
    attempts: int = 1
    headroom: tuple[Headroom, ...] = ()
    wasted: Usage | None = None
    waited: float = 0.0

    @property
    def spent(self) -> Usage:
        """The usage of all attempts together."""
        return self.usage if self.wasted is None else self.wasted + self.usage


class Embed(msgspec.Struct, frozen=True, kw_only=True):
    """Ask for the vectors of some texts; the reply is `Embeddings`."""

    model: str
    texts: tuple[str, ...]
    dimensions: int | None = None


class Embeddings(msgspec.Struct, frozen=True, kw_only=True):
    """One vector for each text, in order; each is packed 32-bit little-endian floats."""

    vectors: tuple[bytes, ...]
    dimensions: int
    usage: Usage
    model: str
    provider: str
