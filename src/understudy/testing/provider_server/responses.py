"""OpenAI's Responses API, whole and streamed: events have numbers, and there is no `[DONE]`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from understudy.messages.chat import SystemMessage, ToolCall, UserMessage
from understudy.testing.provider_server.dialect import Asked, Conversation, Reply
from understudy.testing.provider_server.faults import StreamFault
from understudy.testing.provider_server.openai import OpenAIErrors, arguments_of, halves

_LATE = 1_000_000
"""The numbers of events need only grow: those at the end begin here."""


class WirePart(msgspec.Struct):
    """A part of a content; only text is understood."""

    text: str = ""


class WireItem(msgspec.Struct):
    """An item of the input: a message, a call, or a call's output."""

    type: str = "message"
    role: str = ""
    content: str | list[WirePart] | None = None
    call_id: str = ""
    name: str = ""
    arguments: str = "{}"
    output: str = ""


class ResponsesRequest(msgspec.Struct):
    """What of a request changes the answer."""

    model: str
    input: str | list[WireItem]
    instructions: str | None = None
    stream: bool = False
    max_output_tokens: int | None = None


class ResponsesDialect(OpenAIErrors):
    """`POST /v1/responses` (see `Dialect`)."""

    def __init__(self) -> None:
        self._decoder = msgspec.json.Decoder(ResponsesRequest)

    def read(self, body: bytes) -> Asked:
        """See `Dialect.read`."""
        asked = self._decoder.decode(body)
        return Asked(
            model=asked.model,
            messages=_neutral(asked).done(),
            stream=asked.stream,
            max_tokens=asked.max_output_tokens,
        )

    def whole(self, reply: Reply) -> bytes:
        """See `Dialect.whole`."""
        return msgspec.json.encode(_response(reply))

    def pieces(self, reply: Reply) -> Iterator[bytes]:
        """See `Dialect.pieces`: what opens the response and its items travels with the first."""
        events = _Events()
        begin = events.event("response.created", response=_begun(reply))
        place = {"output_index": 0, "item_id": f"msg_{reply.number}"}
        if reply.turn.pieces or not reply.turn.calls:
            content: list[object] = []
            item = {**_message(reply), "status": "in_progress", "content": content}
            begin += events.event("response.output_item.added", output_index=0, item=item)
        for piece in reply.turn.pieces:
            delta = events.event(
                "response.output_text.delta", **place, content_index=0, delta=piece
            )
            yield begin + delta
            begin = b""
        if begin:
            yield begin
        for index, call in enumerate(reply.turn.calls, start=bool(reply.turn.pieces)):
            item = _call(call)
            opened = {**item, "arguments": "", "status": "in_progress"}
            yield events.event("response.output_item.added", output_index=index, item=opened)
            for part in halves(item["arguments"]):
                yield events.event(
                    "response.function_call_arguments.delta",
                    output_index=index,
                    item_id=item["id"],
                    delta=part,
                )
            yield events.event("response.output_item.done", output_index=index, item=item)

    def end(self, reply: Reply) -> Iterator[bytes]:
        """See `Dialect.end`."""
        events = _Events(_LATE)
        if not reply.turn.calls:
            item = _message(reply)
            yield events.event("response.output_item.done", output_index=0, item=item)
        kind = "incomplete" if reply.turn.cut else "completed"
        yield events.event(f"response.{kind}", response=_response(reply))

    def stream_error(self, fault: StreamFault) -> bytes:
        """See `Dialect.stream_error`."""
        code = fault.code or fault.type or "server_error"
        return _Events(_LATE).event("error", code=code, message=fault.message, param=None)


class _Events:
    """Writes events with their numbers."""

    def __init__(self, first: int = 0) -> None:
        self._next = first

    def event(self, kind: str, **fields: Any) -> bytes:  # Any: JSON
        body = {"type": kind, "sequence_number": self._next, **fields}
        self._next += 1
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), msgspec.json.encode(body))


def _begun(reply: Reply) -> dict[str, Any]:  # Any: JSON
    return {
        "id": f"resp_{reply.number}",
        "object": "response",
        "model": reply.asked.model,
        "status": "in_progress",
        "output": [],
    }


def _response(reply: Reply) -> dict[str, Any]:  # Any: JSON
    turn = reply.turn
    output = [_message(reply)] if turn.pieces or not turn.calls else []
    return {
        **_begun(reply),
        "status": "incomplete" if turn.cut else "completed",
        "incomplete_details": {"reason": "max_output_tokens"} if turn.cut else None,
        "output": [*output, *(_call(call) for call in turn.calls)],
        "usage": {
            "input_tokens": reply.input_tokens,
            "output_tokens": reply.output_tokens,
            "total_tokens": reply.input_tokens + reply.output_tokens,
        },
    }


def _message(reply: Reply) -> dict[str, Any]:  # Any: JSON
    return {
        "type": "message",
        "id": f"msg_{reply.number}",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": reply.turn.text, "annotations": []}],
    }


def _call(call: ToolCall) -> dict[str, Any]:  # Any: JSON
    return {
        "type": "function_call",
        "id": f"fc_{call.id}",
        "call_id": call.id,
        "name": call.name,
        "arguments": arguments_of(call),
        "status": "completed",
    }


def _neutral(asked: ResponsesRequest) -> Conversation:
    said = Conversation()
    if asked.instructions:
        said.say(SystemMessage(content=asked.instructions))
    if isinstance(asked.input, str):
        said.say(UserMessage(content=asked.input))
    else:
        for item in asked.input:
            _add(said, item)
    return said


def _add(said: Conversation, item: WireItem) -> None:
    content = item.content or ""
    if isinstance(content, list):
        content = "".join(part.text for part in content)
    match item.type, item.role:
        case "function_call", _:
            arguments = msgspec.json.decode(item.arguments or b"{}")
            said.answered("", [ToolCall(id=item.call_id, name=item.name, arguments=arguments)])
        case "function_call_output", _:
            said.result(item.call_id, item.output)
        case "message", "system" | "developer":
            said.say(SystemMessage(content=content))
        case "message", "user":
            said.say(UserMessage(content=content))
        case "message", "assistant":
            said.answered(content, ())
        case "reasoning", _:
            pass
        case kind, role:
            raise ValueError(f"no such item: {kind!r} of {role!r}")
