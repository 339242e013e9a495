"""Ollama's chat, in lines of JSON unless the client wants one answer in one piece."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from understudy.messages.chat import SystemMessage, ToolCall, UserMessage
from understudy.testing.provider_server.dialect import Asked, Conversation, Dialect, Reply
from understudy.testing.provider_server.faults import StreamFault
from understudy.testing.provider_server.limits import Refused


class WireFunction(msgspec.Struct):
    """The function of a call."""

    name: str
    arguments: dict[str, Any] = {}  # Any: JSON


class WireCall(msgspec.Struct):
    """A call in an assistant message."""

    function: WireFunction
    id: str = ""


class WireMessage(msgspec.Struct):
    """A message as the client sends it."""

    role: str
    content: str = ""
    tool_calls: list[WireCall] | None = None
    tool_name: str = ""
    tool_call_id: str = ""


class Options(msgspec.Struct):
    """What bounds the answer."""

    num_predict: int | None = None


class ChatRequest(msgspec.Struct):
    """What of a request changes the answer. Streaming is the default here."""

    model: str
    messages: list[WireMessage]
    stream: bool = True
    options: Options | None = None


class OllamaDialect(Dialect):
    """`POST /api/chat` (see `Dialect`)."""

    content_type = "application/x-ndjson"

    def __init__(self) -> None:
        self._decoder = msgspec.json.Decoder(ChatRequest)

    def read(self, body: bytes) -> Asked:
        """See `Dialect.read`."""
        asked = self._decoder.decode(body)
        limit = asked.options.num_predict if asked.options else None
        return Asked(
            model=asked.model,
            messages=_neutral(asked.messages).done(),
            stream=asked.stream,
            max_tokens=None if limit is None or limit < 0 else limit,  # below 0: no bound
        )

    def whole(self, reply: Reply) -> bytes:
        """See `Dialect.whole`."""
        return _line(reply, reply.turn.text, calls=reply.turn.calls, done=True)

    def pieces(self, reply: Reply) -> Iterator[bytes]:
        """See `Dialect.pieces`; calls come whole."""
        for piece in reply.turn.pieces:
            yield _line(reply, piece) + b"\n"
        for call in reply.turn.calls:
            yield _line(reply, "", calls=(call,)) + b"\n"

    def end(self, reply: Reply) -> Iterator[bytes]:
        """See `Dialect.end`."""
        yield _line(reply, "", done=True) + b"\n"

    def error(
        self, status: int, message: str, kind: str = "", code: str | int | None = None
    ) -> bytes:
        """See `Dialect.error`. There is only the text: a type or code goes into it."""
        del status
        facts = ", ".join(str(fact) for fact in (kind, code) if fact)
        return msgspec.json.encode({"error": f"{message} ({facts})" if facts else message})

    def stream_error(self, fault: StreamFault) -> bytes:
        """See `Dialect.stream_error`."""
        return self.error(200, fault.message, fault.type, fault.code) + b"\n"

    def refused(self, refused: Refused) -> tuple[int, bytes]:
        """See `Dialect.refused`."""
        if refused.wait is None:
            return 402, self.error(402, "you have reached your usage limit, upgrade to go on")
        told = f"too many requests: {refused.limit} {refused.name} per minute"
        return 429, self.error(429, told)


def _line(
    reply: Reply, content: str, *, calls: tuple[ToolCall, ...] = (), done: bool = False
) -> bytes:
    message: dict[str, Any] = {"role": "assistant", "content": content}  # Any: JSON
    if calls:
        message["tool_calls"] = [
            {"function": {"name": call.name, "arguments": call.arguments}} for call in calls
        ]
    line: dict[str, Any] = {  # Any: JSON
        "model": reply.asked.model,
        "created_at": "2026-01-01T00:00:00Z",
        "message": message,
        "done": done,
    }
    if done:
        line |= {
            "done_reason": "length" if reply.turn.cut else "stop",
            "prompt_eval_count": reply.input_tokens,
            "eval_count": reply.output_tokens,
        }
    return msgspec.json.encode(line)


def _neutral(messages: list[WireMessage]) -> Conversation:
    """Results may come without an id; then they are those of the last calls, in order."""
    said = Conversation()
    open_calls: list[ToolCall] = []
    for message in messages:
        match message.role:
            case "system":
                said.say(SystemMessage(content=message.content))
            case "user":
                said.say(UserMessage(content=message.content))
            case "assistant":
                open_calls = [
                    ToolCall(
                        id=call.id or f"call_{number}",
                        name=call.function.name,
                        arguments=call.function.arguments,
                    )
                    for number, call in enumerate(message.tool_calls or (), 1)
                ]
                said.answered(message.content, open_calls)
            case "tool":
                same = [
                    call
                    for call in open_calls
                    if message.tool_call_id in ("", call.id)
                    and message.tool_name in ("", call.name)
                ]
                call_id = same[0].id if same else message.tool_call_id
                open_calls = [call for call in open_calls if call.id != call_id]
                said.result(call_id, message.content)
            case role:
                raise ValueError(f"no such role: {role!r}")
    return said
