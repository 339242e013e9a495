import asyncio
import itertools

import pytest

from understudy.actors.streams.buffer import WINDOW, StreamBuffer
from understudy.actors.streams.reader import Reader, subscribe
from understudy.messages.chunks import (
    AgentStarted,
    AnyChunk,
    StreamEnd,
    StreamFailed,
    TextDelta,
    ThoughtDelta,
)
from understudy.messages.errors import (
    ConfigError,
    DeadlineExceededError,
    RunCancelledError,
    ServerError,
    StreamError,
)
from understudy.messages.streams import Retain, StreamOptions

pytestmark = pytest.mark.anyio


def buffer(
    size: int = 3, *, text_only: bool = False, retain: Retain = "full", max_bytes: int = 1 << 20
) -> tuple[StreamBuffer, Reader]:
    """A buffer whose clock moves one second each time somebody looks, and its owner."""
    ticks = itertools.count()
    options = StreamOptions(
        buffer_size=size,
        flush_interval=0,
        text_only=text_only,
        retain=retain,
        max_bytes=max_bytes,
    )
    made = StreamBuffer(options, lambda: float(next(ticks)))
    return made, subscribe(made, text_only=text_only, owner=True)


async def read(reader: Reader, count: int) -> list[AnyChunk]:
    """The next `count` chunks, which must be there."""
    found: list[AnyChunk] = []
    while len(found) < count:
        for chunk in await asyncio.wait_for(reader.anext_batch(), 10):
            reader.position = chunk.index + 1
            found.append(chunk)
            if len(found) == count:
                break
    reader.pause()
    return found


async def drain(reader: Reader) -> list[AnyChunk]:
    """Everything up to the end."""
    found: list[AnyChunk] = []
    while batch := await reader.anext_batch():
        for chunk in batch:
            reader.position = chunk.index + 1
            found.append(chunk)
    return found


def text(chunks: list[AnyChunk]) -> str:
    """What the chunks say."""
    return "".join(chunk.delta for chunk in chunks)


