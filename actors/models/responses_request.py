"""What is asked of OpenAI's Responses API: `Complete` to the JSON of a request.

A conversation is a flat list of items: messages, calls, their outputs and reasoning. Reasoning goes
back as it came, before what followed it, and only with its encrypted content: without that it is a
reference to something that was not stored.

Source: OpenAI's API reference.
"""

from __future__ import annotations

from typing import Any

import msgspec

from understudy.actors.models.families import OPENAI_REASONING, OPENAI_WITHOUT_SCHEMAS
from understudy.actors.models.wire import (
    JsonObject,
    address_of,
    declared,
    encode,
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
from understudy.messages.models import Complete, ToolDeclaration

NAME = "openai-responses"
_OURS = ("model", "input", "stream")


def request_body(request: Complete, *, stream: bool) -> JsonObject:
    """The request. Unset options are absent; `0` and `0.0` are there.

    Raises:
        ConfigError: `extra` sets a field that belongs to the request itself.
    """
    enforces = not OPENAI_WITHOUT_SCHEMAS.has(request.model)
    if not enforces:
        request = in_words(request)
    body: JsonObject = {
        "model": request.model,
        "input": [item for message in request.messages for item in _items(message)],
        "store": False,
    }
    system = [m.content for m in request.messages if isinstance(m, SystemMessage)]
    if system:
        body["instructions"] = "\n\n".join(system)
    options = {
        "temperature": request.temperature,
        "max_output_tokens": request.max_tokens,
        "stop": request.stop or None,
        "seed": request.seed,
    }
    body |= {name: value for name, value in options.items() if value is not None}
    if OPENAI_REASONING.has(request.model):
        body["include"] = ["reasoning.encrypted_content"]  # others refuse to be asked for it
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
        if request.tool_choice is not None:
            body["tool_choice"] = request.tool_choice
    if request.output is not None and enforces:
        schema, strict = shape(request.output)
        name = request.output.name
        told = {"type": "json_schema", "name": name, "schema": schema, "strict": strict}
        body["text"] = {"format": told}
    if stream:
        body["stream"] = True
    return merged(body, request.extra, _OURS)


def _items(message: Message) -> list[JsonObject]:
    match message:
        case SystemMessage():
            return []
        case ToolMessage():
            output = {"call_id": message.call_id, "output": message.content}
            return [{"type": "function_call_output", **output}]
        case AssistantMessage():
            return _assistant(message)
        case UserMessage(content=str() as text):
            return [{"role": "user", "content": text}]
        case UserMessage():
            return [{"role": "user", "content": [_part(part) for part in message.content]}]


def _assistant(message: AssistantMessage) -> list[JsonObject]:
    items = [item for thought in message.thoughts for item in _reasoning(thought)]
    if message.content:
        items.append({"role": "assistant", "content": message.content})
    items += [
        {
            "type": "function_call",
            "call_id": call.id,
            "name": call.name,
            "arguments": encode(call.arguments).decode(),
        }
        for call in message.tool_calls
    ]
    return items


def _reasoning(thought: Thought) -> list[JsonObject]:
    if thought.provider != NAME or thought.token is None:
        return []
    item: JsonObject = msgspec.json.decode(thought.token)
    return [item]


def _part(part: Any) -> JsonObject:  # Any: Text or Image
    if isinstance(part, Text):
        return {"type": "input_text", "text": part.text}
    return {"type": "input_image", "image_url": address_of(part)}


def _tool(tool: ToolDeclaration) -> JsonObject:
    """Flat, and told that it is not strict: the default here is that it is."""
    parameters, strict = declared(tool)
    made: JsonObject = {
        "type": "function",
        "name": tool.name,
        "parameters": parameters,
        "strict": strict,
    }
    if tool.description:
        made["description"] = tool.description
    return made
