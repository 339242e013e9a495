"""Putting one answer of a chat completions server together.

The oddities of compatible servers end here: calls without index or id, calls that share an index,
arguments that are decoded already or empty, usage on every chunk, finish reasons that are missing.
"""

from __future__ import annotations

from typing import Any

from understudy.actors.models.assembly import Assembly, RefusedError
from understudy.actors.models.openai_wire import (
    DONE,
    NO_CHOICE,
    NO_DELTA,
    FunctionPart,
    ToolCallPart,
    UsagePart,
    read_answer,
)
from understudy.actors.models.wire import refusal_of
from understudy.messages.chat import Usage
from understudy.messages.errors import ResponseError
from understudy.messages.models import Complete, FinishReason

_FINISH: dict[str, FinishReason] = {
    "stop": "stop",
    "end_turn": "stop",
    "length": "length",
    "max_tokens": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}


class OpenAIAssembly(Assembly):
    """One chat completion, from its chunks or whole (see `Assembly`)."""

    def __init__(self, request: Complete, provider: str) -> None:
        super().__init__(request, provider)
        self._refusals: list[str] = []
        self._parts: list[_Call] = []

    @property
    def finished(self) -> bool:
        """A finish reason has come: only usage and the end marker could follow."""
        return self.ended or self.finish is not None

    def read(self, payload: bytes) -> None:
        """Take in a chunk; `[DONE]` ends the stream."""
        if payload == DONE:
            self.ended = True
            return
        self._add(payload)

    def read_whole(self, body: bytes) -> None:
        """Take in a whole answer, which has a choice."""
        if not self._add(body):
            raise ResponseError("the answer has no choices")
        self.ended = True

    def close(self) -> None:
        """Build the calls; a refusal without any text is the text."""
        for part in self._parts:
            self.call(part.id, part.name, part.arguments)
        if self._refusals and not self.text:
            self.say("".join(self._refusals))
            self.finish = "content_filter"

    def _add(self, payload: bytes) -> bool:
        answer = read_answer(payload)
        if answer.error is not None:
            raise RefusedError(refusal_of(answer.error))
        choice = answer.choices[0] if answer.choices else NO_CHOICE
        delta = choice.delta or choice.message or NO_DELTA
        self.model = answer.model or self.model
        self.id = answer.id or self.id
        counted = answer.usage or (answer.x_groq.usage if answer.x_groq else None)
        if counted is not None:  # on every chunk or on the last: cumulative
            self.usage = _usage(counted) or self.usage
        if choice.finish_reason:
            self.finish = _FINISH.get(choice.finish_reason, "stop")
        if delta.reasoning_content or delta.reasoning:
            self.think(delta.thought)
        if delta.content:
            self.say(delta.content if type(delta.content) is str else delta.text)
        if delta.refusal:
            self._refusals.append(delta.refusal)
        for part in delta.tool_calls or ():
            self._take_call(part)
        return bool(answer.choices)

    def _take_call(self, part: ToolCallPart) -> None:
        function = part.function or FunctionPart()
        call = self._call_of(part, function)
        if call is None:
            call = _Call(index=part.index)
            self._parts.append(call)
        call.id = call.id or part.id or ""
        call.name = call.name or function.name or ""
        if isinstance(function.arguments, str):
            call.fragments.append(function.arguments)
        elif function.arguments is not None:
            call.decoded = function.arguments

    def _call_of(self, part: ToolCallPart, function: FunctionPart) -> _Call | None:
        """The call that a fragment continues, or None: it begins one.

        The index decides where there is one, unless an id contradicts it (servers that number every
        call 0). Without index an id decides; a name without id begins a call; else it is the last.
        """
        if part.index is not None:
            same = [call for call in self._parts if call.index == part.index]
            if not same or (part.id and same[-1].id and part.id != same[-1].id):
                return None
            return same[-1]
        if part.id:
            return next((call for call in self._parts if call.id == part.id), None)
        if not self._parts or (function.name and self._parts[-1].name):
            return None
        return self._parts[-1]


class _Call:
    """A tool call that is being put together."""

    def __init__(self, index: int | None) -> None:
        self.index = index
        self.id = ""
        self.name = ""
        self.fragments: list[str] = []
        self.decoded: Any = None  # Any: JSON

    @property
    def arguments(self) -> Any:  # Any: JSON, or the text of it
        return "".join(self.fragments) if self.decoded is None else self.decoded


def _usage(part: UsagePart) -> Usage | None:
    if part.prompt_tokens is None or part.completion_tokens is None:
        return None
    prompt = part.prompt_tokens_details
    output = part.completion_tokens_details
    return Usage(
        input_tokens=part.prompt_tokens,
        output_tokens=part.completion_tokens,
        cached_tokens=(prompt and prompt.cached_tokens) or 0,
        reasoning_tokens=(output and output.reasoning_tokens) or 0,
    )
