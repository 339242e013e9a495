"""Streams in other forms, and how they are buffered."""

import asyncio
import io
import json
import queue
import threading
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

import pytest

from understudy import (
    Actor,
    Agent,
    ConfigError,
    Message,
    RunCancelledError,
    Runtime,
    ServerError,
    Stream,
    StreamEnd,
    StreamFailed,
    TextDelta,
    WouldDeadlockError,
    collect_stream,
    sse_events,
    stream_to_queue,
)
from understudy.testing import FakeModel, SimRuntime, assert_quiet

if TYPE_CHECKING:
    from tests.conftest import Gate

pytestmark = pytest.mark.anyio

LINES = ["one\n", "two ", "and a half\nth", "ree"]


def lines() -> Agent:
    """An agent that says `LINES`."""
    return Agent(FakeModel(lambda _: LINES))


def broken() -> Agent:
    """An agent that breaks off."""

    async def breaks(messages: tuple[Message, ...]) -> AsyncIterator[str]:
        yield "half "
        yield "an answer"
        raise ServerError("down")

    return Agent(FakeModel(breaks))


async def endless(messages: tuple[Message, ...]) -> AsyncIterator[str]:
    """A model that goes on as long as somebody reads."""
    while True:
        yield "word "


# -- text ------------------------------------------------------------------------------------------


async def test_the_async_twins_of_text() -> None:
    """`atext`, `acollect` and `await stream` give what their twins give."""
    async with Runtime() as rt:
        async with lines().astream("?", flush_interval=0) as stream:
            assert [text async for text in stream.atext()] == LINES
        async with lines().astream("?") as stream:
            assert await stream.acollect() == "".join(LINES)
        async with lines().astream("?") as stream:
            assert (await stream).output == "".join(LINES)
        async with broken().astream("?") as stream:
            with pytest.raises(ServerError) as caught:
                await stream.acollect()
            assert caught.value.partial == "half an answer"
    assert_quiet(rt)


def test_collect_is_the_whole_text_whoever_has_read_before(runtime: Runtime) -> None:
    """What was read already is there too; the function of the module is the same."""
    with lines().stream("?", runtime=runtime, flush_interval=0) as stream:
        assert next(stream.text()) == "one\n"
        assert stream.collect() == "".join(LINES)
    with lines().stream("?", runtime=runtime) as stream:
        assert collect_stream(stream) == "".join(LINES)


def test_a_file_of_its_text(runtime: Runtime) -> None:
    """Read by size, by line or as a whole, like any text file."""
    with lines().stream("?", runtime=runtime) as stream:
        file = stream.as_reader()
        assert isinstance(file, io.TextIOBase)
        assert file.readable()
        assert (file.read(2), file.read(3), file.readline()) == ("on", "e\nt", "wo and a half\n")
        assert file.readline(2) == "th"
        assert (file.read(), file.read(), file.readline()) == ("ree", "", "")
    with lines().stream("?", runtime=runtime) as stream:
        assert list(stream.as_reader()) == ["one\n", "two and a half\n", "three"]


def test_a_file_raises_what_the_run_failed_with(runtime: Runtime) -> None:
    """The text that came is read, then the error: a cut file is not taken for a whole one."""
    with broken().stream("?", runtime=runtime) as stream:
        file = stream.as_reader()
        assert file.read(14) == "half an answer"
        with pytest.raises(ServerError):
            file.read()


def test_closing_the_file_ends_the_run(runtime: Runtime) -> None:
    """As leaving the block does."""
    stream = Agent(FakeModel(endless)).stream("?", runtime=runtime)
    with stream.as_reader() as file:
        assert file.read(7) == "word wo"
    with pytest.raises(RunCancelledError):
        _ = stream.result
    with pytest.raises(ValueError, match="closed"):
        file.read(1)


# -- queues ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [Stream.to_queue, stream_to_queue])
def test_a_queue_of_its_chunks(
    runtime: Runtime, make: Callable[[Stream[Any]], "queue.Queue[Any]"]
) -> None:
    """`get` gives one chunk after the other and `StreamEnd` last; there is no thread behind it."""
    before = threading.active_count()
    with lines().stream("?", runtime=runtime, flush_interval=0) as stream:
        chunks = make(stream)
        assert isinstance(chunks, queue.Queue)
        found = [chunks.get(timeout=10)]
        assert threading.active_count() == before
        while not isinstance(found[-1], StreamEnd):
            found.append(chunks.get())
        assert "".join(chunk.delta for chunk in found) == "".join(LINES)
        assert chunks.empty()
        with pytest.raises(queue.Empty):
            chunks.get()
        with pytest.raises(TypeError):
            chunks.put(StreamEnd())


