"""Depth is found without decoding, and exactly."""

import json
import threading

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.messages.codec import MAX_DEPTH, decode, decode_json
from understudy.messages.depth import json_too_deep, msgpack_too_deep
from understudy.messages.errors import CodecError

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=300)
    | st.sampled_from(['[[{"', "\\", '"[', "\u0741\u07df" * 20])
)
VALUES = st.recursive(
    LEAVES | st.binary(max_size=300),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=30,
)
JSON_VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=30,
)


def depth(value: object) -> int:
    """How deep a value nests, the slow way."""
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


@given(VALUES)
def test_msgpack_depth_is_exact(value: object) -> None:
    """The walk says "too deep" exactly one level below the real depth."""
    data, real = msgspec.msgpack.encode(value), depth(value)
    assert not msgpack_too_deep(data, real)
    assert real == 0 or msgpack_too_deep(data, real - 1)


@given(JSON_VALUES)
def test_json_depth_is_exact(value: object) -> None:
    """Brackets inside strings do not count, whatever is escaped there."""
    real = depth(value)
    for data in (msgspec.json.encode(value), json.dumps(value, indent=1).encode()):
        assert not json_too_deep(data, real)
        assert real == 0 or json_too_deep(data, real - 1)


@pytest.mark.parametrize(
    "head",
    [b"\x91", b"\xdc\x00\x01", b"\xdd\x00\x00\x00\x01", b"\x81\x01", b"\xde\x00\x01\x01"],
)
def test_every_kind_of_container_counts(head: bytes) -> None:
    """Short and long arrays and maps are levels alike."""
    assert not msgpack_too_deep(head * MAX_DEPTH + b"\xc0", MAX_DEPTH)
    assert msgpack_too_deep(head * (MAX_DEPTH + 1) + b"\xc0", MAX_DEPTH)


@pytest.mark.parametrize(
    "value",
    [
        msgspec.Raw(bytes([head]) + b"\x91" * size)
        for head, size in [(0xCF, 8), (0xD8, 17), (0xCA, 4), (0xBF, 31), (0xD3, 8), (0xD6, 5)]
    ]
    + [
        msgspec.Raw(head + b"\x91" * 70)
        for head in [
            b"\xc4\x46",
            b"\xc5\x00\x46",
            b"\xc7\x46\x01",
            b"\xc8\x00\x46\x01",
            b"\xd9\x46",
        ]
    ],
)
def test_payload_that_looks_like_containers_does_not_count(value: msgspec.Raw) -> None:
    """Numbers, strings, binary and extensions are stepped over whole."""
    data = msgspec.msgpack.encode([value] * 40)
    assert not msgpack_too_deep(data, 1)
    assert msgpack_too_deep(data, 0)


@given(st.binary(max_size=200), st.integers(0, 3))
def test_any_bytes_are_judged(data: bytes, limit: int) -> None:
    """Bytes that mean nothing end the walk, they do not break it."""
    msgpack_too_deep(data, limit)
    json_too_deep(data, limit)


def test_nested_bytes_on_a_small_stack_are_an_error_and_not_the_end() -> None:
    """Hostile nesting is refused before the decoder recurses, on the smallest stack there is."""
    caught: list[BaseException] = []

    def attack() -> None:
        for read, data in ((decode, b"\x91" * 500_000), (decode_json, b"[" * 500_000)):
            try:
                read(data, list)
            except CodecError as error:
                caught.append(error)

    before = threading.stack_size(64 * 1024)
    try:
        thread = threading.Thread(target=attack)
        thread.start()
    finally:
        threading.stack_size(before)
    thread.join()
    assert [str(error) for error in caught] == [
        "bytes for list nest deeper than the limit of 64"
    ] * 2
