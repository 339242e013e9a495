"""Putting one answer of the Responses API together: from its events, or from one whole response.

Text and reasoning go out by their deltas; calls and reasoning are taken from the items that are
done, which hold them whole. The last event carries the response again, with what it cost and how it
ended; there is no `[DONE]`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from understudy.actors.models.assembly import Assembly, RefusedError
from understudy.actors.models.wire import ErrorDetail, JsonReader, refusal_of
from understudy.messages.chat import Thought, Usage
from understudy.messages.errors import ResponseError
from understudy.messages.models import Complete, FinishReason

_FINISH: dict[str, FinishReason] = {
    "max_output_tokens": "length",
    "max_tokens": "length",
    "content_filter": "content_filter",
}
_DELTAS = {
    "response.output_text.delta": "text",
    "response.refusal.delta": "refusal",
    "response.reasoning_summary_text.delta": "thought",
    "response.reasoning_text.delta": "thought",
}
_ENDS = frozenset({"response.completed", "response.incomplete", "response.failed"})


class Part(msgspec.Struct):
    """Some of a message or of a summary."""

    type: str = ""
    text: str | None = None
    refusal: str | None = None


class Item(msgspec.Struct):
    """A message, a call or reasoning."""

    type: str = ""
    id: str | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: Any = None  # Any: the text of JSON
    content: list[Part] | None = None
    summary: list[Part] | None = None
    encrypted_content: str | None = None


class InputDetails(msgspec.Struct):
    """What of the prompt was cached."""

    cached_tokens: int | None = None


class OutputDetails(msgspec.Struct):
    """What of the output was reasoning."""

    reasoning_tokens: int | None = None


class UsagePart(msgspec.Struct):
    """Tokens."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: InputDetails | None = None
    output_tokens_details: OutputDetails | None = None


class Incomplete(msgspec.Struct):
    """Why there is no more."""

    reason: str | None = None


class Response(msgspec.Struct):
    """A whole response. Its items stay bytes, because reasoning is given back as it came."""

    id: str | None = None
    model: str | None = None
    status: str | None = None
    output: list[msgspec.Raw] | None = None
    incomplete_details: Incomplete | None = None
    error: ErrorDetail | str | None = None
    usage: UsagePart | None = None


class Event(msgspec.Struct):
    """An event of a stream."""

    type: str = ""
    delta: str | None = None
    item_id: str | None = None
    item: msgspec.Raw = msgspec.Raw()
    response: Response | None = None
    error: ErrorDetail | str | None = None
    code: str | int | None = None
    message: str | None = None


_read_event = JsonReader(Event, "an event of the Responses API")
_read_response = JsonReader(Response, "a response")
_read_item = JsonReader(Item, "an item of a response")


class ResponsesAssembly(Assembly):
    """One response (see `Assembly`)."""

    def __init__(self, request: Complete, provider: str) -> None:
        super().__init__(request, provider)
        self._refusals: list[str] = []
        self._streamed: set[str] = set()
        self._items = 0

    def read(self, payload: bytes) -> None:
        """Take in an event."""
        event = _read_event(payload)
        if event.type in _DELTAS:
            self._streamed.add(event.item_id or "")
            self._delta(_DELTAS[event.type], event.delta or "")
        elif event.type == "response.output_item.done":
            self._item(bytes(event.item))
        elif event.type in _ENDS:
            self._end(event.response or Response())
        elif event.type == "error":
            told = ErrorDetail(message=event.message, code=event.code)
            raise RefusedError(refusal_of(event.error or told))

    def read_whole(self, body: bytes) -> None:
        """Take in a whole response."""
        response = _read_response(body)
        if response.error is None and response.output is None:
            raise ResponseError("the response has no output")
        self._end(response)

    def close(self) -> None:
        """A refusal without any text is the text."""
        if self._refusals and not self.text:
            self.say("".join(self._refusals))
            self.finish = "content_filter"

    def _delta(self, kind: str, text: str) -> None:
        if kind == "text":
            self.say(text)
        elif kind == "thought":
            self.think(text)
        else:
            self._refusals.append(text)

    def _item(self, raw: bytes) -> None:
        item = _read_item(raw)
        self._items += 1
        match item.type:
            case "function_call":
                self.call(item.call_id or item.id, item.name, item.arguments)
            case "reasoning":
                self._reasoning(item, raw)
            case "message" if (item.id or "") not in self._streamed:
                for part in item.content or ():
                    self._delta(
                        "refusal" if part.refusal else "text", part.refusal or part.text or ""
                    )
            case _:
                pass

    def _reasoning(self, item: Item, raw: bytes) -> None:
        parts = item.summary or item.content or []
        text = "\n\n".join(part.text for part in parts if part.text)
        if (item.id or "") not in self._streamed:
            self.think(text)
        token = raw.decode() if item.encrypted_content else None
        if text or token:
            self.thoughts.append(Thought(text=text, provider=self.provider, token=token))

    def _end(self, response: Response) -> None:
        self.id = response.id or self.id
        self.model = response.model or self.model
        if response.usage is not None:
            self.usage = _usage(response.usage)
        if response.status == "failed" or response.error is not None:
            raise RefusedError(refusal_of(response.error or "the response failed"))
        if response.status == "cancelled":
            raise RefusedError(refusal_of("the response was cancelled"))
        if not self._items:
            for raw in response.output or ():
                self._item(bytes(raw))
        reason = response.incomplete_details.reason if response.incomplete_details else None
        self.finish = _FINISH.get(reason or "", "length" if reason else "stop")
        self.ended = True


def _usage(part: UsagePart) -> Usage:
    details = part.input_tokens_details
    output = part.output_tokens_details
    return Usage(
        input_tokens=part.input_tokens or 0,
        output_tokens=part.output_tokens or 0,
        cached_tokens=(details and details.cached_tokens) or 0,
        reasoning_tokens=(output and output.reasoning_tokens) or 0,
    )
