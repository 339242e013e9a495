"""How deep encoded bytes nest, found before anything decodes them.

msgspec decodes by recursion in C, and on a thread with a small stack a few hundred levels end the
process before Python's own limit can stop it. So the depth is counted first, without recursion and
in one pass. Almost every message has fewer containers than it may have levels, which one C-speed
count shows; only the others are walked.

The walk judges nothing but depth: on bytes that are not valid it stops, and the decoder says why.
"""

from __future__ import annotations

import re

# Per head byte of a msgpack value: bytes of payload behind it, or one of the three marks below.
_SIZED = -1
_CONTAINER = -2
_FIXED_CONTAINER = -3


def _heads() -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Two tables over head bytes: what follows, and how many bytes its length takes."""
    follows, widths = [0] * 256, [0] * 256
    for head in range(0x80, 0xA0):  # fixmap, fixarray
        follows[head] = _FIXED_CONTAINER
    for head in range(0xA0, 0xC0):  # fixstr
        follows[head] = head & 0x1F
    sized = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xC7: 1, 0xC8: 2, 0xC9: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
    for head, width in sized.items():  # bin, ext, str
        follows[head], widths[head] = _SIZED, width
    for head, width in {0xDC: 2, 0xDD: 4, 0xDE: 2, 0xDF: 4}.items():  # array, map
        follows[head], widths[head] = _CONTAINER, width
    plain = {0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4}
    ext = {0xD3: 8, 0xD4: 2, 0xD5: 3, 0xD6: 5, 0xD7: 9, 0xD8: 17}
    for head, size in (plain | ext).items():
        follows[head] = size
    return tuple(follows), tuple(widths)


_FOLLOWS, _WIDTHS = _heads()
_MSGPACK_OPENERS = bytes(head for head in range(256) if _FOLLOWS[head] <= _CONTAINER)
_EXT = range(0xC7, 0xCA)
_MAPS = frozenset((*range(0x80, 0x90), 0xDE, 0xDF))

# An unclosed string runs to the end: with the quote required the search would be quadratic.
_JSON_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_JSON_OPENERS = b"[{"
_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")


def msgpack_too_deep(data: bytes, limit: int) -> bool:
    """True when containers nest deeper than `limit`; linear in the number of values."""
    if len(data) - len(data.translate(None, _MSGPACK_OPENERS)) <= limit:
        return False
    follows, widths, end = _FOLLOWS, _WIDTHS, len(data)
    open_counts: list[int] = []  # values still to come, for each container we are in
    position, left = 0, 1
    while position < end and left:
        head = data[position]
        position += 1
        left -= 1
        follow = follows[head]
        if follow >= 0:
            position += follow
        elif follow == _SIZED:
            width = widths[head]
            size = int.from_bytes(data[position : position + width])
            position += width + size + (head in _EXT)
        else:
            count = head & 0x0F
            if follow == _CONTAINER:
                width = widths[head]
                count = int.from_bytes(data[position : position + width])
                position += width
            open_counts.append(left)
            if len(open_counts) > limit:
                return True
            left = 2 * count if head in _MAPS else count
        while not left and open_counts:
            left = open_counts.pop()
    return False


def json_too_deep(data: bytes, limit: int) -> bool:
    """True when arrays and objects nest deeper than `limit`; brackets in strings do not count."""
    if data.count(b"[") + data.count(b"{") <= limit:
        return False
    depth = 0
    for byte in _JSON_STRING.sub(b"", data).translate(None, _NOT_BRACKETS):
        if byte in _JSON_OPENERS:
            depth += 1
            if depth > limit:
                return True
        else:
            depth -= 1
    return False
