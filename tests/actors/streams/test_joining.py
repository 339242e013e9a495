import asyncio
from collections.abc import Callable

import pytest

from understudy.actors.streams.joining import HELD, JoiningBuffer
from understudy.actors.streams.reader import Reader, subscribe
from understudy.messages.chunks import (
    AnyChunk,
    StreamEnd,
    StreamFailed,
    TextDelta,
    ThoughtDelta,
)
from understudy.messages.errors import RunCancelledError, ServerError
from understudy.messages.streams import StreamOptions

pytestmark = pytest.mark.anyio


class Bells:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0
        self.set: list[tuple[float, Callable[[], None]]] = []

    def after(self, delay: float, ring: Callable[[], None]) -> "Bell":
        """Set a bell."""
        entry = (self.now + delay, ring)
        self.set.append(entry)
        return Bell(self, entry)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        due = [entry for entry in self.set if entry[0] <= self.now]
        self.set = [entry for entry in self.set if entry not in due]
        for _, ring in due:
            ring()


class Bell:
    def __init__(self, bells: Bells, entry: tuple[float, Callable[[], None]]) -> None:
        self._bells = bells
        self._entry = entry

    def cancel(self) -> None:
        """Do not ring."""
        self._bells.set = [entry for entry in self._bells.set if entry is not self._entry]


def buffer(size: int = 5, interval: float = 0.25) -> tuple[JoiningBuffer, Reader, Bells]:
    """A buffer, its owner and its time."""
    bells = Bells()
    options = StreamOptions(buffer_size=size, flush_interval=interval)
    made = JoiningBuffer(options, lambda: bells.now, bells.after)
    return made, subscribe(made, owner=True), bells


async def waiting(reader: Reader) -> list[AnyChunk]:
    """What can be read now."""
    found: list[AnyChunk] = []
    while reader.waits:
        for chunk in await reader.anext_batch():
            reader.position = chunk.index + 1
            found.append(chunk)
    reader.pause()
    return found


def deltas(chunks: list[AnyChunk]) -> list[str]:
    """What the chunks say."""
    return [chunk.delta for chunk in chunks]


async def test_the_first_delta_goes_on_at_once_and_neighbours_are_joined() -> None:
    """The interval is how long text is held; it counts from the first token that is held."""
    stream, owner, time = buffer()
    stream.offer("first ")
    assert deltas(await waiting(owner)) == ["first "]
    stream.offer("a ")
    time.advance(0.125)
    stream.offer("b ")
    assert await waiting(owner) == []
    time.advance(0.0625)
    assert await waiting(owner) == []
    time.advance(0.0625)
    (chunk,) = await waiting(owner)
    assert chunk == TextDelta(delta="a b ", index=1, at=0.25)
    assert stream.stats.coalesced == 1
    assert time.set == []
    stream.offer_all(["c", "d"])
    time.advance(0.25)
    assert deltas(await waiting(owner)) == ["cd"]


async def test_nothing_overtakes_what_is_held() -> None:
    """Other chunks, errors and the end do not wait, and come behind the text before them."""
    stream, owner, time = buffer()
    stream.offer_all(["a", "b"])
    assert stream.text == "ab"
    stream.think("hm")
    stream.offer("c")
    await stream.put(lambda index: ThoughtDelta(thought="put", index=index))
    stream.offer("d")
    stream.close(ServerError("down"))
    chunks = await waiting(owner)
    assert [type(chunk) for chunk in chunks] == [
        TextDelta,
        ThoughtDelta,
        TextDelta,
        ThoughtDelta,
        TextDelta,
        StreamFailed,
        StreamEnd,
    ]
    assert deltas(chunks) == ["ab", "", "c", "", "d", "", ""]
    assert time.set == []
    assert stream.text == "abcd"


async def test_much_or_long_text_is_not_held() -> None:
    """A thousand tokens go on together, and so does what is long together."""
    stream, owner, _ = buffer()
    stream.offer("first")
    await waiting(owner)
    for _ in range(HELD - 1):
        stream.offer("x")
    assert await waiting(owner) == []
    stream.offer("x")
    assert deltas(await waiting(owner)) == ["x" * HELD]
    stream.offer_all(["y"] * (HELD + 1))
    assert deltas(await waiting(owner)) == ["y" * (HELD + 1)]
    long = "z" * 100_000
    stream.offer(long)
    assert deltas(await waiting(owner)) == [long]
    stream.offer_all(["a", long])
    assert deltas(await waiting(owner)) == ["a" + long]
    for _ in range(63):
        stream.offer("l" * 1024)
    assert await waiting(owner) == []
    stream.offer("l" * 1024)
    assert deltas(await waiting(owner)) == ["l" * 65536]


async def test_a_slow_reader_gets_what_waits_joined() -> None:
    """Nothing is lost: one delta with the number of its last, and room for the producer."""
    stream, owner, time = buffer(size=3)
    for n in range(3):
        stream.offer(f"{n} ")
        time.advance(0.25)
    stream.offer("3 ")
    time.advance(0.25)  # no room: it is held on
    assert stream.stats.depth == 3
    held_up = asyncio.ensure_future(stream.room())
    await asyncio.sleep(0)
    assert not held_up.done()
    (joined,) = await waiting(owner)
    assert (joined.delta, joined.index) == ("0 1 2 ", 2)
    await asyncio.wait_for(held_up, 10)
    time.advance(0.25)
    assert deltas(await waiting(owner)) == ["3 "]
    assert stream.stats.coalesced == 2
    stream.close()
    assert stream.text == "0 1 2 3 "


async def test_text_of_different_steps_is_not_joined() -> None:
    """A delta belongs to one step."""
    stream, owner, _ = buffer()
    for step, delta in (("a", "1"), ("a", "2"), ("b", "3")):
        await stream.put(
            lambda i, step=step, delta=delta: TextDelta(delta=delta, index=i, step=step)  # type: ignore[misc]
        )
    found = [(chunk.step, chunk.delta, chunk.index) for chunk in await waiting(owner)]
    assert found == [("a", "12", 1), ("b", "3", 2)]


async def test_a_closed_one_takes_nothing() -> None:
    """The producer hears of it with its next token."""
    stream, _, _ = buffer()
    stream.offer("a")
    stream.offer("b")
    stream.close()
    with pytest.raises(RunCancelledError):
        stream.offer("c")
    with pytest.raises(RunCancelledError):
        stream.offer_all(["c"])
