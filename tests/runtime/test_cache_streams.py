"""Streams of answers that are kept: replayed, followed while they are made, or too long."""

import asyncio
from typing import Any

import pytest
from tests.conftest import turns

from understudy import Agent, Runtime, StreamError, TextDelta
from understudy.messages.chat import Message
from understudy.testing import FakeModel

pytestmark = pytest.mark.anyio


def test_a_streamed_answer_is_replayed_chunk_by_chunk() -> None:
    """The copy is taken while it runs; what comes again comes in the same pieces."""
    fake = FakeModel(lambda _: iter(["one ", "two ", "three"]))
    agent = Agent(fake, cache="10m")
    with Runtime() as rt:
        said = []
        for _ in range(2):
            with rt.stream(agent, "q", flush_interval=0) as stream:
                chunks = list(stream)
                said.append([each.delta for each in chunks if isinstance(each, TextDelta)])
            assert stream.result.text == "one two three"
        assert stream.result.cached is not None
        assert stream.result.time_to_first_token is not None
        assert rt.run(agent, "q").output == "one two three"
    assert said == [["one ", "two ", "three"]] * 2
    assert len(fake.requests) == 1


def test_an_answer_that_was_not_streamed_is_streamed_from_the_cache() -> None:
    """And the other way round: one entry for both."""
    fake = FakeModel(["whole"])
    agent = Agent(fake, cache="10m")
    with Runtime() as rt:
        rt.run(agent, "q")
        with rt.stream(agent, "q") as stream:
            assert stream.collect() == "whole"


@pytest.mark.parametrize("retain", ["tail", "none"])
def test_streams_that_keep_little_are_not_copied(retain: Any) -> None:
    """Whoever does not want the text in memory does not get it there by the cache."""
    fake = FakeModel.echo()
    agent = Agent(fake, cache="10m")
    with Runtime() as rt:
        for _ in range(2):
            with rt.stream(agent, "q", retain=retain) as stream:
                assert stream.collect() == "echo: q"
        assert len(fake.requests) == 2


async def test_followers_read_a_stream_while_it_is_made() -> None:
    """From its beginning, at their own pace; also when whoever began it has gone."""
    steps = [asyncio.Event() for _ in range(3)]

    async def speak(messages: tuple[Message, ...]) -> Any:
        async def tokens() -> Any:
            for number, step in enumerate(steps):
                yield f"{number} "
                await step.wait()

        return tokens()

    async with Runtime() as rt:
        fake = FakeModel(speak)
        agent = Agent(fake, cache="10m")
        first = rt.stream(agent, "q", flush_interval=0)
        async with rt.stream(agent, "q", flush_interval=0) as second:
            heard = []
            await turns()
            async for chunk in second:
                if isinstance(chunk, TextDelta):
                    heard.append(chunk.delta)
                    if len(heard) == 1:
                        first.cancel()
                        await turns()
                    steps[len(heard) - 1].set()
            assert heard == ["0 ", "1 ", "2 "]
            assert second.result.text == "0 1 2 "
        assert len(fake.requests) == 1
        assert (await rt.arun(agent, "q")).output == "0 1 2 "


async def test_a_stream_that_is_longer_than_its_copy_may_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its owner has all of it, who follows is told, and what is kept has no pieces."""
    monkeypatch.setattr("understudy.actors.caches.tee.LIMIT", 10)
    go = asyncio.Event()

    async def speak(messages: tuple[Message, ...]) -> Any:
        async def tokens() -> Any:
            yield "12345 "
            await go.wait()
            yield "67890 "
            yield "end"

        return tokens()

    async with Runtime() as rt:
        agent = Agent(FakeModel(speak), cache="10m")
        async with (
            rt.stream(agent, "q", flush_interval=0) as owner,
            rt.stream(agent, "q", flush_interval=0) as follower,
        ):
            await turns()
            go.set()
            assert await owner.acollect() == "12345 67890 end"
            with pytest.raises(StreamError) as caught:
                await follower.acollect()
            assert caught.value.reason == "lagged"
        async with rt.stream(agent, "q", flush_interval=0) as again:
            said = [chunk.delta async for chunk in again if isinstance(chunk, TextDelta)]
        assert said == ["12345 67890 end"]
