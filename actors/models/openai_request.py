"""What is asked of a chat completions server: `Complete` and `Embed` to the JSON of a request.

Pure functions of the request and the server's `Profile`, so each difference between servers is one
small test. Our messages encode as OpenAI's where they are plain; the others are spelled out.

Source: OpenAI's API reference.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from understudy.actors.models.families import rejected
from understudy.actors.models.profiles import Manner, Profile
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
    ToolCall,
    ToolMessage,
    UserMessage,
)
from understudy.messages.models import Complete, Embed, OutputSchema, ToolDeclaration

_OURS = ("model", "messages", "stream")


def request_body(request: Complete, profile: Profile, *, stream: bool) -> JsonObject:
    """The request. Unset options are absent; `0` and `0.0` are there.

    Raises:
        ConfigError: `extra` sets a field that belongs to the request itself.
    """
    manner = profile.output
    if request.output is not None:
        manner = _manner(request, profile)
        if manner != "json_schema":
            request = in_words(request)
    body: JsonObject = {
        "model": request.model,
        "messages": [_message(message, profile) for message in _conversation(request, profile)],
    }
    _set_options(body, request, profile.names)
    if request.tools and (request.tool_choice != "none" or "none" in profile.choices):
        body["tools"] = [tool_body(tool, strict=profile.strict) for tool in request.tools]
        if request.tool_choice is not None:
            understood = request.tool_choice in profile.choices
            body["tool_choice"] = request.tool_choice if understood else "auto"
    if request.output is not None:
        body |= _format(request.output, manner)
    if stream:
        body["stream"] = True
        if profile.stream_usage:
            body["stream_options"] = {"include_usage": True}
    return merged(body, request.extra, _OURS)


def embed_body(request: Embed, texts: Sequence[str]) -> JsonObject:
    """The request for some vectors, as base64: a third of the JSON that numbers take."""
    body: JsonObject = {
        "model": request.model,
        "input": list(texts),
        "encoding_format": "base64",
    }
    if request.dimensions is not None:
        body["dimensions"] = request.dimensions
    return body


def tool_body(tool: ToolDeclaration, *, strict: bool) -> JsonObject:
    """A tool in OpenAI's shape, which others have copied."""
    parameters, enforced = declared(tool, strict=strict)
    function: JsonObject = {"name": tool.name, "parameters": parameters}
    if tool.description:
        function["description"] = tool.description
    if enforced:
        function["strict"] = True
    return {"type": "function", "function": function}


def _set_options(body: JsonObject, request: Complete, names: dict[str, str]) -> None:
    if request.temperature is not None:
        body[names.get("temperature", "temperature")] = request.temperature
    if request.max_tokens is not None:
        body[names.get("max_tokens", "max_tokens")] = request.max_tokens
    if request.stop:
        body[names.get("stop", "stop")] = request.stop
    if request.seed is not None:
        body[names.get("seed", "seed")] = request.seed


def _manner(request: Complete, profile: Profile) -> Manner:
    """How this model is told the shape of its answer; see `Profile.output`."""
    if rejected(profile.families, request.model, ("output",)):
        return "words"
    return "words" if profile.output == "grammar" and request.tools else profile.output


def _format(output: OutputSchema, manner: Manner) -> JsonObject:
    if manner == "words":
        return {}
    if manner == "json_object":
        return {"response_format": {"type": "json_object"}}
    schema, strict = shape(output)
    told: JsonObject = {"name": output.name, "schema": schema}
    if strict:
        told["strict"] = True
    return {"response_format": {"type": "json_schema", "json_schema": told}}


def _conversation(request: Complete, profile: Profile) -> Iterable[Message]:
    """The messages as this server takes them: system messages joined."""
    messages = request.messages
    if profile.many_systems:
        return messages
    system = [message.content for message in messages if isinstance(message, SystemMessage)]
    if len(system) > 1:
        rest = [message for message in messages if not isinstance(message, SystemMessage)]
        return [SystemMessage(content="\n\n".join(system)), *rest]
    return messages


def _message(message: Message, profile: Profile) -> Message | JsonObject:
    kind = type(message)  # most are plain, and a class pattern that does not match costs the most
    if kind is SystemMessage or (kind is UserMessage and type(message.content) is str):
        return message
    match message:
        case UserMessage() if not isinstance(message.content, str):
            return {"role": "user", "content": [_part(part) for part in message.content]}
        case ToolMessage():
            return {"role": "tool", "tool_call_id": message.call_id, "content": message.content}
        case AssistantMessage():
            return _assistant(message, profile)
        case _:
            return message


def _part(part: Any) -> JsonObject:  # Any: Text or Image
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    return {"type": "image_url", "image_url": {"url": address_of(part)}}


def _assistant(message: AssistantMessage, profile: Profile) -> JsonObject:
    if not message.tool_calls:
        return {"role": "assistant", "content": message.content}
    said: JsonObject = {
        "role": "assistant",
        "content": message.content or None,
        "tool_calls": [_call(call) for call in message.tool_calls],
    }
    thought = "".join(
        thought.text for thought in message.thoughts if thought.provider == profile.name
    )
    if profile.echo and thought:
        said[profile.echo] = thought
    return said


def _call(call: ToolCall) -> JsonObject:
    arguments = encode(call.arguments).decode()
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": arguments},
    }
