from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.actors.models.sse import EventTooLargeError, LineSplitter, SseEvent, SseParser


def parse(*chunks: bytes, max_bytes: int = 1 << 20) -> list[SseEvent]:
    """All events of a stream that came in these chunks."""
    parser = SseParser(max_bytes)
    events = [event for chunk in chunks for event in parser.feed(chunk)]
    return events + parser.close()


def data(*chunks: bytes) -> list[bytes]:
    """Their data."""
    return [event.data for event in parse(*chunks)]


STREAM = (
    b'\xef\xbb\xbfevent: start\r\n: hello\ndata: {"a":\r\ndata: 1}\r\rdata:no space\n\n'
    b"id: 7\nretry: 250\ndata:  two spaces\r\n\r\n:\n\ndata\n\nevent: lost\n\n"
    b"data: \xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\n\ndata: [DONE]\n\ndata: no blank line"
)
EVENTS = [
    SseEvent(data=b'{"a":\n1}', event="start"),
    SseEvent(data=b"no space"),
    SseEvent(data=b" two spaces", id="7", retry=250),
    SseEvent(data=b"", id="7", retry=250),
    SseEvent(data="é€😀".encode(), id="7", retry=250),
    SseEvent(data=b"[DONE]", id="7", retry=250),
    SseEvent(data=b"no blank line", id="7", retry=250),
]


def test_a_stream_with_every_feature() -> None:
    """One whole stream gives the events that the specification says."""
    assert parse(STREAM) == EVENTS


def test_every_single_cut_changes_nothing() -> None:
    """Each place between two bytes, and all of them at once."""
    for cut in range(len(STREAM)):
        assert parse(STREAM[:cut], STREAM[cut:]) == EVENTS
    assert parse(*(bytes([byte]) for byte in STREAM)) == EVENTS


@given(st.lists(st.integers(0, len(STREAM)), max_size=30))
def test_cuts_change_nothing(cuts: list[int]) -> None:
    """However the bytes are cut, the events are the same."""
    edges = [0, *sorted(cuts), len(STREAM)]
    chunks = [STREAM[start:stop] for start, stop in pairwise(edges)]
    assert parse(*chunks) == EVENTS


@given(
    st.lists(st.sampled_from([b"data", b":", b" ", b"x", b"\n", b"\r", b"\r\n", b"\xc3", b"\xa9"])),
    st.data(),
)
def test_cuts_change_nothing_in_any_bytes(parts: list[bytes], draw: st.DataObject) -> None:
    """Also in bytes that make little sense, byte by byte equals all at once."""
    whole = b"".join(parts)
    cut = draw.draw(st.integers(0, len(whole)))
    assert parse(whole[:cut], whole[cut:]) == parse(whole)
    assert parse(*(bytes([byte]) for byte in whole)) == parse(whole)


def test_an_event_is_given_out_with_its_blank_line() -> None:
    """Nobody waits for the next chunk to learn that an event was complete, CR included."""
    parser = SseParser()
    assert [event.data for event in parser.feed(b"data: a\r\n\r")] == [b"a"]
    assert parser.feed(b"\n") == []
    assert [event.data for event in parser.feed(b"data: b\r\r")] == [b"b"]


def test_half_a_character_waits_for_its_rest() -> None:
    """A chunk may end inside a UTF-8 sequence."""
    assert data(b"data: \xe2\x82", b"\xac\n\n") == ["€".encode()]


def test_an_id_with_null_is_ignored() -> None:
    """As the specification says."""
    assert parse(b"id: a\0b\ndata: x\n\n")[0].id == ""


@pytest.mark.parametrize(
    "chunks",
    [
        [b"data: " + b"x" * 200],
        [b"data: " + b"x" * 60, b"x" * 60, b"\n"],
        [b"data: " + b"x" * 60 + b"\n"] * 2,
    ],
)
def test_a_line_or_event_above_the_bound_is_refused(chunks: list[bytes]) -> None:
    """Whether in one line or in many, memory is bounded."""
    with pytest.raises(EventTooLargeError, match="100 bytes"):
        parse(*chunks, max_bytes=100)


def test_a_line_without_end_is_refused_while_it_arrives() -> None:
    """Not only when it ends."""
    parser = SseParser(100)
    parser.feed(b"data: " + b"x" * 60)
    with pytest.raises(EventTooLargeError):
        parser.feed(b"x" * 60)


def test_the_bound_is_for_one_event() -> None:
    """Many events below the bound pass."""
    assert len(parse(*[b"data: " + b"x" * 80 + b"\n\n"] * 5, max_bytes=100)) == 5


def test_lines_alone() -> None:
    """The splitter serves NDJSON: lines without their ends, the last one at the end."""
    lines = LineSplitter()
    assert lines.feed(b'{"a":1}\n{"b"') == [b'{"a":1}']
    assert lines.feed(b":2}\r\n\n") == [b'{"b":2}', b""]
    assert lines.feed(b"rest") == []
    assert lines.close() == [b"rest"]
    assert lines.close() == []


PIECES = [
    b"data: one\n\n",
    b"data: \n\n",
    b"data:two\n\n",
    b"data:  spaced\n\n",
    b"data: a\ndata: b\n\n",
    b"data: x\n",
    b"\n",
    b": comment\n\n",
    b"event: e\ndata: y\n\n",
    b"event: e\n",
    b"data: z\r\n\r\n",
    b"data: w\r",
    b"\n\n",
    b"\xef\xbb\xbfdata: b\n\n",
    b"da",
    b"ta: split\n\n",
    b"data: \ndata: q\n\n",
]


@given(st.lists(st.lists(st.sampled_from(PIECES), max_size=4).map(b"".join), max_size=6))
def test_payloads_are_the_data_of_the_events(chunks: list[bytes]) -> None:
    """The short way and the long one read the same, also in turns on one stream."""
    short, long = SseParser(), SseParser()
    for chunk in chunks:
        assert short.payloads(chunk) == [event.data for event in long.feed(chunk)]
    assert short.close() == long.close()


def test_payloads_are_bounded_too() -> None:
    """The short way keeps the bound of one event."""
    with pytest.raises(EventTooLargeError):
        SseParser(20).payloads(b"data: " + b"x" * 30 + b"\n\n")
