"""Putting one answer of a chat completions server together.

Purpose: from the chunks of a stream, or from one whole answer, to one `Completion`.

Guarantees: text is passed on as it comes and kept; tool arguments are gathered in a list and parsed
once, at the end. Numbers that a server does not give are estimated and marked (`usage.measured`).
The oddities of compatible servers end here: calls without index or id, calls that share an index,
arguments that are decoded already or empty, usage on every chunk, finish reasons that are missing.
"""

from __future__ import annotations

from typing import Any

import msgspec

from understudy.actors.models.openai_wire import (
    BAD_JSON,
    Answer,
    Delta,
    FunctionPart,
    ToolCallPart,
    UsagePart,
)
from understudy.actors.rules.tokens import estimate_tokens
from understudy.messages.chat import AssistantMessage, ToolCall, Usage, text_of
from understudy.messages.codec import MAX_DEPTH
from understudy.messages.depth import json_too_deep
from understudy.messages.errors import ResponseError
from understudy.messages.models import Complete, Completion, FinishReason

_FINISH: dict[str, FinishReason] = {
    "stop": "stop",
    "end_turn": "stop",
    "length": "length",
    "max_tokens": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}

_arguments = msgspec.json.Decoder(dict[str, Any] | None)


class Assembly:
    """Puts an answer together: from the chunks of a stream, or from one whole message.

    Text goes out as it comes (`take` returns what a chunk adds); the rest waits for `completion`.
    """

    def __init__(self, request: Complete, provider: str) -> None:
        self._request = request
        self._provider = provider
        self._texts: list[str] = []
        self._refusals: list[str] = []
        self._calls: list[_Call] = []
        self._finish = ""
        self._usage: UsagePart | None = None
        self._model = ""
        self._id = ""

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self._texts)

    @property
    def finished(self) -> bool:
        """A finish reason has come: what follows is usage and the end marker."""
        return bool(self._finish)

    def take(self, answer: Answer) -> tuple[str, str]:
        """Add a chunk or a whole answer; returns the text and the thought that it adds."""
        choice = answer.choice
        delta = choice.delta or choice.message or Delta()
        self._model = answer.model or self._model
        self._id = answer.id or self._id
        self._usage = answer.counted or self._usage  # on every chunk or on the last: cumulative
        self._finish = choice.finish_reason or self._finish
        text = delta.text
        if text:
            self._texts.append(text)
        if delta.refusal:
            self._refusals.append(delta.refusal)
        for part in delta.tool_calls or ():
            self._take_call(part)
        return text, delta.thought

    def completion(self, request_id: str | None) -> Completion:
        """The whole answer.

        Raises:
            ResponseError: a tool call whose arguments are no JSON object.
        """
        calls = tuple(
            call.build(f"{self._id or 'call'}-{position}")
            for position, call in enumerate(self._calls)
        )
        finish: FinishReason = _FINISH.get(self._finish, "stop")
        if calls and finish == "stop":
            finish = "tool_calls"  # some say "stop", or nothing, after calls
        text = self.text
        if self._refusals and not text:
            text, finish = "".join(self._refusals), "content_filter"
        return Completion(
            message=AssistantMessage(content=text, tool_calls=calls),
            finish_reason=finish,
            usage=self._counted(text),
            model=self._model or self._request.model,
            provider=self._provider,
            request_id=request_id or self._id or None,
        )

    def _take_call(self, part: ToolCallPart) -> None:
        function = part.function or FunctionPart()
        call = self._call_of(part, function)
        if call is None:
            call = _Call(index=part.index)
            self._calls.append(call)
        call.id = call.id or part.id or ""
        call.name = call.name or function.name or ""
        if isinstance(function.arguments, dict):
            call.decoded = function.arguments
        elif function.arguments:
            call.fragments.append(function.arguments)

    def _call_of(self, part: ToolCallPart, function: FunctionPart) -> _Call | None:
        """The call that a fragment continues, or None: it begins one.

        The index decides where there is one, unless an id contradicts it (servers that number every
        call 0). Without index an id decides; a name without id begins a call; else it is the last.
        """
        if part.index is not None:
            same = [call for call in self._calls if call.index == part.index]
            if not same or (part.id and same[-1].id and part.id != same[-1].id):
                return None
            return same[-1]
        if part.id:
            return next((call for call in self._calls if call.id == part.id), None)
        if not self._calls or (function.name and self._calls[-1].name):
            return None
        return self._calls[-1]

    def _counted(self, text: str) -> Usage:
        part = self._usage
        if part is None or part.prompt_tokens is None or part.completion_tokens is None:
            asked = sum(estimate_tokens(text_of(message)) for message in self._request.messages)
            return Usage(input_tokens=asked, output_tokens=estimate_tokens(text), measured=False)
        prompt = part.prompt_tokens_details
        output = part.completion_tokens_details
        return Usage(
            input_tokens=part.prompt_tokens,
            output_tokens=part.completion_tokens,
            cached_tokens=(prompt and prompt.cached_tokens) or 0,
            reasoning_tokens=(output and output.reasoning_tokens) or 0,
        )


class _Call:
    """A tool call that is being put together."""

    def __init__(self, index: int | None) -> None:
        self.index = index
        self.id = ""
        self.name = ""
        self.fragments: list[str] = []
        self.decoded: dict[str, Any] | None = None  # Any: JSON

    def build(self, spare_id: str) -> ToolCall:
        return ToolCall(id=self.id or spare_id, name=self.name, arguments=self._parse())

    def _parse(self) -> dict[str, Any]:  # Any: JSON
        if self.decoded is not None:
            return self.decoded
        text = "".join(self.fragments)
        if not text.strip():
            return {}  # how tools without arguments are called
        data = text.encode("utf-8", "surrogatepass")
        told = f"the arguments of the tool call {self.name!r}"
        if json_too_deep(data, MAX_DEPTH):
            raise ResponseError(f"{told} nest deeper than {MAX_DEPTH} levels")
        try:
            return _arguments.decode(data) or {}
        except BAD_JSON as error:
            raise ResponseError(f"{told} are no JSON object: {error}", retryable=True) from None
