"""Ollama's own API: `/api/chat` in lines of JSON, and `/api/embed`.

Preferred to its OpenAI-compatible one, because only here can the size of the context be set: a
prompt that is longer than the server's default is cut without a word. So a conversation that may
not fit the default asks for room; one that fits asks for nothing, because another size than the
last one's makes the server load the model again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from understudy.actors.models.embedding import HttpEmbedder, Vectors
from understudy.actors.models.families import OLLAMA, Omissions
from understudy.actors.models.http_provider import Ask
from understudy.actors.models.ollama_assembly import OllamaAssembly, read_vectors
from understudy.actors.models.openai_request import tool_body
from understudy.actors.models.provider import ProviderSettings
from understudy.actors.models.wire import JsonObject, base64_of, in_words, merged, shape
from understudy.actors.rules.tokens import estimate_tokens
from understudy.messages.chat import (
    AssistantMessage,
    Image,
    Message,
    ToolMessage,
    UserMessage,
    text_of,
)
from understudy.messages.errors import BadRequestError, ConfigError
from understudy.messages.models import Complete, Embed

if TYPE_CHECKING:
    import httpx

NAME = "ollama"
DEFAULT_CONTEXT = 4096
"""Tokens that every server has room for; the smallest default."""
_OUTPUT = 1024
_OURS = ("model", "messages", "stream")


class OllamaChat(HttpEmbedder):
    """A provider (see `Provider` and `Embedder`) over `POST {base_url}/api/chat`.

    Args:
        settings: address and limits; a key only for a server behind one.
        transport: the HTTP seam; its owner closes it.

    Raises:
        ConfigError: the address cannot work.
    """

    framing = "lines"

    def __init__(self, settings: ProviderSettings, transport: httpx.AsyncBaseTransport) -> None:
        super().__init__(settings, transport, name=NAME, base_url="http://localhost:11434")
        if self.base_url.endswith("/v1"):
            raise ConfigError(
                f"base_url {self.base_url!r} is where Ollama speaks OpenAI's protocol: leave /v1 "
                "out, or name the model 'openai-compatible:…'"
            )
        self._omissions = Omissions(NAME)

    def ask(self, request: Complete, *, stream: bool) -> Ask:
        """See `HttpProvider.ask`."""
        body = request_body(request, stream=stream)
        self._omissions.apply(body, (OLLAMA,), request.model)
        return Ask(path="/api/chat", body=body)

    def assembly(self, request: Complete) -> OllamaAssembly:
        """See `HttpProvider.assembly`."""
        return OllamaAssembly(request, self.name)

    def embed_ask(self, request: Embed, texts: Sequence[str]) -> Ask:
        """See `HttpEmbedder.embed_ask`."""
        body: JsonObject = {"model": request.model, "input": list(texts)}
        if request.dimensions is not None:
            body["dimensions"] = request.dimensions
        return Ask(path="/api/embed", body=body)

    def read_vectors(self, body: bytes) -> Vectors:
        """See `HttpEmbedder.read_vectors`."""
        return read_vectors(body)


def request_body(request: Complete, *, stream: bool) -> JsonObject:
    """The request. Unset options are absent; `0` and `0.0` are there.

    Raises:
        ConfigError: `extra` sets a field that belongs to the request itself.
        BadRequestError: a picture is given by its address.
    """
    request = in_words(request)  # a format binds the sampling and is not told to the model
    body: JsonObject = {
        "model": request.model,
        "messages": [_message(message, request.model) for message in request.messages],
        "stream": stream,  # absent means true
    }
    options = {
        "temperature": request.temperature,
        "num_predict": request.max_tokens,
        "seed": request.seed,
        "stop": request.stop or None,
        "num_ctx": _context(request),
    }
    if given := {name: value for name, value in options.items() if value is not None}:
        body["options"] = given
    if request.tools and request.tool_choice != "none":
        body["tools"] = [tool_body(tool, strict=False) for tool in request.tools]
        if request.tool_choice == "required":
            body["tool_choice"] = request.tool_choice
    if request.output is not None and not request.tools:  # which it would keep from being called
        body["format"] = shape(request.output)[0]
    return merged(body, request.extra, _OURS)


def _context(request: Complete) -> int | None:
    """Room for the conversation and its answer, in powers of two so that it seldom changes."""
    prompt = sum(estimate_tokens(text_of(message)) + 8 for message in request.messages)
    tools = sum(estimate_tokens(f"{tool.description}{tool.parameters}") for tool in request.tools)
    needed = (prompt + tools) * 5 // 4 + (request.max_tokens or _OUTPUT)
    return None if needed <= DEFAULT_CONTEXT else 1 << (needed - 1).bit_length()


def _message(message: Message, model: str) -> JsonObject:
    match message:
        case ToolMessage():
            return {
                "role": "tool",
                "content": message.content,
                "tool_name": message.name,
                "tool_call_id": message.call_id,
            }
        case AssistantMessage():
            return _assistant(message)
        case UserMessage() if not isinstance(message.content, str):
            images = [part for part in message.content if isinstance(part, Image)]
            return {
                "role": "user",
                "content": text_of(message),
                "images": [_picture(image, model) for image in images],
            }
        case _:
            role = "user" if isinstance(message, UserMessage) else "system"
            return {"role": role, "content": text_of(message)}


def _assistant(message: AssistantMessage) -> JsonObject:
    said: JsonObject = {"role": "assistant", "content": message.content}
    if message.tool_calls:
        said["tool_calls"] = [
            {"id": call.id, "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
        thought = "".join(t.text for t in message.thoughts if t.provider == NAME)
        if thought:
            said["thinking"] = thought
    return said


def _picture(image: Image, model: str) -> str:
    if image.url is not None:
        raise BadRequestError(
            f"{NAME}:{model}: Ollama fetches no pictures; pass the bytes, Image(data=...)",
            provider=NAME,
            model=model,
        )
    return base64_of(image)
