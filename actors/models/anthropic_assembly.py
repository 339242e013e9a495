"""Putting one answer of Anthropic's together: from its events, or from one whole message.

Blocks are numbered and come one after the other; each is gathered until it stops. Usage in
`message_delta` is cumulative and overwrites; tokens read from and written to the cache are part of
the prompt. Events that nobody knows yet, and pings, are nothing.
"""

from __future__ import annotations

from typing import Any

import msgspec

from understudy.actors.models.anthropic_request import redacted
from understudy.actors.models.assembly import Assembly, RefusedError
from understudy.actors.models.wire import ErrorDetail, JsonReader, refusal_of
from understudy.messages.chat import Thought, Usage
from understudy.messages.models import Complete, FinishReason

_FINISH: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


class Block(msgspec.Struct):
    """A block of the answer, its beginning, or what is added to it."""

    type: str = ""
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    name: str | None = None
    input: Any = None  # Any: JSON
    partial_json: str | None = None
    stop_reason: str | None = None


class UsagePart(msgspec.Struct):
    """Tokens; `input_tokens` are those that the cache had no part in."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None


class Answer(msgspec.Struct):
    """A whole message, or how one begins."""

    id: str | None = None
    model: str | None = None
    content: list[Block] | None = None
    stop_reason: str | None = None
    usage: UsagePart | None = None
    error: ErrorDetail | str | None = None


class Event(msgspec.Struct):
    """An event of a stream."""

    type: str = ""
    index: int | None = None
    message: Answer | None = None
    content_block: Block | None = None
    delta: Block | None = None
    usage: UsagePart | None = None
    error: ErrorDetail | str | None = None


_read_event = JsonReader(Event, "an event of Anthropic's")
_read_answer = JsonReader(Answer, "a message of Anthropic's")


class AnthropicAssembly(Assembly):
    """One message (see `Assembly`)."""

    def __init__(self, request: Complete, provider: str) -> None:
        super().__init__(request, provider)
        self._open: dict[int, _Gathering] = {}
        self._counts: dict[str, int] = {}

    def read(self, payload: bytes) -> None:
        """Take in an event."""
        event = _read_event(payload)
        match event.type:
            case "message_start":
                self._begin(event.message or Answer())
            case "content_block_start":
                block = event.content_block or Block()
                self._open[event.index or 0] = _Gathering(block)
                self._show(block)
            case "content_block_delta":
                delta = event.delta or Block()
                self._show(delta)
                if gathering := self._open.get(event.index or 0):
                    gathering.add(delta)
            case "content_block_stop":
                if gathering := self._open.pop(event.index or 0, None):
                    self._keep(gathering)
            case "message_delta":
                self._count(event.usage)
                self._finish(event.delta.stop_reason if event.delta else None)
            case "message_stop":
                self.ended = True
            case "error":
                raise RefusedError(refusal_of(event.error or ""))
            case _:
                pass

    def read_whole(self, body: bytes) -> None:
        """Take in a whole message."""
        answer = _read_answer(body)
        if answer.error is not None:
            raise RefusedError(refusal_of(answer.error))
        self._begin(answer)
        for block in answer.content or ():
            self._show(block)
            self._keep(_Gathering(block))
        self.ended = True

    def close(self) -> None:
        """Blocks that no event has stopped."""
        for gathering in self._open.values():
            self._keep(gathering)
        self._open.clear()

    def _begin(self, answer: Answer) -> None:
        self.id = answer.id or ""
        self.model = answer.model or ""
        self._count(answer.usage)
        self._finish(answer.stop_reason)

    def _show(self, block: Block) -> None:
        self.think(block.thinking)
        self.say(block.text)

    def _keep(self, gathering: _Gathering) -> None:
        block = gathering.block
        match block.type:
            case "tool_use":
                self.call(block.id, block.name, block.input or "".join(gathering.json))
            case "thinking":
                text, token = "".join(gathering.thinking), "".join(gathering.signature)
                self.thoughts.append(
                    Thought(text=text, provider=self.provider, token=token or None)
                )
            case "redacted_thinking":
                token = redacted(block.data or "")
                self.thoughts.append(Thought(provider=self.provider, token=token))
            case _:
                pass

    def _finish(self, reason: str | None) -> None:
        if reason:
            self.finish = _FINISH.get(reason, "stop")

    def _count(self, part: UsagePart | None) -> None:
        if part is None:
            return
        counts = self._counts
        for name in part.__struct_fields__:
            value = getattr(part, name)
            if value is not None:
                counts[name] = value
        cached = counts.get("cache_read_input_tokens", 0)
        fresh = counts.get("input_tokens", 0) + counts.get("cache_creation_input_tokens", 0)
        self.usage = Usage(
            input_tokens=fresh + cached,
            output_tokens=counts.get("output_tokens", 0),
            cached_tokens=cached,
        )


class _Gathering:
    """A block whose end has not come; what is written in fragments is joined once."""

    def __init__(self, block: Block) -> None:
        self.block = block
        self.thinking = [block.thinking or ""]
        self.signature = [block.signature or ""]
        self.json: list[str] = []

    def add(self, delta: Block) -> None:
        self.thinking.append(delta.thinking or "")
        self.signature.append(delta.signature or "")
        self.json.append(delta.partial_json or "")
