"""Frames survive any cut of the stream, and a length beyond the limit is an error."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy import CodecError
from understudy.actors.processes.frames import Unframer, frame


@given(st.lists(st.binary(max_size=40), max_size=6), st.lists(st.integers(1, 30), max_size=40))
def test_frames_come_out_as_they_went_in(payloads: list[bytes], cuts: list[int]) -> None:
    """However the stream is cut into chunks."""
    stream = b"".join(map(frame, payloads))
    unframer = Unframer()
    found: list[bytes] = []
    for size in cuts:
        found += unframer.feed(stream[:size])
        stream = stream[size:]
    assert found + unframer.feed(stream) == payloads


def test_a_frame_that_nobody_would_send_is_an_error() -> None:
    """Before a byte of it is kept."""
    unframer = Unframer()
    with pytest.raises(CodecError, match="a frame of 4294967295 bytes"):
        unframer.feed(b"\xff\xff\xff\xff")
