"""What is asked of Anthropic: `Complete` to the JSON of a Messages request.

The conversation is alternating turns of blocks: system messages leave it, the results of all calls
of a turn are one user message and come before any text in it, and thoughts go back exactly as they
came, before what followed them.

Source: Anthropic's API reference.
"""

from __future__ import annotations

from typing import Any

import msgspec

from understudy.actors.models.families import ANTHROPIC_WITHOUT_SCHEMAS
from understudy.actors.models.wire import (
    JsonObject,
    base64_of,
    declared,
    in_words,
    merged,
    shape,
)
from understudy.messages.chat import (
    AssistantMessage,
    Message,
    SystemMessage,
    Text,
    Thought,
    ToolMessage,
    UserMessage,
)
from understudy.messages.models import Complete, OutputSchema, ToolDeclaration

NAME = "anthropic"
_OURS = ("model", "messages", "stream")
_CHOICES = {"auto": "auto", "required": "any", "none": "none"}
_MAX_TOKENS = 8192
_MAX_TOKENS_OF = {"claude-3-opus": 4096, "claude-3-sonnet": 4096, "claude-3-haiku": 4096}


def request_body(request: Complete, *, stream: bool) -> JsonObject:
    """The request. Unset options are absent; `0` and `0.0` are there.

    Raises:
        ConfigError: `extra` sets a field that belongs to the request itself.
    """
    schema = None if request.output is None else _schema(request.output, request.model)
    if schema is None:
        request = in_words(request)
    body: JsonObject = {
        "model": request.model,
        "max_tokens": max_tokens(request),
        "messages": _turns(request.messages),
    }
    system = [m.content for m in request.messages if isinstance(m, SystemMessage) and m.content]
    if system:
        body["system"] = "\n\n".join(system)
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.stop:
        body["stop_sequences"] = request.stop
    if request.seed is not None:
        body["seed"] = request.seed
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
        if request.tool_choice is not None:
            body["tool_choice"] = {"type": _CHOICES[request.tool_choice]}
    if schema is not None:
        body["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
    if stream:
        body["stream"] = True
    return merged(body, request.extra, _OURS)


def _schema(output: OutputSchema, model: str) -> JsonObject | None:
    """The schema to enforce; None where the model cannot, or the schema is not one that can be."""
    schema, enforced = shape(output)
    return schema if enforced and not ANTHROPIC_WITHOUT_SCHEMAS.has(model) else None


def max_tokens(request: Complete) -> int:
    """The bound on the output, which Anthropic must be told: as asked, or what the model takes."""
    if request.max_tokens is not None:
        return request.max_tokens
    known = (size for name, size in _MAX_TOKENS_OF.items() if name in request.model)
    return next(known, _MAX_TOKENS)


def redacted(data: str) -> str:
    """The token of a thought that is encrypted as a whole: its block, which a signature is not."""
    return msgspec.json.encode({"type": "redacted_thinking", "data": data}).decode()


def _turns(messages: tuple[Message, ...]) -> list[JsonObject]:
    turns: list[JsonObject] = []
    for message in messages:
        role, blocks = _blocks(message)
        if not blocks:
            continue
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": role, "content": blocks})
    for turn in turns:
        if turn["role"] == "user":
            turn["content"].sort(key=lambda block: block["type"] != "tool_result")
    return turns


def _blocks(message: Message) -> tuple[str, list[JsonObject]]:
    match message:
        case SystemMessage():
            return "", []
        case ToolMessage():
            return "user", [_result(message)]
        case AssistantMessage():
            return "assistant", _assistant(message)
        case UserMessage(content=str() as text):
            return "user", _text(text)
        case UserMessage():
            return "user", [block for part in message.content for block in _part(part)]


def _assistant(message: AssistantMessage) -> list[JsonObject]:
    thoughts = [block for thought in message.thoughts for block in _thought(thought)]
    calls = [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments}
        for call in message.tool_calls
    ]
    return [*thoughts, *_text(message.content), *calls]


def _thought(thought: Thought) -> list[JsonObject]:
    if thought.provider != NAME or thought.token is None:
        return []  # another's, or unsigned: it would be refused
    if thought.token.startswith("{"):
        block: JsonObject = msgspec.json.decode(thought.token)
        return [block]
    return [{"type": "thinking", "thinking": thought.text, "signature": thought.token}]


def _result(message: ToolMessage) -> JsonObject:
    result: JsonObject = {
        "type": "tool_result",
        "tool_use_id": message.call_id,
        "content": message.content,
    }
    if message.is_error:
        result["is_error"] = True
    return result


def _part(part: Any) -> list[JsonObject]:  # Any: Text or Image
    if isinstance(part, Text):
        return _text(part.text)
    if part.url is not None:
        source = {"type": "url", "url": part.url}
    else:
        source = {"type": "base64", "media_type": part.media_type, "data": base64_of(part)}
    return [{"type": "image", "source": source}]


def _text(text: str) -> list[JsonObject]:
    """Empty text blocks are refused."""
    return [{"type": "text", "text": text}] if text else []


def _tool(tool: ToolDeclaration) -> JsonObject:
    parameters, strict = declared(tool)
    made: JsonObject = {"name": tool.name, "input_schema": parameters}
    if tool.description:
        made["description"] = tool.description
    if strict:
        made["strict"] = True
    return made