def test_a_queue_that_is_empty_just_now(runtime: Runtime, gate: "Gate") -> None:
    """Not waiting, or not for ever, is `queue.Empty`; then it goes on."""
    with Agent(FakeModel(gate)).stream("?", runtime=runtime) as stream:
        chunks = stream.to_queue()
        chunks.get()  # AgentStarted
        with pytest.raises(queue.Empty):
            chunks.get_nowait()
        with pytest.raises(queue.Empty):
            chunks.get(timeout=0.001)
        gate.until(waiting=1)
        gate.open("now")
        assert chunks.get(timeout=10).delta == "now"


async def test_blocking_on_the_loop_is_an_error() -> None:
    """Each form that blocks says so at once where it would stop the loop that fills it."""
    async with Runtime(), lines().astream("?") as stream:
        reading: list[Callable[[], object]] = [
            stream.collect,
            stream.wait,
            stream.to_queue().get,
            stream.as_reader().read,
            lambda: next(iter(sse_events(stream))),
        ]
        for read in reading:
            with pytest.raises(WouldDeadlockError):
                read()
        assert await stream.acollect() == "".join(LINES)


# -- server-sent events ----------------------------------------------------------------------------


def parsed(data: bytes) -> tuple[int, str, dict[str, Any]]:
    """Id, event and data of a server-sent event."""
    id_, event, payload, *rest = data.split(b"\n")
    assert rest == [b"", b""]
    assert (id_[:4], event[:7], payload[:6]) == (b"id: ", b"event: ", b"data: ")
    return int(id_[4:]), event[7:].decode(), json.loads(payload[6:])


async def test_server_sent_events() -> None:
    """A number, a kind and the fields as JSON; a failure is told, and the end always comes."""
    async with Runtime(), broken().astream("?", flush_interval=0) as stream:
        events = [parsed(event) async for event in sse_events(stream)]
    assert [kind for _, kind, _ in events] == ["agent_started", "text", "text", "failed", "end"]
    assert [number for number, _, _ in events] == [0, 1, 2, 3, 4]
    assert events[1][2]["delta"] == "half "
    assert events[3][2]["error"]["type"] == "ServerError"


def test_server_sent_events_on_a_thread(runtime: Runtime) -> None:
    """The same with `for`; line ends stay inside the JSON."""
    with lines().stream("?", runtime=runtime, flush_interval=0) as stream:
        events = [parsed(event) for event in sse_events(stream)]
    assert "".join(data.get("delta", "") for _, _, data in events) == "".join(LINES)


# -- several readers -------------------------------------------------------------------------------


async def test_tee() -> None:
    """Each reader sees everything, at its own pace; when all have left, the run ends."""
    async with Runtime() as rt:
        async with rt.stream(lines(), "?", flush_interval=0) as stream:
            first, *others = stream.tee(3)
            texts = await asyncio.gather(*(each.acollect() for each in (first, *others)))
            assert texts == ["".join(LINES)] * 3
            assert stream.stats.readers == 3
        stream = rt.stream(Agent(FakeModel(endless)), "?")
        readers = stream.tee(2)
        for reader in readers:
            async with reader:
                async for chunk in reader:
                    if chunk.index > 200:
                        break
        with pytest.raises(RunCancelledError):
            _ = stream.result
        with pytest.raises(ConfigError, match=r"tee\(0\)"):
            stream.tee(0)
    assert_quiet(rt)


async def test_resuming_after_a_number() -> None:
    """A client that comes back gets what follows the last chunk it saw, nothing twice."""
    async with Runtime() as rt, rt.stream(lines(), "?", flush_interval=0) as stream:
        seen = []
        async for chunk in stream.subscribe():
            seen.append(chunk)
            if chunk.delta == LINES[1]:
                break
        seen += [chunk async for chunk in stream.subscribe(after=seen[-1].index)]
        assert [chunk.index for chunk in seen] == list(range(len(seen)))
        assert "".join(chunk.delta for chunk in seen) == "".join(LINES)
        with pytest.raises(ConfigError, match="after=99"):
            stream.subscribe(after=99)


# -- how it is buffered ----------------------------------------------------------------------------


