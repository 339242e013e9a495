import asyncio
import gc
import threading
import warnings
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

from understudy import (
    Agent,
    AgentFinished,
    AgentStarted,
    ConfigError,
    DeadlineExceededError,
    Message,
    Metadata,
    RunCancelledError,
    Runtime,
    ServerError,
    Stream,
    StreamBrokenError,
    StreamEnd,
    StreamFailed,
    TextDelta,
    UnderstudyError,
)
from understudy.testing import FakeModel, ProviderServer, assert_quiet
from understudy.testing.provider_server import Truncate

if TYPE_CHECKING:
    from tests.conftest import Gate

    from understudy.messages.control import ActorNode

pytestmark = pytest.mark.anyio


def numbers(count: int) -> Agent:
    """An agent that counts, a token a number."""
    return Agent(FakeModel(lambda _: [f"{n} " for n in range(count)]), name="counter")


def test_chunks_come_in_order_and_complete(runtime: Runtime) -> None:
    """Started, text, finished, end: numbered without gaps, timed, and then the result."""
    with numbers(5).stream("?", runtime=runtime, flush_interval=0) as stream:
        chunks = list(stream)
    kinds = [type(chunk) for chunk in chunks]
    assert kinds == [AgentStarted, *[TextDelta] * 5, Metadata, AgentFinished, StreamEnd]
    assert [chunk.index for chunk in chunks] == list(range(9))
    assert sorted(chunk.at for chunk in chunks) == [chunk.at for chunk in chunks]
    assert "".join(chunk.delta for chunk in chunks) == "0 1 2 3 4 "
    result = stream.result
    assert result.output == "0 1 2 3 4 "
    assert result.time_to_first_token is not None
    assert isinstance(chunks[0], AgentStarted)
    assert isinstance(chunks[-2], AgentFinished)
    assert (chunks[0].name, chunks[0].run_id) == ("counter", result.run_id)
    assert chunks[-2].usage == result.usage


async def test_the_async_twins() -> None:
    """`async with` and `async for` give the same on the runtime's own loop."""
    async with Runtime() as rt:
        async with numbers(200).astream("?", buffer_size=3) as stream:
            texts = [chunk.delta async for chunk in stream]
        assert "".join(texts) == stream.result.output
        async with numbers(3).astream("?") as stream:
            assert (await stream.await_result()).output == "0 1 2 "
    assert_quiet(rt)


def test_text_collect_and_wait(runtime: Runtime) -> None:
    """The readers that only want text need no match, and wait() never hangs."""
    agent = numbers(300)
    with agent.stream("?", runtime=runtime, buffer_size=2, flush_interval=0) as stream:
        assert list(stream.text()) == [f"{n} " for n in range(300)]
    with agent.stream("?", runtime=runtime, buffer_size=2) as stream:
        assert stream.collect().endswith("298 299 ")
    with agent.stream("?", runtime=runtime, buffer_size=2) as stream:
        assert stream.wait().output == stream.result.output
        assert stream.wait() is stream.result


@pytest.mark.parametrize("size", [1, 3, 100])
def test_the_producer_waits_for_the_reader(runtime: Runtime, size: int) -> None:
    """At most `buffer_size` chunks are ahead of the reader, whoever is faster."""
    made = 0
    lock = threading.Lock()

    async def endless(messages: tuple[Message, ...]) -> AsyncIterator[str]:
        nonlocal made
        while True:
            with lock:
                made += 1
            yield f"{made}"

    agent = Agent(FakeModel(endless))
    with agent.stream("?", runtime=runtime, buffer_size=size, flush_interval=0) as stream:
        for read, _ in enumerate(stream, start=1):
            assert made <= read + size
            if read == 500:
                break
    with pytest.raises(RunCancelledError):
        _ = stream.result


def test_a_buffer_without_room_is_refused(runtime: Runtime) -> None:
    """A stream needs room for one chunk."""
    with pytest.raises(ConfigError, match="buffer_size=0"):
        numbers(1).stream("?", runtime=runtime, buffer_size=0)


