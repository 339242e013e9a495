"""Frames on a byte stream: four bytes of length, then that much msgpack.

Both ends read with `Unframer`. A length beyond the limit means that the stream can no longer be
trusted: it is an error at once, before a single byte of the frame is kept.
"""

from __future__ import annotations

import struct

from understudy.messages.codec import MAX_SIZE
from understudy.messages.errors import CodecError

_LENGTH = struct.Struct("!I")


def frame(data: bytes) -> bytes:
    """One frame around `data`."""
    return _LENGTH.pack(len(data)) + data


class Unframer:
    """Cuts a stream into the payloads of its frames."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The payloads that are complete with `data`, in order.

        Raises:
            CodecError: a frame is announced that no honest sender would send.
        """
        if not self._buffer and len(data) >= _LENGTH.size:  # nearly always: one whole frame
            (size,) = _LENGTH.unpack_from(data)
            if len(data) == _LENGTH.size + size:
                return [data[_LENGTH.size :]]
        self._buffer += data
        found: list[bytes] = []
        begin = 0
        while len(self._buffer) - begin >= _LENGTH.size:
            (size,) = _LENGTH.unpack_from(self._buffer, begin)
            if size > MAX_SIZE:
                raise CodecError(f"a frame of {size} bytes; the limit is {MAX_SIZE}")
            end = begin + _LENGTH.size + size
            if len(self._buffer) < end:
                break
            found.append(bytes(self._buffer[begin + _LENGTH.size : end]))
            begin = end
        del self._buffer[:begin]
        return found