def test_text_only_hides_no_error(runtime: Runtime) -> None:
    """Nothing but text, and still the failure and the end."""
    with broken().stream("?", runtime=runtime, text_only=True, flush_interval=0) as stream:
        kinds = [type(chunk) for chunk in stream]
    assert kinds == [TextDelta, TextDelta, StreamFailed, StreamEnd]
    with lines().stream("?", runtime=runtime, text_only=True) as stream:
        assert {type(chunk) for chunk in stream} == {TextDelta, StreamEnd}


def test_named_buffers_and_single_options(runtime: Runtime) -> None:
    """A name is a size and an interval; an option beside it wins."""
    for name, size, interval in (
        ("realtime", 25, 0.01),
        ("chat", 100, 0.1),
        ("data", 500, 0.25),
        ("batch", 1000, 0.5),
    ):
        with lines().stream("?", runtime=runtime, buffer=name) as stream:
            options = stream._buffer.options
            assert (options.buffer_size, options.flush_interval) == (size, interval)
    with lines().stream("?", runtime=runtime, buffer="batch", buffer_size=7) as stream:
        options = stream._buffer.options
        assert (options.buffer_size, options.flush_interval) == (7, 0.5)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"buffer": "fast"}, "buffer='fast': there are realtime, chat, data, batch"),
        ({"buffer_size": 0}, "buffer_size=0"),
        ({"buffer_size": 2.5}, "buffer_size=2.5: a number of chunks"),
        ({"buffer_size": True}, "buffer_size=True: a number of chunks"),
        ({"flush_interval": "1s"}, "flush_interval='1s': a number of seconds"),
        ({"flush_interval": float("nan")}, "flush_interval=nan"),
        ({"text_only": 1}, "text_only=1: True or False"),
        ({"retain": "some"}, "retain='some'"),
        ({"retain": "tail", "output": int}, "retain='tail' with output="),
        ({"flush": 1}, "no option flush="),
    ],
)
def test_options_that_cannot_be(runtime: Runtime, wrong: dict[str, Any], told: str) -> None:
    """Each is refused before anything is asked."""
    with pytest.raises(ConfigError) as caught:
        lines().stream("?", runtime=runtime, **wrong)
    assert told in str(caught.value)


async def test_what_is_retained() -> None:
    """All of the text, its last 64 KiB behind a marker, or nothing; the reader gets all of it."""
    pieces = [f"{n:07d} " for n in range(20_000)]
    whole = "".join(pieces)
    agent = Agent(FakeModel(lambda _: pieces))
    async with Runtime() as rt:
        for retain in ("full", "tail", "none"):
            async with rt.stream(agent, "?", retain=retain) as stream:
                assert "".join([text async for text in stream.atext()]) == whole
            result = stream.result
            assert result.text == result.messages[-1].content
            assert result.usage.output_tokens == len(whole) // 4
            if retain == "full":
                assert result.text == whole
            elif retain == "tail":
                marker, _, tail = result.text.partition("\n")
                assert marker == f"[{len(whole) - len(tail)} characters before this were not kept]"
                assert whole.endswith(tail)
                assert len(tail) == 64 * 1024
            else:
                assert result.text.startswith("[160000 characters")
                assert len(result.text) < 100
        async with rt.stream(agent, "?", retain="none") as stream:
            assert await stream.acollect() == whole


def test_time_is_the_runtimes(runtime: Runtime) -> None:
    """In a simulation the flush interval passes in virtual time."""

    async def main(rt: Runtime) -> list[tuple[float, str]]:
        agent = Agent(FakeModel(lambda _: "a b c d e f", tokens_per_second=20))
        async with rt.stream(agent, "?", flush_interval=0.12, text_only=True) as stream:
            return [(round(chunk.at, 2), chunk.delta) async for chunk in stream if chunk.delta]

    assert SimRuntime(1).run(main) == [(0.0, "a"), (0.17, " b c d"), (0.25, " e f")]


class Answers(Actor):
    def on_receive(self, message: str) -> str:
        return f"{message} from a thread"


class Reads(Actor):
    def on_receive(self, agent: Agent) -> str:
        with agent.stream("?") as stream:
            return stream.collect()


def test_a_handler_that_reads_a_stream_lends_its_thread() -> None:
    """Where its run needs the one thread that the handler holds, there is a spare one."""
    with Runtime(threads=1) as rt:
        answers, reads = rt.spawn(Answers), rt.spawn(Reads)

        async def model(messages: tuple[Message, ...]) -> str:
            return str(await answers.request("words"))

        assert reads.ask(Agent(FakeModel(model)), timeout=20) == "words from a thread"
    assert_quiet(rt)