def test_a_failed_stream_says_so_and_ends(runtime: Runtime) -> None:
    """The loop over chunks does not raise; the result does, with the text that had arrived."""

    async def breaks(messages: tuple[Message, ...]) -> AsyncIterator[str]:
        yield "half "
        yield "an answer"
        raise ServerError("down")

    agent = Agent(FakeModel(breaks))
    with agent.stream("?", runtime=runtime, flush_interval=0) as stream:
        chunks = list(stream)
    assert [type(chunk) for chunk in chunks[-2:]] == [StreamFailed, StreamEnd]
    assert isinstance(chunks[-2], StreamFailed)
    assert isinstance(chunks[-2].error, ServerError)
    assert [chunk.index for chunk in chunks] == list(range(len(chunks)))
    for read in (lambda: stream.result, stream.wait, stream.collect):
        with pytest.raises(ServerError) as caught:
            read()
        assert caught.value.partial == "half an answer"
    with agent.stream("?", runtime=runtime) as stream, pytest.raises(ServerError):
        list(stream.text())


def test_a_full_buffer_does_not_keep_the_failure_back(runtime: Runtime) -> None:
    """Failure and end are delivered behind the text, whether there is room or not."""

    async def breaks(messages: tuple[Message, ...]) -> AsyncIterator[str]:
        yield "one"
        raise ServerError("down")

    with Agent(FakeModel(breaks)).stream("?", runtime=runtime, buffer_size=1) as stream:
        kinds = [type(chunk) for chunk in stream]
    assert kinds == [AgentStarted, TextDelta, StreamFailed, StreamEnd]


def test_a_timeout_ends_a_stream(runtime: Runtime, gate: "Gate") -> None:
    """The run's timeout holds for streams too, and its error is the stream's."""
    agent = Agent(FakeModel(gate))
    with agent.stream("?", runtime=runtime, timeout=0.05) as stream:
        chunks = list(stream)
    assert isinstance(chunks[-2], StreamFailed)
    assert isinstance(chunks[-2].error, DeadlineExceededError)
    with pytest.raises(DeadlineExceededError):
        _ = stream.result
    gate.until(cancelled=gate.arrived)  # on a busy machine it may end before it arrives


def test_the_result_before_the_end_is_an_error(runtime: Runtime, gate: "Gate") -> None:
    """Asking early says what to do."""
    with Agent(FakeModel(gate)).stream("?", runtime=runtime) as stream:
        with pytest.raises(UnderstudyError, match="has not ended: read it to the end"):
            _ = stream.result
        gate.until(waiting=1)
        gate.open("now")
        assert stream.collect() == "now"


def test_leaving_early_closes_the_socket() -> None:
    """Who stops reading stops paying: the provider sees the connection close; the text is kept."""
    with Runtime() as rt, ProviderServer(["word " * 1000], tokens_per_second=200.0) as server:
        agent = Agent("openai-compatible:m", base_url=server.base_url)
        with agent.stream("?", runtime=rt) as stream:
            for chunk in stream:
                if chunk.delta:
                    break
        server.until(lambda s: s.requests[0].outcome == "disconnected")
        server.until(lambda s: s.connections.open == 0)
        with pytest.raises(RunCancelledError) as caught:
            _ = stream.result
        assert caught.value.partial.startswith("word")
    assert_quiet(rt)


async def test_leaving_early_on_the_loop_closes_the_socket() -> None:
    """The same for `async with`, also when an exception or a cancel leaves it."""
    async with ProviderServer(lambda _: "word " * 1000, tokens_per_second=200.0) as server:
        agent = Agent("openai-compatible:m", base_url=server.base_url)
        async with Runtime() as rt:
            with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the block is the test
                async with agent.astream("?") as stream:
                    async for chunk in stream:
                        if chunk.delta:
                            raise ZeroDivisionError
            await server.auntil(lambda s: s.requests[0].outcome == "disconnected")

            reading = asyncio.ensure_future(_read(agent))
            await server.auntil(lambda s: len(s.requests) == 2)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            await server.auntil(lambda s: s.requests[1].outcome == "disconnected")
        assert_quiet(rt)


async def _read(agent: Agent) -> None:
    async with agent.astream("?") as stream:
        async for _ in stream:
            pass


