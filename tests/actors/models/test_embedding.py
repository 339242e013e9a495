import asyncio
import struct
from base64 import b64encode
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import msgspec
import pytest

from understudy.actors.models.embedding import HttpEmbedder
from understudy.actors.models.gemini import GeminiContent
from understudy.actors.models.ollama import OllamaChat
from understudy.actors.models.openai import OpenAIChat
from understudy.actors.models.provider import ProviderSettings
from understudy.messages.chat import Usage
from understudy.messages.errors import (
    BadRequestError,
    DeadlineExceededError,
    RateLimitError,
    ResponseError,
    ServerError,
)
from understudy.messages.models import Embed
from understudy.messages.secrets import Secret
from understudy.testing import ScriptedTransport

pytestmark = pytest.mark.anyio

Answer = Callable[[httpx.Request], Any]


def floats(*values: float) -> bytes:
    """Packed, as vectors travel."""
    return struct.pack(f"<{len(values)}f", *values)


def made(kind: Any, answer: Answer | list[Any]) -> tuple[HttpEmbedder, ScriptedTransport]:
    """A provider, and its transport."""
    transport = ScriptedTransport(answer)
    settings = ProviderSettings(api_key=Secret("sk-secret"))
    return kind(settings, transport), transport


def openai_answer(request: httpx.Request) -> dict[str, Any]:
    """One number for each text: its length; in reverse, as base64."""
    texts = msgspec.json.decode(request.content)["input"]
    data = [
        {"index": index, "embedding": b64encode(floats(len(text), 1)).decode()}
        for index, text in enumerate(texts)
    ]
    usage = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
    return {"json": {"data": data[::-1], "model": "e-1", "usage": usage}}


async def test_openai() -> None:
    """Base64 on the wire, packed floats here, in the order of the texts."""
    provider, transport = made(OpenAIChat, openai_answer)
    got = await provider.embed(Embed(model="e", texts=("a", "bbb"), dimensions=2), timeout=10)
    assert got.vectors == (floats(1, 1), floats(3, 1))
    assert (got.dimensions, got.model, got.provider) == (2, "e-1", "openai")
    assert got.usage == Usage(input_tokens=2)
    assert str(transport.requests[0].url) == "https://api.openai.com/v1/embeddings"
    assert msgspec.json.decode(transport.requests[0].content) == {
        "model": "e",
        "input": ["a", "bbb"],
        "encoding_format": "base64",
        "dimensions": 2,
    }


async def test_a_server_that_sends_numbers_all_the_same() -> None:
    """They are packed here; without usage it is estimated and says so."""
    data = {"data": [{"embedding": [1, 2.5]}]}
    provider, _ = made(OpenAIChat, [{"json": data}])
    got = await provider.embed(Embed(model="e", texts=("12345678",)), timeout=10)
    assert got.vectors == (floats(1, 2.5),)
    assert got.usage == Usage(input_tokens=2, measured=False)


async def test_gemini() -> None:
    """A batch of requests, each of which names the model."""
    body = {"embeddings": [{"values": [1, 2]}, {"values": [3, 4]}]}
    provider, transport = made(GeminiContent, [{"json": body}])
    got = await provider.embed(Embed(model="e", texts=("a", "b"), dimensions=2), timeout=10)
    assert got.vectors == (floats(1, 2), floats(3, 4))
    assert not got.usage.measured
    assert str(transport.requests[0].url).endswith("/v1beta/models/e:batchEmbedContents")
    first, _ = msgspec.json.decode(transport.requests[0].content)["requests"]
    assert first == {
        "model": "models/e",
        "content": {"parts": [{"text": "a"}]},
        "outputDimensionality": 2,
    }


async def test_ollama() -> None:
    """Its own path and its own count."""
    body = {"model": "e", "embeddings": [[1, 2]], "prompt_eval_count": 4}
    provider, transport = made(OllamaChat, [{"json": body}])
    got = await provider.embed(Embed(model="e", texts=("a",), dimensions=2), timeout=10)
    assert got.vectors == (floats(1, 2),)
    assert got.usage == Usage(input_tokens=4)
    assert transport.requests[0].url.path == "/api/embed"
    sent = msgspec.json.decode(transport.requests[0].content)
    assert sent == {"model": "e", "input": ["a"], "dimensions": 2}


async def test_many_texts_are_several_requests() -> None:
    """By their number and by their weight; a text is never lost and never split."""
    provider, transport = made(OpenAIChat, openai_answer)
    texts = tuple("x" * (number % 7) for number in range(2500))
    got = await provider.embed(Embed(model="e", texts=texts), timeout=10)
    assert got.vectors == tuple(floats(len(text), 1) for text in texts)
    assert got.usage == Usage(input_tokens=2500)
    assert len(transport.requests) == 3
    heavy = ("y" * 600_000, "z" * 600_000, "w")
    got = await provider.embed(Embed(model="e", texts=heavy), timeout=10)
    assert len(got.vectors) == 3
    assert len(transport.requests) == 5


async def test_no_texts() -> None:
    """Nothing is asked."""
    provider, transport = made(OpenAIChat, [])
    got = await provider.embed(Embed(model="e", texts=()), timeout=10)
    assert (got.vectors, got.dimensions, got.usage) == ((), 0, Usage())
    assert transport.requests == []


@pytest.mark.parametrize(
    "body",
    [
        {"data": []},
        {"data": [{"index": 0, "embedding": [1]}, {"index": 1, "embedding": [1, 2]}]},
        {"data": [{"index": 0, "embedding": [1]}] * 3},
        {"data": 1},
    ],
)
async def test_answers_that_do_not_fit(body: Any) -> None:
    """Too few, too many, of different lengths, or none: an error that knows whose it is."""
    provider, _ = made(OpenAIChat, [{"json": body}])
    with pytest.raises(ResponseError, match="openai:e") as caught:
        await provider.embed(Embed(model="e", texts=("a", "b")), timeout=10)
    assert (caught.value.provider, caught.value.model) == ("openai", "e")


async def test_refusals() -> None:
    """As for completions."""
    limited = {"status": 429, "json": {"error": {"message": "slow"}}}
    limited["headers"] = {"retry-after": "3"}
    unknown = {"status": 404, "json": {"error": {"message": "no"}}}
    inside = {"json": {"error": {"message": "sk-secret is busy", "code": 503}}}
    provider, _ = made(OpenAIChat, [limited, unknown, inside])
    request = Embed(model="e", texts=("a",))
    with pytest.raises(RateLimitError) as caught:
        await provider.embed(request, timeout=10)
    assert (caught.value.retryable, caught.value.retry_after) == (True, 3)
    with pytest.raises(BadRequestError):
        await provider.embed(request, timeout=10)
    with pytest.raises(ServerError, match=r"^openai:e: \*\*\* is busy"):
        await provider.embed(request, timeout=10)


async def test_the_deadline_is_for_all_requests() -> None:
    """It passes between them too."""
    waiting: list[Awaitable[None]] = []

    async def slow(request: httpx.Request) -> dict[str, Any]:
        await asyncio.Event().wait() if waiting else waiting.append(asyncio.sleep(0))
        return openai_answer(request)

    provider, transport = made(OpenAIChat, slow)
    with pytest.raises(DeadlineExceededError):
        await provider.embed(Embed(model="e", texts=("a",) * 1500), timeout=0.05)
    await waiting[0]
    assert len(transport.requests) == 2
