"""What a chat completions server answers, as structs and pure functions over bytes.

Nothing here knows a socket, so each oddity of a compatible server is one small test.

Guarantees: unknown fields are ignored and every field is optional, because every one of them has
been seen missing or null somewhere.

Sources: OpenAI's API reference; the oddities are those that pydantic-ai and LiteLLM work around.
"""

from __future__ import annotations

from base64 import b64decode
from typing import Any

import msgspec

from understudy.actors.models.assembly import RefusedError
from understudy.actors.models.embedding import Vectors, packed
from understudy.actors.models.wire import ErrorDetail, JsonReader, refusal_of
from understudy.messages.errors import ResponseError

DONE = b"[DONE]"
"""The data of the last event of a stream."""


class FunctionPart(msgspec.Struct):
    """The function of a tool call, or a fragment of it."""

    name: str | None = None
    arguments: Any = None  # Any: the text of JSON; some servers send it decoded


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


class Answer(msgspec.Struct):
    """A chat completion, or one chunk of a streamed one: they differ in `message` and `delta`."""

    id: str | None = None
    model: str | None = None
    choices: list[Choice] | None = None
    usage: UsagePart | None = None
    x_groq: VendorPart | None = None
    error: ErrorDetail | str | None = None


# Nobody changes them: they stand for what did not come.
NO_DELTA = Delta()
NO_CHOICE = Choice()
"""Azure's filter and the usage chunk have none."""


class Vector(msgspec.Struct):
    """One embedding: numbers, or base64 of packed floats."""

    index: int | None = None
    embedding: list[float] | str | None = None


class VectorAnswer(msgspec.Struct):
    """What `/embeddings` gives."""

    data: list[Vector] | None = None
    model: str | None = None
    usage: UsagePart | None = None
    error: ErrorDetail | str | None = None


read_answer = JsonReader(Answer, "a chat completion")
_read_vectors = JsonReader(VectorAnswer, "a list of embeddings")


def read_vectors(body: bytes) -> Vectors:
    """The vectors, in the order of their texts, whether they came as numbers or as base64.

    Raises:
        ResponseError: they are neither.
        RefusedError: it is an error.
    """
    answer = _read_vectors(body)
    if answer.error is not None:
        raise RefusedError(refusal_of(answer.error))
    parts = answer.data or []
    if all(part.index is not None for part in parts):
        parts = sorted(parts, key=lambda part: part.index or 0)
    return Vectors(
        vectors=[_floats(part.embedding) for part in parts],
        tokens=answer.usage.prompt_tokens if answer.usage else None,
        model=answer.model or "",
    )


def _floats(embedding: list[float] | str | None) -> bytes:
    if isinstance(embedding, list):
        return packed(embedding)
    try:
        data = b64decode(embedding or "", validate=True)
    except ValueError as error:
        raise ResponseError(f"an embedding that is no base64: {error}") from None
    if len(data) % 4:
        raise ResponseError("an embedding that is cut inside a number")
    return data
