"""Calls in OpenAI's dialect, and what every error of one promises."""

import contextlib
import pickle
import traceback

import httpx
import pytest

from understudy.actors.models.openai import OpenAIChat
from understudy.actors.models.provider import Piece, ProviderSettings
from understudy.messages.chat import UserMessage
from understudy.messages.errors import ModelError
from understudy.messages.models import Complete
from understudy.messages.secrets import Secret

KEY = "sk-very-secret-key"
ASK = Complete(model="m", messages=(UserMessage(content="one two three"),))


def chat(
    transport: httpx.AsyncBaseTransport, base_url: str | None, **settings: float
) -> OpenAIChat:
    """OpenAI's dialect at that address, with a key."""
    made = ProviderSettings(base_url=base_url, api_key=Secret(KEY), **settings)  # type: ignore[arg-type]
    return OpenAIChat(made, transport)


async def pieces(
    provider: OpenAIChat, request: Complete = ASK, *, timeout: float = 10
) -> list[Piece]:
    """All that a stream yields."""
    async with contextlib.aclosing(provider.stream(request, timeout=timeout)) as stream:
        return [piece async for piece in stream]


async def failure(provider: OpenAIChat, *, stream: bool = False) -> ModelError:
    """The error of a call that must fail, checked for what every error promises."""
    with pytest.raises(ModelError) as caught:
        await (pieces(provider) if stream else provider.complete(ASK, timeout=10))
    error = caught.value
    assert (error.provider, error.model) == ("openai", "m")
    assert KEY not in "".join(traceback.format_exception(error))
    assert KEY.encode() not in pickle.dumps(error)
    return error
