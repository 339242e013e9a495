"""Putting one answer of Ollama's together: from its lines of JSON, or from one.

Tool calls come whole and usually without an id. The last line says `done` and brings the counts;
an error may come in any line of a stream whose status said 200.
"""

from __future__ import annotations

from typing import Any

import msgspec

from understudy.actors.models.assembly import Assembly, RefusedError
from understudy.actors.models.embedding import Vectors, packed
from understudy.actors.models.wire import ErrorDetail, JsonReader, refusal_of
from understudy.messages.chat import Usage
from understudy.messages.models import FinishReason

_FINISH: dict[str, FinishReason] = {"length": "length"}


class FunctionPart(msgspec.Struct):
    """What is called."""

    name: str | None = None
    arguments: Any = None  # Any: JSON


class CallPart(msgspec.Struct):
    """A tool call."""

    id: str | None = None
    function: FunctionPart | None = None


class MessagePart(msgspec.Struct):
    """Some of the answer."""

    content: str | None = None
    thinking: str | None = None
    tool_calls: list[CallPart] | None = None


class Line(msgspec.Struct):
    """A line of the answer; the last one is the whole of it where nothing was streamed."""

    model: str | None = None
    message: MessagePart | None = None
    done: bool = False
    done_reason: str | None = None
    prompt_eval_count: int | None = None
    eval_count: int | None = None
    error: ErrorDetail | str | None = None


class VectorAnswer(msgspec.Struct):
    """What `/api/embed` gives."""

    embeddings: list[list[float]] | None = None
    model: str | None = None
    prompt_eval_count: int | None = None


_read_line = JsonReader(Line, "a line of Ollama's")
_read_vectors = JsonReader(VectorAnswer, "a list of embeddings")


class OllamaAssembly(Assembly):
    """One answer (see `Assembly`)."""

    def read(self, payload: bytes) -> None:
        """Take in a line."""
        line = _read_line(payload)
        if line.error is not None:
            raise RefusedError(refusal_of(line.error))
        self.model = line.model or self.model
        message = line.message or MessagePart()
        self.think(message.thinking)
        self.say(message.content)
        for part in message.tool_calls or ():
            function = part.function or FunctionPart()
            self.call(part.id, function.name, function.arguments)
        if line.done:
            self._end(line)

    def _end(self, line: Line) -> None:
        self.ended = True
        self.finish = _FINISH.get(line.done_reason or "", "stop")
        if line.prompt_eval_count is not None and line.eval_count is not None:
            self.usage = Usage(input_tokens=line.prompt_eval_count, output_tokens=line.eval_count)


def read_vectors(body: bytes) -> Vectors:
    """The vectors of an answer.

    Raises:
        ResponseError: it is not what this format has.
    """
    answer = _read_vectors(body)
    return Vectors(
        vectors=[packed(vector) for vector in answer.embeddings or ()],
        tokens=answer.prompt_eval_count,
        model=answer.model or "",
    )
