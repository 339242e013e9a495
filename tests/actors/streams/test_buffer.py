import asyncio
import itertools

import pytest

from understudy.actors.streams.buffer import StreamBuffer
from understudy.messages.chunks import AgentStarted, StreamEnd, StreamFailed, TextDelta
from understudy.messages.errors import ConfigError, RunCancelledError, ServerError

pytestmark = pytest.mark.anyio


def buffer(size: int = 3) -> StreamBuffer:
    """A buffer whose clock moves one second each time somebody looks."""
    ticks = itertools.count()
    return StreamBuffer(size, lambda: float(next(ticks)))


def drained(source: StreamBuffer) -> list[object]:
    """Everything that can be taken now."""
    return list(iter(source.take, None))


async def test_what_is_written_can_be_taken_in_order() -> None:
    """Chunks come out as they went in, numbered and timed; the first text is noted."""
    stream = buffer()
    await stream.put(lambda i: AgentStarted(name="a", run_id="r", index=i, at=stream.at))
    assert stream.first_at is None
    await stream.write("one")
    await stream.write("two")
    chunks = drained(stream)
    assert [type(chunk) for chunk in chunks] == [AgentStarted, TextDelta, TextDelta]
    assert [chunk.index for chunk in chunks] == [0, 1, 2]  # type: ignore[attr-defined]
    assert stream.first_at == chunks[1].at  # type: ignore[attr-defined]
    assert stream.text == "onetwo"
    assert stream.take() is None


async def test_a_full_buffer_holds_its_writer_up() -> None:
    """The writer goes on when a chunk was taken, not before."""
    stream = buffer(size=1)
    await stream.write("a")
    writing = asyncio.ensure_future(stream.write("b"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not writing.done()
    assert stream.take() == TextDelta(delta="a", index=0, at=1.0)
    await writing
    assert [chunk.delta for chunk in drained(stream)] == ["b"]  # type: ignore[attr-defined]


async def test_a_waiting_reader_is_woken_once() -> None:
    """Who waits at an empty buffer is woken by the first chunk."""
    stream = buffer()
    reading = asyncio.ensure_future(_wait(stream))
    await asyncio.sleep(0)
    assert not reading.done()
    await stream.write("a")
    await reading
    assert stream.readable().done
    assert len(drained(stream)) == 1


async def _wait(stream: StreamBuffer) -> None:
    await stream.readable()


@pytest.mark.parametrize("side", ["reader", "writer"])
async def test_a_cancelled_wait_harms_nobody(side: str) -> None:
    """After a wait was cancelled the next one waits like the first."""
    stream = buffer(size=1)
    if side == "writer":
        await stream.write("a")
    waiting = asyncio.ensure_future(stream.write("b") if side == "writer" else _wait(stream))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    again = asyncio.ensure_future(stream.write("c") if side == "writer" else _wait(stream))
    await asyncio.sleep(0)
    assert not again.done()
    if side == "writer":
        stream.take()
    else:
        await stream.write("x")
    await again


async def test_the_end_is_delivered_whether_there_is_room_or_not() -> None:
    """Error and end go behind what waits, once; after them nothing is taken."""
    stream = buffer(size=1)
    await stream.write("a")
    writing = asyncio.ensure_future(stream.write("b"))
    await asyncio.sleep(0)
    stream.close(ServerError("down"))
    stream.close(ServerError("again"))
    with pytest.raises(RunCancelledError):
        await writing
    with pytest.raises(RunCancelledError):
        await stream.write("c")
    kinds = [type(chunk) for chunk in drained(stream)]
    assert kinds == [TextDelta, StreamFailed, StreamEnd]


async def test_with_text_only_other_chunks_are_never_made() -> None:
    """What nobody wants is not built, and takes no room."""
    stream = buffer(size=1)
    stream.text_only = True

    def make(_: int) -> AgentStarted:
        raise AssertionError("made for nobody")

    await stream.put(make)
    await stream.think("hm")
    await stream.write("a")
    assert [type(chunk) for chunk in drained(stream)] == [TextDelta]


def test_a_buffer_has_room_for_something() -> None:
    """A size below one is refused."""
    with pytest.raises(ConfigError, match="buffer_size=0"):
        buffer(size=0)
