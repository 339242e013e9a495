"""The wire format of OpenAI's chat completions, as structs and pure functions over bytes.

Purpose: `Complete` to request bytes, answers and chunks to `Answer`, error bodies to `Refusal`.
Nothing here knows a socket, so each oddity of a compatible server is one small test.

Guarantees: unknown fields are ignored and every field is optional, because every one of them has
been seen missing or null somewhere. Depth is checked before anything is decoded.

Sources: OpenAI's API reference; the oddities are those that pydantic-ai and LiteLLM work around.
"""

from __future__ import annotations

from typing import Any

import msgspec

from understudy.actors.models.failures import Refusal
from understudy.messages.chat import AssistantMessage, Message, ToolMessage
from understudy.messages.codec import MAX_DEPTH
from understudy.messages.depth import json_too_deep
from understudy.messages.errors import ConfigError, ResponseError
from understudy.messages.models import Complete

DONE = b"[DONE]"
"""The data of the last event of a stream."""

BAD_JSON = (msgspec.DecodeError, UnicodeDecodeError)
"""What msgspec raises for bytes that are not the JSON it expects."""

_OURS = ("model", "messages", "stream")
"""Fields that `extra` may not set: the answer would not be what was asked for."""


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """Where servers that speak this format differ.

    Attributes:
        max_tokens: the field that bounds the output. Newer models of OpenAI reject `max_tokens`,
            and many compatible servers know nothing else.
    """

    provider: str
    base_url: str | None
    needs_key: bool
    max_tokens: str


OPENAI = Dialect(
    provider="openai",
    base_url="https://api.openai.com/v1",
    needs_key=True,
    max_tokens="max_completion_tokens",
)
COMPATIBLE = Dialect(
    provider="openai-compatible", base_url=None, needs_key=False, max_tokens="max_tokens"
)


class FunctionPart(msgspec.Struct):
    """The function of a tool call, or a fragment of it."""

    name: str | None = None
    arguments: str | dict[str, Any] | None = None  # Any: some servers send decoded JSON


class ToolCallPart(msgspec.Struct):
    """A tool call, or a fragment of one."""

    index: int | None = None
    id: str | None = None
    function: FunctionPart | None = None


class TextPart(msgspec.Struct):
    """A part of a content that is a list (Mistral)."""

    text: str | None = None


class Delta(msgspec.Struct):
    """A message or a fragment of one."""

    content: str | list[TextPart] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[ToolCallPart] | None = None

    @property
    def text(self) -> str:
        """The content as text."""
        if isinstance(self.content, list):
            return "".join(part.text or "" for part in self.content)
        return self.content or ""

    @property
    def thought(self) -> str:
        """Named differently by every server; vLLM sends both names with the same text."""
        return self.reasoning_content or self.reasoning or ""


class Choice(msgspec.Struct):
    """One answer; we only ever ask for one."""

    message: Delta | None = None
    delta: Delta | None = None
    finish_reason: str | None = None


class PromptDetails(msgspec.Struct):
    """What of the prompt was cached."""

    cached_tokens: int | None = None


class OutputDetails(msgspec.Struct):
    """What of the output was reasoning."""

    reasoning_tokens: int | None = None


class UsagePart(msgspec.Struct):
    """Tokens, as counted by the server."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: OutputDetails | None = None


class VendorPart(msgspec.Struct):
    """Groq's own field, with the usage that it puts nowhere else."""

    usage: UsagePart | None = None


class ErrorDetail(msgspec.Struct):
    """What went wrong."""

    message: str | None = None
    type: str | None = None
    code: str | int | None = None


class Answer(msgspec.Struct):
    """A chat completion, or one chunk of a streamed one: they differ in `message` and `delta`."""

    id: str | None = None
    model: str | None = None
    choices: list[Choice] | None = None
    usage: UsagePart | None = None
    x_groq: VendorPart | None = None
    error: ErrorDetail | str | None = None

    @property
    def choice(self) -> Choice:
        """The first choice; an empty one where there is none (Azure's filter, the usage chunk)."""
        return self.choices[0] if self.choices else Choice()

    @property
    def counted(self) -> UsagePart | None:
        """The usage, wherever it is."""
        return self.usage or (self.x_groq.usage if self.x_groq else None)


class ErrorBody(msgspec.Struct):
    """`{"error": {…}}`, `{"error": "…"}`, or the fields at the top (vLLM, FastAPI)."""

    error: ErrorDetail | str | None = None
    message: str | None = None
    detail: str | None = None
    type: str | None = None
    code: str | int | None = None


_answer = msgspec.json.Decoder(Answer)
_error = msgspec.json.Decoder(ErrorBody)
_encoder = msgspec.json.Encoder()


def request_body(request: Complete, dialect: Dialect, *, stream: bool) -> bytes:
    """The JSON of a request. Unset options are absent; `0` and `0.0` are sent.

    Raises:
        ConfigError: `extra` sets a field that belongs to the request itself.
    """
    for name in _OURS:
        if name in request.extra:
            raise ConfigError(f"extra= must not set {name!r}; use the field of that name")
    body: dict[str, Any] = {  # Any: JSON
        "model": request.model,
        "messages": [_message(message) for message in request.messages],
    }
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.max_tokens is not None:
        body[dialect.max_tokens] = request.max_tokens
    if request.stop:
        body["stop"] = request.stop
    if request.seed is not None:
        body["seed"] = request.seed
    if stream:
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
    return _encoder.encode(body | request.extra)


def read_answer(body: bytes) -> Answer:
    """Decode a completion or a chunk.

    Raises:
        ResponseError: it is not the JSON that this format has.
    """
    if json_too_deep(body, MAX_DEPTH):
        raise ResponseError(f"the answer nests deeper than {MAX_DEPTH} levels")
    try:
        return _answer.decode(body)
    except BAD_JSON as error:
        start = body[:80].decode("utf-8", "replace")
        raise ResponseError(f"not a chat completion ({error}): it starts with {start!r}") from None


def read_refusal(body: bytes) -> Refusal:
    """What an error body says; of one in no known form, its beginning."""
    try:
        found = ErrorBody() if json_too_deep(body, MAX_DEPTH) else _error.decode(body)
    except BAD_JSON:
        return Refusal(message=" ".join(body[:200].decode("utf-8", "replace").split()))
    if found.error is not None:
        return refusal_of(found.error)
    return Refusal(
        message=found.message or found.detail or "",
        code=str(found.code or ""),
        type=found.type or "",
    )


def refusal_of(error: ErrorDetail | str) -> Refusal:
    """The same, of an error inside a stream or a body."""
    if isinstance(error, str):
        return Refusal(message=error)
    return Refusal(message=error.message or "", code=str(error.code or ""), type=error.type or "")


def _message(message: Message) -> Message | dict[str, Any]:  # Any: JSON
    """Our messages encode as OpenAI's where they are plain; the others are spelled out."""
    if isinstance(message, ToolMessage):
        return {"role": "tool", "tool_call_id": message.call_id, "content": message.content}
    if isinstance(message, AssistantMessage) and message.tool_calls:
        return {
            "role": "assistant",
            "content": message.content or None,
            "tool_calls": [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {
                        "name": call.name,
                        "arguments": _encoder.encode(call.arguments).decode(),
                    },
                }
                for call in message.tool_calls
            ],
        }
    if isinstance(message, AssistantMessage):
        return {"role": "assistant", "content": message.content}
    return message
