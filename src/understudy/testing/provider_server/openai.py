"""OpenAI's chat completions, whole and streamed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from understudy.messages.chat import SystemMessage, ToolCall, UserMessage
from understudy.testing.provider_server.dialect import Asked, Conversation, Dialect, Reply
from understudy.testing.provider_server.faults import StreamFault
from understudy.testing.provider_server.limits import Refused

KINDS = {401: "invalid_request_error", 429: "rate_limit_exceeded"}
"""The type of an error by its status, where the hundreds do not tell."""
CODES = {401: "invalid_api_key", 404: "model_not_found"}


class WireFunction(msgspec.Struct):
    """The function of a call."""

    name: str
    arguments: str = "{}"


class WireCall(msgspec.Struct):
    """A call in an assistant message."""

    id: str
    function: WireFunction


class WirePart(msgspec.Struct):
    """A part of a content that is a list; only text is understood."""

    text: str = ""


class WireMessage(msgspec.Struct):
    """A message as the client sends it."""

    role: str
    content: str | list[WirePart] | None = None
    tool_calls: list[WireCall] | None = None
    tool_call_id: str | None = None


class StreamOptions(msgspec.Struct):
    """Whether usage is wanted at the end of a stream."""

    include_usage: bool = False


class ChatRequest(msgspec.Struct):
    """What of a request changes the answer."""

    model: str
    messages: list[WireMessage]
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None


class OpenAIErrors(Dialect):
    """What OpenAI's two protocols have in common: errors and limits."""

    reserves_output = True

    def error(
        self, status: int, message: str, kind: str = "", code: str | int | None = None
    ) -> bytes:
        """See `Dialect.error`."""
        kind = (
            kind
            or KINDS.get(status)
            or ("server_error" if status > 499 else "invalid_request_error")
        )
        code = code or CODES.get(status)
        return msgspec.json.encode(
            {"error": {"message": message, "type": kind, "param": None, "code": code}}
        )

    def stream_error(self, fault: StreamFault) -> bytes:
        """See `Dialect.stream_error`."""
        return event(self.error(500, fault.message, fault.type, fault.code))

    def refused(self, refused: Refused) -> tuple[int, bytes]:
        """See `Dialect.refused`."""
        if refused.wait is None:
            told = "You exceeded your current quota, please check your plan and billing details."
            return 429, self.error(429, told, "insufficient_quota", "insufficient_quota")
        told = (
            f"Rate limit reached for {refused.name} per min: Limit {refused.limit}, Used "
            f"{refused.used}, Requested {refused.asked}. Please try again in {refused.wait:.3f}s."
        )
        return 429, self.error(429, told, refused.name, "rate_limit_exceeded")


class OpenAIDialect(OpenAIErrors):
    """`POST /v1/chat/completions` (see `Dialect`)."""

    def __init__(self) -> None:
        self._decoder = msgspec.json.Decoder(ChatRequest)

    def read(self, body: bytes) -> Asked:
        """See `Dialect.read`."""
        asked = self._decoder.decode(body)
        told = asked.stream_options
        limit = asked.max_completion_tokens
        return Asked(
            model=asked.model,
            messages=_neutral(asked.messages).done(),
            stream=asked.stream,
            max_tokens=asked.max_tokens if limit is None else limit,
            usage=told is not None and told.include_usage,
        )

    def whole(self, reply: Reply) -> bytes:
        """See `Dialect.whole`."""
        turn = reply.turn
        message: dict[str, Any] = {  # Any: JSON
            "role": "assistant",
            "content": turn.text or None,
        }
        if turn.calls:
            message["tool_calls"] = [_call(call) for call in turn.calls]
        choice = {"index": 0, "message": message, "finish_reason": _finish(reply)}
        return msgspec.json.encode(
            {**_head(reply, "chat.completion"), "choices": [choice], "usage": _usage(reply)}
        )

    def pieces(self, reply: Reply) -> Iterator[bytes]:
        """The role travels with the first piece: it is no token and no step of a fault's count."""
        begin = _chunk(reply, {"role": "assistant", "content": ""})
        for piece in reply.turn.pieces:
            yield begin + _chunk(reply, {"content": piece})
            begin = b""
        if begin:
            yield begin
        for index, call in enumerate(reply.turn.calls):
            whole = _call(call)
            arguments = whole["function"]["arguments"]
            whole["function"]["arguments"] = ""
            yield _chunk(reply, {"tool_calls": [{"index": index, **whole}]})
            for part in halves(arguments):
                fragment = {"index": index, "function": {"arguments": part}}
                yield _chunk(reply, {"tool_calls": [fragment]})

    def end(self, reply: Reply) -> Iterator[bytes]:
        """See `Dialect.end`."""
        yield _chunk(reply, {}, _finish(reply))
        if reply.asked.usage:
            yield _event(reply, {"choices": [], "usage": _usage(reply)})
        yield b"data: [DONE]\n\n"


def event(payload: bytes) -> bytes:
    """A server-sent event without a name."""
    return b"data: %b\n\n" % payload


def halves(text: str) -> tuple[str, str]:
    """Arguments come in fragments."""
    return text[: len(text) // 2], text[len(text) // 2 :]


def arguments_of(call: ToolCall) -> str:
    """The arguments as the JSON text that OpenAI's protocols carry."""
    return msgspec.json.encode(call.arguments).decode()


def _finish(reply: Reply) -> str:
    if reply.turn.calls:
        return "tool_calls"
    return "length" if reply.turn.cut else "stop"


def _usage(reply: Reply) -> dict[str, int]:
    return {
        "prompt_tokens": reply.input_tokens,
        "completion_tokens": reply.output_tokens,
        "total_tokens": reply.input_tokens + reply.output_tokens,
    }


def _head(reply: Reply, kind: str) -> dict[str, Any]:  # Any: JSON
    return {
        "id": f"chatcmpl-{reply.number}",
        "created": reply.number,
        "model": reply.asked.model,
        "object": kind,
    }


def _chunk(reply: Reply, delta: dict[str, Any], finish: str | None = None) -> bytes:  # Any: JSON
    return _event(reply, {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})


def _event(reply: Reply, fields: dict[str, Any]) -> bytes:  # Any: JSON
    return event(msgspec.json.encode({**_head(reply, "chat.completion.chunk"), **fields}))


def _call(call: ToolCall) -> dict[str, Any]:  # Any: JSON
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": arguments_of(call)},
    }


def _neutral(messages: list[WireMessage]) -> Conversation:
    said = Conversation()
    for message in messages:
        content = message.content or ""
        if isinstance(content, list):
            content = "".join(part.text for part in content)
        match message.role:
            case "system" | "developer":
                said.say(SystemMessage(content=content))
            case "user":
                said.say(UserMessage(content=content))
            case "assistant":
                said.answered(content, [_neutral_call(call) for call in message.tool_calls or ()])
            case "tool":
                said.result(message.tool_call_id or "", content)
            case role:
                raise ValueError(f"no such role: {role!r}")
    return said


def _neutral_call(call: WireCall) -> ToolCall:
    arguments = msgspec.json.decode(call.function.arguments or b"{}")
    return ToolCall(id=call.id, name=call.function.name, arguments=arguments)
