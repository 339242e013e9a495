"""Requests to a Model actor and what it answers.

`Complete` and `CompleteStream` carry everything that shapes the answer and nothing else: who pays,
how long it may take and where chunks go is in the envelope and in the call, so an encoded
`Complete` can be a cache key. Unset options are `None` and are not sent; `0` and `0.0` are sent.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from understudy.messages.chat import AssistantMessage, Message, Usage

FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]
"""Why a model stopped: done, out of tokens, wants tools, refused."""


class Complete(msgspec.Struct, frozen=True, kw_only=True):
    """Ask for one completion.

    Attributes:
        model: the name behind the provider's colon (`gpt-5-mini`).
        max_tokens: bound on the output, in the provider's tokens.
        extra: further fields for the provider's request body, sent as they are.
    """

    model: str
    messages: tuple[Message, ...]
    temperature: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    extra: dict[str, Any] = {}  # Any: JSON values of the provider's own


class CompleteStream(msgspec.Struct, frozen=True, kw_only=True):
    """Ask for a completion whose deltas go to `sink` as they arrive; the reply is the whole."""

    request: Complete
    sink: Any  # Any: a TextSink of the kernel's side (see actors.streams), never encoded


class Completion(msgspec.Struct, frozen=True, kw_only=True):
    """A model's answer.

    Attributes:
        model: what the provider says it used.
        request_id: the provider's own id of the call, for its support.
        attempts: how many requests it took.
    """

    message: AssistantMessage
    finish_reason: FinishReason
    usage: Usage
    model: str
    provider: str
    request_id: str | None = None
    attempts: int = 1
