import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

from understudy import (
    Agent,
    ConfigError,
    Message,
    ReaderLagged,
    RunCancelledError,
    Runtime,
    RuntimeStoppedError,
    StreamError,
    StreamFailed,
    StreamIdled,
    StreamStats,
)
from understudy.actors.streams.emitter import LiveStream
from understudy.messages.streams import CancelStream, ListStreams, Subscribe
from understudy.testing import FakeModel, ManualClock, assert_quiet

if TYPE_CHECKING:
    from tests.conftest import Gate

pytestmark = pytest.mark.anyio


async def settle(rt: Runtime) -> None:
    """Everything that the clock has rung was handled."""
    for _ in range(3):
        await asyncio.sleep(0)
    await rt.crew.streams.emitter.request(ListStreams())


async def endless(messages: tuple[Message, ...]) -> AsyncIterator[str]:
    """A model that goes on as long as somebody reads."""
    while True:
        yield "word "


async def test_a_stream_that_nobody_reads_is_cancelled() -> None:
    """After the configured time, with an error that says so; its events tell it."""
    clock = ManualClock()
    events: list[StreamIdled] = []
    async with Runtime(clock=clock) as rt:
        rt.events.subscribe(StreamIdled, events.append)
        stream = rt.stream(Agent(FakeModel(endless)), "?", timeout=100_000)
        for _ in range(8):
            clock.advance(75)
            await settle(rt)
            await anext(aiter(stream))  # as long as somebody reads it goes on
        assert not stream._run.reply.done
        for _ in range(5):
            clock.advance(75)
            await settle(rt)
        assert stream._run.status == "cancelled"
        chunks = [chunk async for chunk in stream]
        failed = chunks[-2]
        assert isinstance(failed, StreamFailed)
        assert isinstance(failed.error, StreamError)
        with pytest.raises(StreamError, match="nobody has read this stream for 300") as caught:
            _ = stream.result
        assert caught.value.reason == "idle"
        assert caught.value.partial.startswith("word ")
        assert rt.events.flush(10)
    assert [event.run_id for event in events] == [stream.run_id]


async def test_one_who_waits_for_a_slow_model_is_no_idle_reader(gate: "Gate") -> None:
    """Waiting is reading, for however long the model thinks."""
    clock = ManualClock()
    async with Runtime(clock=clock) as rt:
        agent = Agent(FakeModel(gate), timeout=100_000)
        async with rt.stream(agent, "?") as stream:
            reading = asyncio.ensure_future(stream.await_result())
            await gate.auntil(waiting=1)
            for _ in range(20):
                clock.advance(75)
                await settle(rt)
            gate.open("at last")
            assert (await reading).output == "at last"
    assert_quiet(rt)


async def test_a_wait_that_was_given_up_is_no_reading(gate: "Gate") -> None:
    """A reader that was cancelled and never came back does not keep the stream alive."""
    clock = ManualClock()
    async with Runtime(clock=clock) as rt:
        stream = rt.stream(Agent(FakeModel(gate)), "?")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(stream.await_result(), 0.01)
        for _ in range(6):
            clock.advance(75)
            await settle(rt)
        await gate.auntil(cancelled=gate.arrived)
        with pytest.raises(StreamError):
            _ = stream.result


async def test_reading_along_by_the_id_of_a_run() -> None:
    """The Emitter gives a reader of the window, lists what is open, and cancels."""
    async with Runtime() as rt:
        emitter = rt.crew.streams.emitter
        async with rt.stream(Agent(FakeModel(endless)), "?") as stream:
            async for chunk in stream:
                if chunk.index >= 3:
                    break
            reader = await emitter.request(Subscribe(run_id=stream.run_id, after=1))
            assert (await reader.anext_batch())[0].index >= 2
            stats = await emitter.request(ListStreams())
            assert list(stats) == [stream.run_id]
            assert isinstance(stats[stream.run_id], StreamStats)
            assert stats[stream.run_id].readers == 2
            assert await emitter.request(CancelStream(run_id=stream.run_id)) is True
            with pytest.raises(RunCancelledError):
                await stream
        assert await emitter.request(ListStreams()) == {}
        assert await emitter.request(CancelStream(run_id=stream.run_id)) is False
        with pytest.raises(ConfigError, match="no open stream of a run 'nobody'"):
            await emitter.request(Subscribe(run_id="nobody"))
    assert_quiet(rt)


async def test_a_reader_that_lags_is_an_event() -> None:
    """Who fell out of the window, and how much it missed."""
    events: list[ReaderLagged] = []
    async with Runtime() as rt:
        rt.events.subscribe(ReaderLagged, events.append)
        agent = Agent(FakeModel(lambda _: ["x"] * 5000))
        async with rt.stream(agent, "?", flush_interval=0) as stream:
            slow = stream.subscribe()
            await stream
            with pytest.raises(StreamError, match="behind the window"):
                await slow.await_result()
            assert stream.stats.dropped > 4000
        assert rt.events.flush(10)
    assert [event.run_id for event in events] == [stream.run_id]
    assert events[0].missed == stream.stats.dropped


async def test_the_register_survives_the_actor() -> None:
    """After a restart the open streams are still known, and still looked after."""
    clock = ManualClock()
    async with Runtime(clock=clock) as rt:
        emitter = rt.crew.streams.emitter
        stream = rt.stream(Agent(FakeModel(endless)), "?")
        await settle(rt)
        await emitter.restart()
        assert list(await emitter.request(ListStreams())) == [stream.run_id]
        for _ in range(6):
            clock.advance(75)
            await settle(rt)
        assert isinstance(stream._buffer.error, StreamError)


async def test_a_stream_is_looked_after_that_opens_beside_an_old_one() -> None:
    """One that has ended and is still held does not keep the watch from beginning again."""
    clock = ManualClock()
    async with Runtime(clock=clock) as rt:
        old = rt.stream(Agent(FakeModel(["done"])), "?")
        await old
        for _ in range(3):
            clock.advance(75)
            await settle(rt)
        new = rt.stream(Agent(FakeModel(endless)), "?")
        for _ in range(6):
            clock.advance(75)
            await settle(rt)
        assert isinstance(new._buffer.error, StreamError)
        assert old.result.output == "done"


async def test_the_end_of_the_runtime_is_the_end_of_its_streams() -> None:
    """Whoever still holds one that no run ends any more gets the error and the end."""
    from understudy.actors.streams.joining import make_buffer
    from understudy.messages.streams import StreamOptions

    async with Runtime() as rt:
        streams = rt.crew.streams
        buffer = make_buffer(StreamOptions(), rt.system)
        streams.emitter  # noqa: B018 - makes it
        streams._register["x"] = LiveStream("x", buffer, lambda: None, 0, 0.0)
    assert isinstance(buffer.error, RuntimeStoppedError)
