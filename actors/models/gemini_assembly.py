"""Putting one answer of Gemini's together: from its chunks, or from one whole answer.

A chunk is shaped like a whole answer. Text parts are deltas, calls come whole, and a finish reason
is the only sign that nothing is missing. A prompt that is blocked has no candidates at all.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from understudy.actors.models.assembly import Assembly, RefusedError
from understudy.actors.models.embedding import Vectors, packed
from understudy.actors.models.failures import Refusal
from understudy.actors.models.gemini_request import Signature
from understudy.actors.models.wire import ErrorDetail, JsonReader, refusal_of
from understudy.messages.chat import Thought, Usage
from understudy.messages.errors import ResponseError
from understudy.messages.models import Complete, FinishReason

_FINISH: dict[str, FinishReason] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "IMAGE_SAFETY": "content_filter",
}
_MALFORMED = {
    "MALFORMED_FUNCTION_CALL": True,
    "UNEXPECTED_TOOL_CALL": True,
    "TOO_MANY_TOOL_CALLS": True,
    "MISSING_THOUGHT_SIGNATURE": False,
}
"""Ends without an answer, and whether asking again may give one."""


class FunctionPart(msgspec.Struct):
    """What is called."""

    id: str | None = None
    name: str | None = None
    args: Any = None  # Any: JSON


class Part(msgspec.Struct, rename="camel"):
    """Some text, a thought or a call."""

    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: FunctionPart | None = None


class Content(msgspec.Struct):
    """What a candidate says."""

    parts: list[Part] | None = None


class Candidate(msgspec.Struct, rename="camel"):
    """One answer; we only ever ask for one."""

    content: Content | None = None
    finish_reason: str | None = None
    finish_message: str | None = None


class Feedback(msgspec.Struct, rename="camel"):
    """What is wrong with the prompt."""

    block_reason: str | None = None
    block_reason_message: str | None = None


class UsagePart(msgspec.Struct, rename="camel"):
    """Tokens; thoughts are not among the candidates'."""

    prompt_token_count: int | None = None
    cached_content_token_count: int | None = None
    candidates_token_count: int | None = None
    thoughts_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None


class Answer(msgspec.Struct, rename="camel"):
    """An answer, or one chunk of a streamed one."""

    candidates: list[Candidate] | None = None
    prompt_feedback: Feedback | None = None
    usage_metadata: UsagePart | None = None
    model_version: str | None = None
    response_id: str | None = None
    error: ErrorDetail | str | None = None


class Values(msgspec.Struct):
    """One vector."""

    values: list[float] | None = None


class VectorAnswer(msgspec.Struct):
    """What `batchEmbedContents` gives."""

    embeddings: list[Values] | None = None


_read_answer = JsonReader(Answer, "an answer of Gemini's")
_read_vectors = JsonReader(VectorAnswer, "a list of embeddings")


class GeminiAssembly(Assembly):
    """One answer (see `Assembly`)."""

    def __init__(self, request: Complete, provider: str) -> None:
        super().__init__(request, provider)
        self._signed_thought: str | None = None

    @property
    def finished(self) -> bool:
        """There is no end marker; the finish reason is what is waited for."""
        return self.finish is not None

    def read(self, payload: bytes) -> None:
        """Take in a chunk, or a whole answer."""
        answer = _read_answer(payload)
        if answer.error is not None:
            raise RefusedError(refusal_of(answer.error))
        self.id = answer.response_id or self.id
        self.model = answer.model_version or self.model
        if answer.usage_metadata is not None:
            self.usage = _usage(answer.usage_metadata)
        if not answer.candidates:
            self._blocked(answer.prompt_feedback)
            return
        candidate = answer.candidates[0]
        for part in (candidate.content and candidate.content.parts) or ():
            self._take(part)
        if candidate.finish_reason:
            self._end(candidate.finish_reason, candidate.finish_message)

    def read_whole(self, body: bytes) -> None:
        """Take in a whole answer."""
        self.read(body)
        if self.finish is None:
            raise ResponseError("the answer has no candidate that has finished")
        self.ended = True

    def close(self) -> None:
        """What was thought is one thought, before what it led to."""
        if self._shown.text and (self.thoughts or self._signed_thought):
            token = self._signed_thought
            shown = Thought(text=self._shown.text, provider=self.provider, token=token)
            self.thoughts.insert(0, shown)

    def _take(self, part: Part) -> None:
        signature = part.thought_signature
        if part.function_call is not None:
            function = part.function_call
            call = self.call(function.id, function.name, function.args)
            self._sign("call", signature, call.id)
        elif part.thought:
            self.think(part.text)
            if signature:
                self._signed_thought = _token("thought", signature)
        else:
            self.say(part.text)
            self._sign("text", signature)

    def _sign(self, part: Literal["text", "call"], signature: str | None, call: str = "") -> None:
        if signature:
            token = _token(part, signature, call)
            self.thoughts.append(Thought(provider=self.provider, token=token))

    def _end(self, reason: str, told: str | None) -> None:
        if reason in _MALFORMED:
            said = f"the model's answer ended with {reason}" + (f": {told}" if told else "")
            raise ResponseError(said, retryable=_MALFORMED[reason], code=reason)
        self.finish = _FINISH.get(reason, "stop")

    def _blocked(self, feedback: Feedback | None) -> None:
        if feedback is not None and feedback.block_reason:
            told = feedback.block_reason_message or "the prompt was blocked"
            refusal = Refusal(message=told, code=feedback.block_reason, type="content_filter")
            raise RefusedError(refusal)


def read_vectors(body: bytes) -> Vectors:
    """The vectors of an answer; it counts no tokens.

    Raises:
        ResponseError: it is not what this format has.
    """
    answer = _read_vectors(body)
    return Vectors(vectors=[packed(each.values or []) for each in answer.embeddings or ()])


def _token(part: Literal["thought", "text", "call"], signature: str, call: str = "") -> str:
    return msgspec.json.encode(Signature(part=part, signature=signature, call=call)).decode()


def _usage(part: UsagePart) -> Usage:
    thoughts = part.thoughts_token_count or 0
    return Usage(
        input_tokens=(part.prompt_token_count or 0) + (part.tool_use_prompt_token_count or 0),
        output_tokens=(part.candidates_token_count or 0) + thoughts,
        cached_tokens=part.cached_content_token_count or 0,
        reasoning_tokens=thoughts,
    )
