"""Agents over real sockets: every protocol whole, streamed, with tools, and through every fault."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from understudy import (
    Agent,
    ConnectError,
    DeadlineExceededError,
    RateLimitError,
    ResponseError,
    Runtime,
    ServerError,
    StreamBrokenError,
    UnderstudyError,
    Usage,
)
from understudy.actors.models.transport import LeasedTransport
from understudy.testing import ProviderServer, assert_quiet, call
from understudy.testing.provider_server import NAMED

pytestmark = pytest.mark.anyio

PROVIDERS = ("openai", "openai-responses", "anthropic", "ollama")
ENDS: dict[str, type[UnderstudyError] | None] = {
    "reset": ConnectError,
    "reset-body": StreamBrokenError,
    "truncate": StreamBrokenError,
    "bad-chunk": StreamBrokenError,
    "blackhole": DeadlineExceededError,
    "drip": None,
    "status-429": RateLimitError,
    "status-500": ServerError,
    "status-503": ServerError,
    "status-529": ServerError,
    "malformed": ResponseError,
    "html": ResponseError,
    "bad-utf8": ResponseError,
    "huge": ResponseError,
    "stream-error": ServerError,
}
"""How each fault ends; None: with the answer."""


@pytest.fixture
async def rt() -> AsyncIterator[Runtime]:
    """A runtime hosted here; in the end it was quiet, and no socket is left."""
    transport = LeasedTransport()
    async with Runtime(name="providers", transport=transport, seed=7) as hosted:
        yield hosted
    assert transport.stats.lent == 0
    await transport.aclose()
    assert transport.stats.open == 0
    assert_quiet(hosted)


def agent(server: ProviderServer, provider: str, model: str = "m", **options: Any) -> Agent:
    """An agent of that protocol; each model has an account, and so a breaker, of its own."""
    url = server.base_url if provider.startswith("openai") else server.url
    return Agent(f"{provider}:{model}", base_url=url, api_key=f"key-{model}", **options)


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_text_and_usage(rt: Runtime, provider: str) -> None:
    """Whole and streamed say and cost the same, over one connection."""
    async with ProviderServer() as server:
        asking = agent(server, provider, instructions="be terse")
        whole = await asking.arun("one two three", runtime=rt)
        async with asking.astream("one two three", runtime=rt, flush_interval=0) as stream:
            pieces = [chunk.delta async for chunk in stream if chunk.delta]
        streamed = await stream.await_result()
        for result in (whole, streamed):
            assert (result.output, result.finish_reason) == ("echo: one two three", "stop")
            assert result.usage == Usage(input_tokens=5, output_tokens=4)
            assert (result.provider, result.attempts) == (provider, 1)
        assert "".join(pieces) == whole.output
        assert server.connections.total == 1


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_tools(rt: Runtime, provider: str, *, stream: bool) -> None:
    """Two calls of one turn are made, and what they gave goes back in the protocol's form."""

    def weather(city: str, days: int = 1) -> str:
        """Tell the weather."""
        return f"{city}: sun for {days}"

    turn = [call("weather", city="Köln"), call("weather", city="Rom", days=2)]
    async with ProviderServer([turn, "Sunny."]) as server:
        asking = agent(server, provider, tools=[weather])
        if stream:
            async with asking.astream("weather?", runtime=rt) as streaming:
                result = await streaming.await_result()
        else:
            result = await asking.arun("weather?", runtime=rt)
        assert result.output == "Sunny."
        assert [made.result for made in result.tool_calls] == ["Köln: sun for 1", "Rom: sun for 2"]
        assert "Rom: sun for 2" in str(server.requests[1].json)


async def test_no_log_has_the_key_or_the_prompt(
    rt: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    """Not at DEBUG, of no library beneath, also where a call fails."""
    with caplog.at_level(logging.DEBUG):
        async with ProviderServer() as server:
            for provider in PROVIDERS:
                await agent(server, provider, "sk-4711").arun("my PIN is 0815", runtime=rt)
                broken = agent(server, provider, "fault-malformed", retries=0)
                with pytest.raises(ResponseError):
                    await broken.arun("my PIN is 0815", runtime=rt)
    told = "".join(f"{record.getMessage()}{record.exc_text}" for record in caplog.records)
    assert told
    assert "key-" not in told
    assert "0815" not in told


@pytest.mark.parametrize("fault", ENDS)
async def test_each_fault_is_one_error(rt: Runtime, fault: str) -> None:
    """The same for every protocol, whole and streamed; nothing hangs, no socket stays open."""
    expected = ENDS[fault]
    patience = 0.3 if fault == "blackhole" else 60
    cases = [(provider, stream) for provider in PROVIDERS for stream in (False, True)]
    async with ProviderServer() as server:
        asking = [agent(server, name, f"fault-{fault}", timeout=patience) for name, _ in cases]
        ended = await asyncio.gather(
            *(
                _end(each, rt, expected, stream=stream)
                for each, (_, stream) in zip(asking, cases, strict=True)
            )
        )
        # What is open is kept for the next request.
        await server.auntil(lambda seen: seen.connections.open <= len(cases))
    assert dict(zip(cases, ended, strict=True)) == dict.fromkeys(cases, expected)


async def _end(
    asking: Agent, rt: Runtime, expected: type[UnderstudyError] | None, *, stream: bool
) -> type[BaseException] | None:
    """The expected leaf if the call ended so, else what it raised."""
    try:
        if stream:
            async with asking.astream("say this", runtime=rt) as streaming:
                await streaming.await_result()
        else:
            await asking.arun("say this", runtime=rt)
    except UnderstudyError as error:
        known = expected is not None and isinstance(error, expected) and not error.retryable
        return expected if known else type(error)
    return None


def test_no_fault_is_forgotten() -> None:
    """Every named fault is in the table, or has a test of its own below."""
    assert set(ENDS) == set(NAMED) - {"refuse"}


async def test_nobody_listens_and_then_somebody_does(rt: Runtime) -> None:
    """A refused connection is tried again, and the answer comes when the server is back."""
    async with ProviderServer(faults=[NAMED["refuse"]]) as server:
        result = await agent(server, "anthropic").arun("hello", runtime=rt)
        assert result.output == "echo: hello"
        assert result.attempts > 1


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_fault_of_the_moment_is_survived(rt: Runtime, provider: str) -> None:
    """What may help is tried again, and the result says how often."""
    faults = [NAMED["status-503"], NAMED["status-429"]]
    async with ProviderServer(faults=faults) as server:
        result = await agent(server, provider).arun("hello", runtime=rt)
        assert (result.output, result.attempts) == ("echo: hello", 3)


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_leaving_closes_the_socket(rt: Runtime, provider: str) -> None:
    """A stream that is left early, so that the provider stops writing."""
    async with ProviderServer("word " * 1000, tokens_per_second=100) as server:
        async with agent(server, provider).astream("go on", runtime=rt) as stream:
            async for chunk in stream:
                if chunk.delta:
                    break
        await server.auntil(lambda seen: seen.stats.disconnected == 1)
        await server.auntil(lambda seen: seen.connections.open == 0)
