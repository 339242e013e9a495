"""The OpenAI half of the server: chat completions, whole and streamed, and the list of models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from understudy.messages.chat import (
    AssistantMessage,
    Message,
    SystemMessage,
    ToolCall,
    ToolMessage,
    UserMessage,
    text_of,
)
from understudy.testing.provider_server.delivery import Delivery
from understudy.testing.provider_server.faults import Fault, Status, StreamFault
from understudy.testing.provider_server.http import Responder
from understudy.testing.provider_server.records import RecordedRequest
from understudy.testing.provider_server.script import Script, Turn, split, turn_of

_CHAT = ("POST", "/v1/chat/completions")
_ROUTES = (_CHAT, ("GET", "/v1/models"))


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


class OpenAIProtocol:
    """Answers requests in OpenAI's format.

    Args:
        script: says what.
        models: the names that exist; empty: any name does.
        api_key: the only key that is let in; None: anybody is.
    """

    def __init__(self, script: Script, *, models: Sequence[str], api_key: str | None) -> None:
        self._script = script
        self._models = tuple(models)
        self._api_key = api_key
        self._decoder = msgspec.json.Decoder(ChatRequest)

    async def answer(
        self, request: RecordedRequest, responder: Responder, pace: tuple[float, float | None]
    ) -> bool:
        """Answer a request of this protocol; False: it is none.

        Args:
            request: the request.
            responder: where the answer goes.
            pace: latency and tokens per second.
        """
        delivery = Delivery(
            responder=responder,
            latency=pace[0],
            tokens_per_second=pace[1],
            headers={"x-request-id": f"req_{request.number}"},
        )
        route = (request.method, request.path.partition("?")[0])
        if route not in _ROUTES:
            return False
        if self._api_key is not None and request.headers.get("authorization") != (
            f"Bearer {self._api_key}"
        ):
            told = "Incorrect API key provided."
            await delivery.refuse(401, _error(told, "invalid_request_error", "invalid_api_key"), {})
            return True
        if route == _CHAT:
            await self._chat(request, delivery)
        else:
            await self._list(delivery)
        return True

    async def _list(self, delivery: Delivery) -> None:
        models = [{"id": name, "object": "model", "owned_by": "test"} for name in self._models]
        body = msgspec.json.encode({"object": "list", "data": models})
        await delivery.whole(body, 0, None)

    async def _chat(self, request: RecordedRequest, delivery: Delivery) -> None:
        try:
            asked = self._decoder.decode(request.body)
            messages = tuple(_neutral(asked.messages))
        except (msgspec.DecodeError, ValueError) as error:
            await delivery.refuse(400, _error(str(error), "invalid_request_error", None), {})
            return
        if self._models and asked.model not in self._models:
            told = f"The model '{asked.model}' does not exist"
            await delivery.refuse(404, _error(told, "invalid_request_error", "model_not_found"), {})
            return
        try:
            answer, fault = await self._script.next(messages)
            limits = (asked.max_completion_tokens, asked.max_tokens)
            turn = turn_of(answer, min((n for n in limits if n is not None), default=None))
        except Exception as error:  # noqa: BLE001 -- whatever a test's function raises is answered
            await delivery.refuse(500, _error(str(error), "server_error", None), {})
            return
        if isinstance(fault, Status):
            await _refuse(fault, delivery)
            return
        if not await delivery.instead(fault):
            await self._deliver(_Reply(asked, messages, turn, request.number), fault, delivery)

    async def _deliver(self, reply: _Reply, fault: Fault | None, delivery: Delivery) -> None:
        if not reply.asked.stream:
            await delivery.whole(reply.whole(), reply.output_tokens, fault)
            return
        failure = b""
        if isinstance(fault, StreamFault):
            failure = b"data: " + _error(fault.message, fault.type, fault.code) + b"\n\n"
        await delivery.stream(
            reply.pieces(), reply.end(), fault, content_type="text/event-stream", failure=failure
        )


class _Reply:
    """One answer in OpenAI's format."""

    def __init__(
        self, asked: ChatRequest, messages: tuple[Message, ...], turn: Turn, number: int
    ) -> None:
        self.asked = asked
        self._turn = turn
        self._head = {"id": f"chatcmpl-{number}", "created": number, "model": asked.model}
        self._prompt_tokens = sum(len(split(text_of(message))) for message in messages)
        self.output_tokens = len(turn.pieces) + len(turn.calls)

    @property
    def _finish(self) -> str:
        if self._turn.calls:
            return "tool_calls"
        return "length" if self._turn.cut else "stop"

    @property
    def _usage(self) -> dict[str, int]:
        return {
            "prompt_tokens": self._prompt_tokens,
            "completion_tokens": self.output_tokens,
            "total_tokens": self._prompt_tokens + self.output_tokens,
        }

    def whole(self) -> bytes:
        message: dict[str, Any] = {  # Any: JSON
            "role": "assistant",
            "content": self._turn.text or None,
        }
        if self._turn.calls:
            message["tool_calls"] = [_call(call) for call in self._turn.calls]
        choice = {"index": 0, "message": message, "finish_reason": self._finish}
        return msgspec.json.encode(
            self._head | {"object": "chat.completion", "choices": [choice], "usage": self._usage}
        )

    def pieces(self) -> Iterator[bytes]:
        """The role travels with the first piece: it is no token and no step of a fault's count."""
        begin = self._chunk({"role": "assistant", "content": ""})
        for piece in self._turn.pieces:
            yield begin + self._chunk({"content": piece})
            begin = b""
        if begin:
            yield begin
        for index, call in enumerate(self._turn.calls):
            whole = _call(call)
            arguments = whole["function"]["arguments"]
            whole["function"]["arguments"] = ""
            yield self._chunk({"tool_calls": [{"index": index, **whole}]})
            for part in (arguments[: len(arguments) // 2], arguments[len(arguments) // 2 :]):
                yield self._chunk(
                    {"tool_calls": [{"index": index, "function": {"arguments": part}}]}
                )

    def end(self) -> Iterator[bytes]:
        yield self._chunk({}, self._finish)
        if self.asked.stream_options and self.asked.stream_options.include_usage:
            yield self._event({"choices": [], "usage": self._usage})
        yield b"data: [DONE]\n\n"

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> bytes:  # Any: JSON
        return self._event({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})

    def _event(self, fields: dict[str, Any]) -> bytes:  # Any: JSON
        body = self._head | {"object": "chat.completion.chunk"} | fields
        return b"data: " + msgspec.json.encode(body) + b"\n\n"


def _call(call: ToolCall) -> dict[str, Any]:  # Any: JSON
    arguments = msgspec.json.encode(call.arguments).decode()
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": arguments},
    }


def _error(message: str, kind: str, code: str | int | None) -> bytes:
    return msgspec.json.encode(
        {"error": {"message": message, "type": kind, "param": None, "code": code}}
    )


async def _refuse(fault: Status, delivery: Delivery) -> None:
    headers = dict(fault.headers)
    if fault.retry_after is not None:
        headers["retry-after"] = f"{fault.retry_after:g}"
    body = _error(fault.message, fault.type, fault.code or None)
    await delivery.refuse(fault.status, body, headers)


def _neutral(messages: list[WireMessage]) -> Iterator[Message]:
    names: dict[str, str] = {}
    for message in messages:
        content = message.content or ""
        if isinstance(content, list):
            content = "".join(part.text for part in content)
        match message.role:
            case "system" | "developer":
                yield SystemMessage(content=content)
            case "user":
                yield UserMessage(content=content)
            case "assistant":
                calls = tuple(
                    ToolCall(
                        id=call.id,
                        name=call.function.name,
                        arguments=msgspec.json.decode(call.function.arguments or b"{}"),
                    )
                    for call in message.tool_calls or ()
                )
                names |= {call.id: call.name for call in calls}
                yield AssistantMessage(content=content, tool_calls=calls)
            case "tool" if message.tool_call_id in names:
                yield ToolMessage(
                    call_id=message.tool_call_id,
                    name=names[message.tool_call_id],
                    content=content,
                )
            case "tool":
                raise ValueError("a tool message must follow the tool call that it answers")
            case role:
                raise ValueError(f"no such role: {role!r}")
