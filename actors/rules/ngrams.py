"""Vectors of texts without a model: hashed n-grams of characters.

Two texts that share most of their letters in order are near one another, whatever they mean. So
these vectors rank candidates; that two texts mean the same is never decided by them alone.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from zlib import crc32

DIMENSIONS = 256
_SIZES = (2, 3, 4)
_LONGEST = 8_192
"""Characters that are looked at."""


def ngram_vector(text: str) -> bytes:
    """The vector of a text, of length 1, as packed 32-bit little-endian floats."""
    data = f" {' '.join(text[:_LONGEST].lower().split())} ".encode("utf-8", "surrogatepass")
    values = [0.0] * DIMENSIONS
    for size in _SIZES:
        for start in range(len(data) - size + 1):
            code = crc32(data[start : start + size])
            values[code % DIMENSIONS] += 1.0 if code & 0x10000 else -1.0
    length = math.sqrt(sum(value * value for value in values)) or 1.0
    return struct.pack(f"<{DIMENSIONS}f", *(value / length for value in values))


def unpacked(vector: bytes) -> tuple[float, ...]:
    """The floats of a packed vector."""
    return struct.unpack(f"<{len(vector) // 4}f", vector)


def cosine(one: Sequence[float], other: Sequence[float]) -> float | None:
    """The cosine of two vectors; None where there is none.

    That is where they differ in length, have none, or hold what is no number.
    """
    if len(one) != len(other) or not one:
        return None
    dot = sum(a * b for a, b in zip(one, other, strict=True))
    lengths = math.sqrt(sum(a * a for a in one)) * math.sqrt(sum(b * b for b in other))
    if not math.isfinite(dot) or not math.isfinite(lengths) or lengths == 0.0:
        return None
    return dot / lengths
