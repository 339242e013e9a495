"""Putting one answer together, for every wire format.

`Assembly` keeps what all formats have in common: text that goes out as it comes and is kept, tool
calls, thoughts, usage, the end. A format says in `read` what one payload means, by calling `say`,
`think` and `call` and setting the other fields.

Guarantees: text and tool arguments are gathered in lists and joined once. Numbers that a provider
does not give are estimated and marked (`usage.measured`). Every tool call has an id, unique within
its conversation also where the provider gives none. Arguments that are no JSON object are the
call's `problem`: the model hears of them like of any other wrong argument.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import msgspec

from understudy.actors.models.failures import Refusal
from understudy.actors.models.provider import TextPiece, ThoughtPiece
from understudy.actors.models.wire import BAD_JSON, JsonObject, encode
from understudy.actors.rules.kept import kept
from understudy.actors.rules.strict_schema import drop_added_nulls
from understudy.actors.rules.tokens import estimate_tokens
from understudy.messages.chat import AssistantMessage, Thought, ToolCall, Usage, text_of
from understudy.messages.codec import MAX_DEPTH
from understudy.messages.depth import json_too_deep
from understudy.messages.limits import Headroom
from understudy.messages.models import Complete, Completion, FinishReason


class RefusedError(Exception):
    """The answer says that there is none: an error inside a stream, or in a body with status 200.

    Only between a format and `HttpProvider`, which knows the rest and raises what it means.
    """

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


class Assembly(ABC):
    """One answer that is being put together.

    Args:
        request: what was asked.
        provider: who answers.

    Attributes:
        id: the provider's id of the answer.
        model: the model that answers, as the provider calls it.
        finish: why it ended, once that is known.
        usage: what the provider counted.
        ended: the end marker has come; nothing after it is read.
        thoughts: thoughts with what their provider wants back. Where none are given, what was
            shown (`think`) is kept as one.
    """

    def __init__(self, request: Complete, provider: str) -> None:
        self.request = request
        self.provider = provider
        self.id = ""
        self.model = ""
        self.finish: FinishReason | None = None
        self.usage: Usage | None = None
        self.ended = False
        self.thoughts: list[Thought] = []
        self._said = kept("full")
        self._shown = kept("full")
        self._calls: list[ToolCall] = []
        self._fresh: list[TextPiece | ThoughtPiece] = []

    def keep(self, retain: str) -> None:
        """How much of the text is kept, said before any has come: `full`, `tail` or `none`."""
        if retain != "full":
            self._said, self._shown = kept(retain), kept(retain)

    @abstractmethod
    def read(self, payload: bytes) -> None:
        """Take in one payload of a stream.

        Raises:
            ResponseError: it is not what this format has.
            RefusedError: it is an error.
        """

    def read_whole(self, body: bytes) -> None:
        """Take in an answer that is not streamed; the same as a payload where formats agree."""
        self.read(body)
        self.ended = True

    @property
    def finished(self) -> bool:
        """Nothing is missing if the body ends here."""
        return self.ended

    @property
    def text(self) -> str:
        """The text so far."""
        return self._said.text

    def take(self, payload: bytes, *, whole: bool = False) -> list[TextPiece | ThoughtPiece]:
        """What a payload adds, in order."""
        self._fresh = []
        if whole:
            self.read_whole(payload)
        else:
            self.read(payload)
        return self._fresh

    def say(self, text: str | None) -> None:
        """Some text of the answer has come."""
        if text:
            self._said.add(text)
            self._fresh.append(TextPiece(text=text))

    def think(self, text: str | None) -> None:
        """Some of the model's reasoning has come."""
        if text:
            self._shown.add(text)
            self._fresh.append(ThoughtPiece(text=text))

    def call(self, id: str | None, name: str | None, arguments: Any) -> ToolCall:
        """A tool call is complete.

        Args:
            id: the provider's.
            name: of the tool.
            arguments: as the provider has them: an object, its text, or None for none at all.
        """
        given, problem = read_arguments(arguments)  # Any: whatever came
        call = ToolCall(
            id=id or self._spare_id(),
            name=name or "",
            arguments=self._relaxed(name, given),
            problem=problem,
        )
        self._calls.append(call)
        return call

    def close(self) -> None:  # noqa: B027 - a hook that few formats need
        """Before the completion is made: build what waited for the end."""

    def completion(self, request_id: str | None, headroom: tuple[Headroom, ...] = ()) -> Completion:
        """The whole answer."""
        self.close()
        finish = self.finish or "stop"
        if finish == "length":
            self._calls = [_cut(call) for call in self._calls]
        if self._calls and finish == "stop":
            finish = "tool_calls"  # some say "stop", or nothing, after calls
        return Completion(
            message=AssistantMessage(
                content=self.text, tool_calls=tuple(self._calls), thoughts=self._kept()
            ),
            finish_reason=finish,
            usage=self.counted(),
            model=self.model or self.request.model,
            provider=self.provider,
            request_id=request_id or self.id or None,
            headroom=headroom,
        )

    def counted(self) -> Usage:
        """The usage so far: the provider's number, or an estimate that says so."""
        if self.usage is not None:
            return self.usage
        asked = sum(estimate_tokens(text_of(message)) for message in self.request.messages)
        given = self._said.tokens + self._shown.tokens
        return Usage(input_tokens=asked, output_tokens=given, measured=False)

    def _kept(self) -> tuple[Thought, ...]:
        shown = "" if self.thoughts else self._shown.text
        if not shown:
            return tuple(self.thoughts)
        return (Thought(text=shown, provider=self.provider),)

    def _spare_id(self) -> str:
        """Numbered on from the calls before, so that no two of a conversation are the same."""
        asked = sum(
            len(message.tool_calls)
            for message in self.request.messages
            if isinstance(message, AssistantMessage)
        )
        return f"{self.id or 'call'}-{asked + len(self._calls)}"

    def _relaxed(self, name: str | None, arguments: JsonObject) -> JsonObject:
        """The arguments without the nulls that a strict schema asked for."""
        for tool in self.request.tools:
            if tool.name == name and tool.strict:
                relaxed: JsonObject = drop_added_nulls(arguments, tool.parameters)
                return relaxed
        return arguments


_decode = msgspec.json.Decoder().decode
_SHOWN = 200


def read_arguments(given: Any) -> tuple[JsonObject, str | None]:  # Any: whatever came
    """The arguments of a call, and what is wrong with them, for the model to read.

    Args:
        given: an object, the text of one, or None; an empty text is how tools without arguments
            are called.
    """
    found, why = given, ""
    if isinstance(given, str):
        data = given.strip().encode("utf-8", "surrogatepass")
        if json_too_deep(data, MAX_DEPTH):
            return {}, _problem(f"they nest deeper than {MAX_DEPTH} levels")
        try:
            found = _decode(data) if data else None
        except BAD_JSON as error:
            why = f" ({error})"
    if found is None:
        return {}, None
    if isinstance(found, dict):
        return found, None
    shown = given if isinstance(given, str) else encode(given).decode()
    if len(shown) > _SHOWN:  # mistakes are at the beginning or at the end
        shown = f"{shown[: _SHOWN // 2]} ... {shown[-_SHOWN // 2 :]}"
    return {}, _problem(f"no JSON object{why}: {shown}")


def _problem(what: str) -> str:
    return f"Invalid arguments, {what}. It was not called; call it again with one JSON object."


def _cut(call: ToolCall) -> ToolCall:
    if call.problem is None:
        return call
    told = f"max_tokens cut the answer within the arguments. {call.problem}"
    return msgspec.structs.replace(call, problem=told)
