"""Chat completions that take too long, or that nobody waits for: deadlines, silence, leaving."""

import asyncio
import contextlib

import pytest
from tests.actors.models.openai_chat import ASK, chat, failure, pieces

from understudy.actors.models.transport import LeasedTransport
from understudy.messages.errors import DeadlineExceededError, ServerError, StreamBrokenError
from understudy.testing.provider_server import Blackhole, ProviderServer

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("stream", [True, False])
async def test_the_deadline(transport: LeasedTransport, *, stream: bool) -> None:
    """It bounds the wait for the head and the whole of a stream, and closes the socket."""
    async with ProviderServer(faults=[Blackhole()]) as server:
        provider = chat(transport, server.base_url)
        call = pieces(provider, timeout=0.01) if stream else provider.complete(ASK, timeout=0.01)
        with pytest.raises(DeadlineExceededError):
            await call
        await server.auntil(lambda seen: seen.connections.open == 0)


async def test_the_deadline_inside_a_stream(transport: LeasedTransport) -> None:
    """A stream that goes on for ever ends in time, with what had come."""
    async with ProviderServer(lambda _: "word " * 1000, tokens_per_second=200) as server:
        with pytest.raises(DeadlineExceededError) as caught:
            await pieces(chat(transport, server.base_url), timeout=0.3)
        assert caught.value.partial.startswith("word word")
        assert server.connections.total == 1


async def test_silence_before_the_head(transport: LeasedTransport) -> None:
    """It is the server's failure, not the deadline's, and may be repeated."""
    async with ProviderServer(faults=[Blackhole()]) as server:
        provider = chat(transport, server.base_url, first_byte_timeout=0.001, connect_timeout=0.3)
        error = await failure(provider)
        assert (type(error), error.retryable) == (ServerError, True)


async def test_silence_inside_a_stream(transport: LeasedTransport) -> None:
    """It breaks the stream."""
    async with ProviderServer(tokens_per_second=0.01) as server:
        error = await failure(chat(transport, server.base_url, idle_timeout=0.05), stream=True)
        assert type(error) is StreamBrokenError
        assert error.partial == "echo:"


async def test_leaving_a_stream_stops_the_server(transport: LeasedTransport) -> None:
    """Closing the generator closes the socket."""
    async with ProviderServer(lambda _: "word " * 1000, tokens_per_second=100) as server:
        async with contextlib.aclosing(
            chat(transport, server.base_url).stream(ASK, timeout=10)
        ) as stream:
            await anext(stream)
        await server.auntil(lambda seen: seen.requests[0].outcome == "disconnected")
        await server.auntil(lambda seen: seen.connections.open == 0)


async def test_cancelling_a_call_stops_the_server(transport: LeasedTransport) -> None:
    """The same for a task that is cancelled inside."""
    async with ProviderServer(faults=[Blackhole()]) as server:
        task = asyncio.create_task(chat(transport, server.base_url).complete(ASK, timeout=10))
        await server.auntil(lambda seen: bool(seen.requests))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.auntil(lambda seen: seen.connections.open == 0)