def test_cancel_ends_the_stream(runtime: Runtime, gate: "Gate") -> None:
    """`stream.cancel()` from elsewhere ends the loop over chunks."""
    with Agent(FakeModel(gate)).stream("?", runtime=runtime) as stream:
        gate.until(waiting=1)
        threading.Thread(target=stream.cancel).start()
        chunks = list(stream)
    assert [type(chunk) for chunk in chunks[-2:]] == [StreamFailed, StreamEnd]
    gate.until(cancelled=1)


async def test_a_reader_that_gave_up_waiting_can_read_on(gate: "Gate") -> None:
    """A cancelled wait for the next chunk loses nothing: the stream can be read again."""
    agent = Agent(FakeModel(gate))
    async with Runtime() as rt, agent.astream("?", runtime=rt) as stream:
        await gate.auntil(waiting=1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(_drain(stream), 0.01)
        gate.open("still there")
        assert (await stream.await_result()).output == "still there"


async def _drain(stream: Stream[str]) -> None:
    async for _ in stream:
        pass


def test_an_abandoned_stream_warns_and_ends_its_run(runtime: Runtime, gate: "Gate") -> None:
    """A stream dropped without closing is cancelled by its finaliser, which says so."""
    stream = Agent(FakeModel(gate)).stream("?", runtime=runtime)
    gate.until(waiting=1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del stream
        gc.collect()
    assert [str(w.message) for w in caught if w.category is ResourceWarning] == [
        "a stream was dropped without being closed; use `with agent.stream(...)`"
    ]
    gate.until(cancelled=1)


def test_a_closed_stream_does_not_warn(runtime: Runtime) -> None:
    """One that was read or left properly is dropped in silence."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with numbers(3).stream("?", runtime=runtime) as stream:
            list(stream)
        with numbers(3).stream("?", runtime=runtime) as stream:
            pass
        del stream
        gc.collect()


def test_a_stream_that_the_provider_breaks_off_is_a_failure() -> None:
    """The end of the body before the end of the answer is an error with the text so far."""
    with Runtime() as rt, ProviderServer(["one two three"], faults=[Truncate(after=2)]) as server:
        agent = Agent("openai-compatible:m", base_url=server.base_url)
        with agent.stream("?", runtime=rt) as stream:
            kinds = [type(chunk) for chunk in stream]
        assert kinds[-2:] == [StreamFailed, StreamEnd]
        with pytest.raises(StreamBrokenError) as caught:
            _ = stream.result
    assert str(caught.value.partial).startswith("one")


async def test_streams_that_are_left_leave_nothing() -> None:
    """After the first chunk: no run, no task, no thread and no socket is left of any of them."""
    async with ProviderServer(lambda _: "word " * 1000, tokens_per_second=200.0) as server:
        agent = Agent("openai-compatible:m", base_url=server.base_url)
        async with Runtime() as rt:
            async with agent.astream("?") as stream:  # makes what is made once
                await anext(aiter(stream))
            await server.auntil(lambda s: s.connections.open == 0)
            before = {thread.ident for thread in threading.enumerate()}

            async def look() -> None:
                async with agent.astream("?") as stream:
                    async for chunk in stream:
                        if chunk.delta:
                            return

            await asyncio.gather(*(look() for _ in range(40)))
            await server.auntil(lambda s: s.connections.open == 0)
            await server.auntil(lambda s: all(r.outcome == "disconnected" for r in s.requests))
            async with asyncio.timeout(10):
                while _busy(rt):  # noqa: ASYNC110 - cancelled work takes a few turns to end
                    await asyncio.sleep(0)
            assert {thread.ident for thread in threading.enumerate()} <= before
            assert not rt._open_runs
            assert not rt.crew.streams._register
        assert_quiet(rt)


def _busy(rt: Runtime) -> "list[ActorNode]":
    """The actors that have a message in hand or work in the background."""
    found, nodes = [], [rt.tree()]
    while nodes:
        node = nodes.pop()
        nodes += node.children
        if node.current is not None or node.background:
            found.append(node)
    return found


async def test_leaving_cancels_before_anything_else_can_happen(gate: "Gate") -> None:
    """When the block is left the run has been cancelled: there is no time in which it goes on."""
    async with Runtime() as rt:
        async with rt.stream(Agent(FakeModel(gate)), "?") as stream:
            await gate.auntil(waiting=1)
        assert stream._run.status == "cancelled"
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert gate.cancelled == 1
