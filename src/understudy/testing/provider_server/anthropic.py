"""Anthropic's Messages, whole and streamed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from understudy.messages.chat import SystemMessage, ToolCall, UserMessage
from understudy.testing.provider_server.dialect import Asked, Conversation, Dialect, Reply
from understudy.testing.provider_server.faults import StreamFault
from understudy.testing.provider_server.limits import Reading, Refused
from understudy.testing.provider_server.openai import halves
from understudy.testing.provider_server.records import RecordedRequest

_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class WireBlock(msgspec.Struct):
    """A block of a message: text, a call, or the result of one."""

    type: str = "text"
    text: str = ""
    id: str = ""
    name: str = ""
    input: dict[str, Any] = {}  # Any: JSON
    tool_use_id: str = ""
    content: str | list[WireBlock] | None = None
    is_error: bool = False


class WireMessage(msgspec.Struct):
    """A message as the client sends it."""

    role: str
    content: str | list[WireBlock]


class MessagesRequest(msgspec.Struct):
    """What of a request changes the answer."""

    model: str
    max_tokens: int
    messages: list[WireMessage]
    system: str | list[WireBlock] | None = None
    stream: bool = False


class AnthropicDialect(Dialect):
    """`POST /v1/messages` (see `Dialect`)."""

    request_id_header = "request-id"

    def __init__(self) -> None:
        self._decoder = msgspec.json.Decoder(MessagesRequest)

    def read(self, body: bytes) -> Asked:
        """See `Dialect.read`."""
        asked = self._decoder.decode(body)
        return Asked(
            model=asked.model,
            messages=_neutral(asked).done(),
            stream=asked.stream,
            max_tokens=asked.max_tokens,
        )

    def whole(self, reply: Reply) -> bytes:
        """See `Dialect.whole`."""
        turn = reply.turn
        blocks: list[dict[str, Any]] = []  # Any: JSON
        if turn.pieces:
            blocks.append({"type": "text", "text": turn.text})
        blocks += [_call(call, call.arguments) for call in turn.calls]
        usage = {"input_tokens": reply.input_tokens, "output_tokens": reply.output_tokens}
        return msgspec.json.encode(
            {**_head(reply), "content": blocks, **_stop(reply), "usage": usage}
        )

    def pieces(self, reply: Reply) -> Iterator[bytes]:
        """See `Dialect.pieces`: the beginning travels with the first."""
        content: list[object] = []
        message = {
            **_head(reply),
            "content": content,
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": reply.input_tokens, "output_tokens": 1},
        }
        begin = _event("message_start", message=message)
        text = {"type": "text", "text": ""}
        if reply.turn.pieces:
            begin += _event("content_block_start", index=0, content_block=text)
            begin += _event("ping")
        for piece in reply.turn.pieces:
            delta = {"type": "text_delta", "text": piece}
            yield begin + _event("content_block_delta", index=0, delta=delta)
            begin = b""
        if reply.turn.pieces:
            begin = _event("content_block_stop", index=0)
        for index, call in enumerate(reply.turn.calls, start=bool(reply.turn.pieces)):
            block = _call(call, {})
            yield begin + _event("content_block_start", index=index, content_block=block)
            begin = b""
            for part in halves(msgspec.json.encode(call.arguments).decode()):
                delta = {"type": "input_json_delta", "partial_json": part}
                yield _event("content_block_delta", index=index, delta=delta)
            yield _event("content_block_stop", index=index)

    def end(self, reply: Reply) -> Iterator[bytes]:
        """See `Dialect.end`."""
        turn = reply.turn
        if turn.pieces and not turn.calls:
            yield _event("content_block_stop", index=0)
        usage = {"output_tokens": reply.output_tokens}
        yield _event("message_delta", delta=_stop(reply), usage=usage)
        yield _event("message_stop")

    def error(
        self, status: int, message: str, kind: str = "", code: str | int | None = None
    ) -> bytes:
        """See `Dialect.error`. There are no codes here: one that is given becomes the type."""
        known = _KINDS.get(status) or ("api_error" if status > 499 else "invalid_request_error")
        told = {"type": kind or (str(code) if code else known), "message": message}
        return msgspec.json.encode({"type": "error", "error": told})

    def stream_error(self, fault: StreamFault) -> bytes:
        """See `Dialect.stream_error`."""
        body = self.error(529, fault.message, fault.type, fault.code)
        return b"event: error\ndata: %b\n\n" % body

    def lets_in(self, request: RecordedRequest, key: str) -> bool:
        """See `Dialect.lets_in`."""
        return request.headers.get("x-api-key") == key or super().lets_in(request, key)

    def limit_headers(self, readings: Sequence[Reading]) -> dict[str, str]:
        """See `Dialect.limit_headers`: resets are times."""
        headers: dict[str, str] = {}
        now = datetime.now(UTC)
        for reading in readings:
            name = f"anthropic-ratelimit-{reading.name}"
            reset = now + timedelta(seconds=reading.reset)
            headers[f"{name}-limit"] = str(reading.limit)
            headers[f"{name}-remaining"] = str(reading.remaining)
            headers[f"{name}-reset"] = reset.strftime("%Y-%m-%dT%H:%M:%SZ")
        return headers

    def refused(self, refused: Refused) -> tuple[int, bytes]:
        """See `Dialect.refused`."""
        if refused.wait is None:
            told = "You have reached your specified API usage limits. Raise the spend limit."
        else:
            rate = f"{refused.limit} {refused.name} per minute"
            told = f"This request would exceed your rate limit of {rate}."
        return 429, self.error(429, told)


def _event(kind: str, **fields: Any) -> bytes:  # Any: JSON
    body = msgspec.json.encode({"type": kind, **fields})
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), body)


def _head(reply: Reply) -> dict[str, Any]:  # Any: JSON
    return {
        "id": f"msg_{reply.number}",
        "type": "message",
        "role": "assistant",
        "model": reply.asked.model,
    }


def _stop(reply: Reply) -> dict[str, str | None]:
    reason = "max_tokens" if reply.turn.cut else "end_turn"
    return {"stop_reason": "tool_use" if reply.turn.calls else reason, "stop_sequence": None}


def _call(call: ToolCall, arguments: dict[str, Any]) -> dict[str, Any]:  # Any: JSON
    return {"type": "tool_use", "id": call.id, "name": call.name, "input": arguments}


def _neutral(asked: MessagesRequest) -> Conversation:
    said = Conversation()
    if asked.system:
        said.say(SystemMessage(content=_text(asked.system)))
    for message in asked.messages:
        blocks = message.content if isinstance(message.content, list) else []
        match message.role:
            case "user":
                results = [block for block in blocks if block.type == "tool_result"]
                for block in results:
                    said.result(
                        block.tool_use_id, _text(block.content or ""), is_error=block.is_error
                    )
                if not results or any(block.type == "text" for block in blocks):
                    said.say(UserMessage(content=_text(message.content)))
            case "assistant":
                calls = [
                    ToolCall(id=block.id, name=block.name, arguments=block.input)
                    for block in blocks
                    if block.type == "tool_use"
                ]
                said.answered(_text(message.content), calls)
            case role:
                raise ValueError(f"no such role: {role!r}; the system prompt is a field of its own")
    return said


def _text(content: str | list[WireBlock]) -> str:
    if isinstance(content, str):
        return content
    return "".join(block.text for block in content if block.type == "text")