async def turns(count: int = 5) -> None:
    """Let everything go on that can."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_what_is_offered_is_read_in_order() -> None:
    """Chunks come out as they went in, numbered and timed; the first text is noted."""
    stream, owner = buffer(5)
    await stream.put(lambda i: AgentStarted(name="a", run_id="r", index=i, at=stream.at))
    assert (stream.first_at, stream.next) == (None, 1)
    assert stream.offer("one")
    assert stream.think("hm")
    assert stream.offer_all(["two", "three"]) is False
    chunks = await read(owner, 5)
    assert [type(chunk) for chunk in chunks] == [
        AgentStarted,
        TextDelta,
        ThoughtDelta,
        TextDelta,
        TextDelta,
    ]
    assert [chunk.index for chunk in chunks] == [0, 1, 2, 3, 4]
    assert stream.first_at == chunks[1].at
    assert stream.text == "onetwothree"
    assert text(chunks) == stream.text


@pytest.mark.parametrize("size", [1, 2, 7])
async def test_a_full_buffer_holds_its_producer_up(size: int) -> None:
    """`offer` says when it is full; `room` waits until the owner has read, not before."""
    stream, owner = buffer(size)
    said = [stream.offer("x") for _ in range(size)]
    assert said == [*[True] * (size - 1), False]
    waiting = asyncio.ensure_future(stream.room())
    await turns()
    assert not waiting.done()
    assert stream.stats.depth == size
    await read(owner, 1)
    await asyncio.wait_for(waiting, 10)
    assert stream.offer("y") is False
    assert stream.stats.stalled == 1
    assert stream.stats.peak == size


def test_a_thread_that_gave_up_waiting_waits_no_more() -> None:
    """After its time it may come back, and meanwhile it does not count as a reader that waits."""
    stream, owner = buffer()
    with pytest.raises(DeadlineExceededError):
        owner.next_batch(0.001)
    assert not owner.asleep
    stream.offer("a")
    assert text(owner.next_batch(0.001)) == "a"


async def test_several_producers_wait_for_one_reader() -> None:
    """Steps of a workflow share a buffer: all of those that wait go on, none is forgotten."""
    stream, owner = buffer(1)
    stream.offer("first")

    async def produce(name: str) -> None:
        await stream.room()
        stream.offer(name)

    producers = [asyncio.ensure_future(produce(name)) for name in "abc"]
    await turns()
    producers[0].cancel()
    found = text(await read(owner, 3))
    await asyncio.wait_for(asyncio.gather(*producers[1:]), 10)
    stream.close()
    assert sorted(found.removeprefix("first") + text(await drain(owner))) == ["b", "c"]


async def test_large_deltas_fill_it_by_their_bytes() -> None:
    """The bound in bytes holds beside the one in chunks, for text of any alphabet."""
    stream, owner = buffer(100, max_bytes=1000)
    assert stream.offer("a" * 400)
    assert stream.offer("\N{SNOWMAN}" * 150)  # three bytes each
    assert stream.offer("small")
    assert not stream.offer("b" * 400)
    waiting = asyncio.ensure_future(stream.room())
    await turns()
    assert not waiting.done()
    await read(owner, 2)
    await asyncio.wait_for(waiting, 10)
    stream.offer_all(["c" * 700, "d"])
    assert not stream.offer("e")


async def test_a_waiting_reader_is_woken_by_each_kind_of_chunk() -> None:
    """Who waits at an empty buffer hears of text, of other chunks and of the end."""
    stream, owner = buffer()
    for offer in (lambda: stream.offer("a"), lambda: stream.think("b"), stream.close):
        reading = asyncio.ensure_future(read(owner, 1))
        await turns()
        assert not reading.done()
        offer()
        assert len(await asyncio.wait_for(reading, 10)) == 1


@pytest.mark.parametrize("side", ["reader", "producer"])
async def test_a_cancelled_wait_harms_nobody(side: str) -> None:
    """After a wait was cancelled the next one waits like the first."""
    stream, owner = buffer(1)
    if side == "producer":
        stream.offer("a")
    for _ in range(2):
        work = stream.room() if side == "producer" else read(owner, 1)
        waiting = asyncio.ensure_future(work)
        await turns()
        assert not waiting.done()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    again = asyncio.ensure_future(stream.room() if side == "producer" else read(owner, 1))
    await turns()
    if side == "producer":
        await read(owner, 1)
    else:
        stream.offer("x")
    await asyncio.wait_for(again, 10)


async def test_the_end_is_delivered_whether_there_is_room_or_not() -> None:
    """Error and end go behind what waits, once; after them nothing is taken."""
    stream, owner = buffer(1)
    stream.offer("a")
    waiting = [asyncio.ensure_future(stream.room()) for _ in range(3)]
    await turns()
    stream.close(ServerError("down"))
    stream.close(ServerError("again"))
    for each in waiting:
        with pytest.raises(RunCancelledError):
            await asyncio.wait_for(each, 10)
    for offer in (stream.offer, stream.think):
        with pytest.raises(RunCancelledError):
            offer("c")
    with pytest.raises(RunCancelledError):
        stream.offer_all(["c"])
    with pytest.raises(RunCancelledError):
        await stream.put(lambda i: StreamEnd(index=i))
    chunks = await drain(owner)
    assert [type(chunk) for chunk in chunks] == [TextDelta, StreamFailed, StreamEnd]
    assert await owner.anext_batch() == []


async def test_with_text_only_other_chunks_are_never_made() -> None:
    """What nobody wants is not built, and takes no room; error and end arrive."""
    stream, owner = buffer(1, text_only=True)

    def make(_: int) -> AgentStarted:
        raise AssertionError("made for nobody")

    await stream.put(make)
    assert stream.think("hm")
    stream.offer("a")
    await asyncio.wait_for(stream.put(make), 10)
    stream.close(ServerError("down"))
    assert [type(c) for c in await drain(owner)] == [TextDelta, StreamFailed, StreamEnd]


async def test_one_who_wants_more_than_text_has_it_made() -> None:
    """Other chunks are made from then on, and those who want text alone still get no other."""
    stream, owner = buffer(9, text_only=True)
    stream.think("lost")
    other = subscribe(stream)
    stream.think("seen")
    for _ in range(4):
        stream.think("more")
    stream.offer("a")
    stream.close()
    assert [type(c) for c in await drain(owner)] == [TextDelta, StreamEnd]
    assert [type(c) for c in await drain(other)] == [*[ThoughtDelta] * 5, TextDelta, StreamEnd]


async def test_others_read_the_window_at_their_own_pace() -> None:
    """A reader that comes late sees what is still there, and never holds the producer up."""
    stream, owner = buffer(2)
    seen = []
    for n in range(10):
        stream.offer(str(n))
        seen += await read(owner, 1)
    late = subscribe(stream)
    resumed = subscribe(stream, after=6)
    assert text(await read(late, 10)) == "0123456789"
    assert text(await read(resumed, 3)) == "789"
    stream.close()
    assert len(await drain(owner)) == len(await drain(late)) == len(await drain(resumed)) == 1


async def test_one_who_falls_out_of_the_window_is_told() -> None:
    """It gets an error and the end; the owner and the others miss nothing."""
    stream, owner = buffer(2)
    slow = subscribe(stream)
    told: list[int] = []
    lost = subscribe(stream, on_lag=told.append)
    stream.offer("first")
    await read(slow, 1)
    for n in range(4 * WINDOW):
        stream.offer(f"{n} ")
        await read(owner, 1)
    for reader in (slow, lost):
        failed, end = await drain(reader)
        assert isinstance(failed, StreamFailed)
        assert isinstance(failed.error, StreamError)
        assert failed.error.reason == "lagged"
        assert isinstance(end, StreamEnd)
        assert reader.over
    assert len(told) == 1
    assert 2 * WINDOW < told[0] < 4 * WINDOW
    assert stream.stats.dropped == told[0] * 2 - 1
    assert stream.text.startswith("first0 1 ")


@pytest.mark.parametrize("retain", ["full", "tail", "none"])
async def test_what_was_read_is_forgotten(retain: Retain) -> None:
    """The log holds a window behind the owner, without `retain` next to nothing."""
    stream, owner = buffer(10, retain=retain)
    for _ in range(3 * WINDOW):
        stream.offer("x")
        await read(owner, 1)
    most = 2 * WINDOW + 10 if retain != "none" else 20
    assert len(stream.log) <= most


async def test_large_deltas_that_were_read_are_forgotten_by_their_bytes() -> None:
    """The window has a bound in bytes too."""
    for retain, most in (("full", 4), ("none", 1)):
        stream, owner = buffer(10, retain=retain, max_bytes=1000)  # type: ignore[arg-type]
        for _ in range(50):
            stream.offer("x" * 300)
            await read(owner, 1)
        assert len(stream.log) <= most + 1


async def test_resuming_at_a_number_that_is_not_there() -> None:
    """A number from another stream is an error, not a wait for ever."""
    stream, _ = buffer(5)
    stream.offer("a")
    for after in (1, -2):
        with pytest.raises(ConfigError, match=f"after={after}: this stream has the chunks 0 to 0"):
            subscribe(stream, after=after)
    assert subscribe(stream, after=-1).waits == 1


async def test_a_reader_that_leaves_hands_its_place_on() -> None:
    """Whoever is left holds the producer up; the last one to leave is told that it was."""
    stream, owner = buffer(1)
    other = subscribe(stream)
    stream.offer("a")
    waiting = asyncio.ensure_future(stream.room())
    reading = asyncio.ensure_future(owner.anext_batch())
    await asyncio.wait_for(reading, 10)
    assert owner.leave() is False
    await turns()
    assert not waiting.done()
    assert text(await read(other, 1)) == "a"
    await asyncio.wait_for(waiting, 10)
    asleep = asyncio.ensure_future(other.anext_batch())
    await turns()
    assert other.leave() is True
    assert await asyncio.wait_for(asleep, 10) == []


def test_options_that_cannot_be_are_refused() -> None:
    """Each says what is wrong."""
    with pytest.raises(ConfigError, match="buffer_size=0"):
        StreamOptions(buffer_size=0)
    with pytest.raises(ConfigError, match="flush_interval=-1"):
        StreamOptions(flush_interval=-1)
    with pytest.raises(ConfigError, match="retain='all'"):
        StreamOptions(retain="all")  # type: ignore[arg-type]


async def test_an_owner_that_leaves_lets_the_producer_go_on() -> None:
    """Its heir has read all that there is, and waits for what the producer has no room for."""
    stream, owner = buffer(1)
    other = subscribe(stream)
    stream.offer("a")
    waiting = asyncio.ensure_future(stream.room())
    assert text(await read(other, 1)) == "a"
    reading = asyncio.ensure_future(other.anext_batch())
    await turns()
    assert not waiting.done()
    assert owner.leave() is False
    await asyncio.wait_for(waiting, 10)
    stream.offer("b")
    assert text(await asyncio.wait_for(reading, 10)) == "b"
