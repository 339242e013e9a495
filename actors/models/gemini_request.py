"""What is asked of Gemini: `Complete` and `Embed` to the JSON of a request.

Thoughts are signed, and each signature belongs to the part it came with: a thought, the text, or a
call. It goes back on that part. Calls of another provider have none; newer models refuse them
unless they are told not to look.

Source: Google's API reference.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from understudy.actors.models.families import GEMINI_EITHER, GEMINI_WITHOUT_SCHEMAS
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
from understudy.messages.models import Complete, Embed, ToolDeclaration

NAME = "gemini"
UNSIGNED = "skip_thought_signature_validator"
"""Google's word for a call that no Gemini has made."""

_OURS = ("contents",)
_MODES = {"auto": "AUTO", "required": "ANY", "none": "NONE"}
_CHECKS_SIGNATURES = re.compile(r"gemini-[3-9]")


class Signature(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The token of a thought: a signature, and the part it came with."""

    part: Literal["thought", "text", "call"]
    signature: str
    call: str = ""


_signature = msgspec.json.Decoder(Signature)


def request_body(request: Complete) -> JsonObject:
    """The request. Unset options are absent; `0` and `0.0` are there.

    Raises:
        ConfigError: `extra` sets a field that belongs to the request itself.
    """
    if not _enforces(request):
        request = in_words(request)
    body: JsonObject = {"contents": _contents(request)}
    system = [m.content for m in request.messages if isinstance(m, SystemMessage)]
    if system:
        body["systemInstruction"] = {"parts": [{"text": text} for text in system]}
    if config := _config(request):
        body["generationConfig"] = config
    if request.tools:
        body["tools"] = [{"functionDeclarations": [_tool(tool) for tool in request.tools]}]
        mode = _MODES.get(request.tool_choice or "")
        if mode in (None, "AUTO") and any(tool.strict for tool in request.tools):
            mode = "VALIDATED"  # may call, and then by the schema
        if mode is not None:
            body["toolConfig"] = {"functionCallingConfig": {"mode": mode}}
    return merged(body, request.extra, _OURS)


def embed_body(request: Embed, texts: Sequence[str], resource: str) -> JsonObject:
    """The request for some vectors; each names the model again."""
    rest = {} if request.dimensions is None else {"outputDimensionality": request.dimensions}
    return {
        "requests": [
            {"model": resource, "content": {"parts": [{"text": text}]}, **rest} for text in texts
        ]
    }


def _enforces(request: Complete) -> bool:
    """Whether the model takes a schema; older ones take none, or none beside tools."""
    either = bool(request.tools) and GEMINI_EITHER.has(request.model)
    return not either and not GEMINI_WITHOUT_SCHEMAS.has(request.model)


def _config(request: Complete) -> JsonObject:
    options = {
        "temperature": request.temperature,
        "maxOutputTokens": request.max_tokens,
        "stopSequences": request.stop or None,
        "seed": request.seed,
    }
    config: JsonObject = {name: value for name, value in options.items() if value is not None}
    if request.output is not None and _enforces(request):
        config["responseMimeType"] = "application/json"
        config["responseJsonSchema"] = shape(request.output)[0]
    return config


def _contents(request: Complete) -> list[JsonObject]:
    contents: list[JsonObject] = []
    for message in request.messages:
        role, parts = _parts(message, request.model)
        if not parts:
            continue
        if contents and contents[-1]["role"] == role:
            contents[-1]["parts"] += parts
        else:
            contents.append({"role": role, "parts": parts})
    return contents


def _parts(message: Message, model: str) -> tuple[str, list[JsonObject]]:
    match message:
        case SystemMessage():
            return "", []
        case AssistantMessage():
            return "model", _assistant(message, model)
        case ToolMessage():
            said = {"error" if message.is_error else "result": message.content}
            response = {"id": message.call_id, "name": message.name, "response": said}
            return "user", [{"functionResponse": response}]
        case UserMessage(content=str() as text):
            return "user", [{"text": text}]
        case UserMessage():
            return "user", [_part(part) for part in message.content]


def _assistant(message: AssistantMessage, model: str) -> list[JsonObject]:
    signed = [(thought, _signature_of(thought)) for thought in message.thoughts]
    parts: list[JsonObject] = [
        {"text": thought.text, "thought": True, "thoughtSignature": found.signature}
        for thought, found in signed
        if found and found.part == "thought"
    ]
    text: JsonObject = {"text": message.content}
    for _, found in signed:
        if found and found.part == "text":
            text["thoughtSignature"] = found.signature
    if message.content or len(text) > 1:
        parts.append(text)
    by_call = {f.call: f.signature for _, f in signed if f and f.part == "call"}
    for position, call in enumerate(message.tool_calls):
        part: JsonObject = {
            "functionCall": {"id": call.id, "name": call.name, "args": call.arguments}
        }
        if call.id in by_call:
            part["thoughtSignature"] = by_call[call.id]
        elif not by_call and position == 0 and _CHECKS_SIGNATURES.search(model):
            part["thoughtSignature"] = UNSIGNED
        parts.append(part)
    return parts


def _signature_of(thought: Thought) -> Signature | None:
    if thought.provider != NAME or thought.token is None:
        return None
    return _signature.decode(thought.token)


def _part(part: Any) -> JsonObject:  # Any: Text or Image
    if isinstance(part, Text):
        return {"text": part.text}
    if part.url is not None:
        return {"fileData": {"mimeType": part.media_type, "fileUri": part.url}}
    return {"inlineData": {"mimeType": part.media_type, "data": base64_of(part)}}


def _tool(tool: ToolDeclaration) -> JsonObject:
    parameters, _ = declared(tool)
    made: JsonObject = {"name": tool.name, "parametersJsonSchema": parameters}
    if tool.description:
        made["description"] = tool.description
    return made
