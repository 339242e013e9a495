"""The memory of a cache: bounded in number, bytes and time."""

import tracemalloc
from typing import Any

from understudy.actors.caches.entries import JITTER, Entries, Entry, end_of, size_of
from understudy.messages.caches import Invalidate


class Now:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


def entry(value: bytes = b"x", *, ends: float = 100.0, **fields: Any) -> Entry:
    """An entry with a size of its own."""
    return Entry(value=value, size=size_of(value), at=0.0, ends=ends, **fields)


def made(max_size: int = 10, max_bytes: int = 1_000_000) -> tuple[Entries, Now, list[bytes]]:
    """A memory, its clock, and the keys of those that have left it."""
    now, gone = Now(), list[bytes]()
    return Entries(max_size, max_bytes, now, lambda key, _: gone.append(key)), now, gone


def test_the_entry_that_was_used_longest_ago_leaves_first() -> None:
    """Using it is finding it."""
    entries, _, gone = made(max_size=3)
    for key in (b"a", b"b", b"c"):
        entries.put(key, entry())
    assert entries.find(b"a") is not None
    entries.put(b"d", entry())
    assert gone == [b"b"]
    assert entries.evicted == 1
    assert sorted(entries) == [b"a", b"c", b"d"]


def test_bytes_are_bounded_whatever_the_number() -> None:
    """What is larger than all of them may be is not kept, nor what it would have replaced."""
    entries, _, gone = made(max_size=1000, max_bytes=10_000)
    for number in range(100):
        assert entries.put(b"%d" % number, entry(b"x" * 1000))
        assert entries.currsize <= 10_000
    assert len(entries) == 10_000 // size_of(b"x" * 1000)
    assert len(gone) == 100 - len(entries)
    assert not entries.put(b"99", entry(b"x" * 10_000))
    assert entries.find(b"99") is None


def test_what_has_ended_is_not_given_and_leaves() -> None:
    """At the instant, and by itself when anything changes."""
    entries, now, gone = made()
    entries.put(b"a", entry(ends=5.0))
    entries.put(b"b", entry(ends=9.0))
    now.at = 4.9
    assert entries.find(b"a") is not None
    now.at = 5.0
    assert entries.find(b"a") is None
    assert entries.find(b"b") is not None
    assert len(entries) == 1
    assert (gone, entries.expired, entries.evicted) == ([b"a"], 1, 0)
    assert not entries.drop(b"a")
    now.at = 20.0
    assert entries.put(b"b", entry(ends=30.0)), "in the place of one that has ended"
    assert entries.find(b"b") is not None


def test_entries_are_forgotten_by_what_they_are() -> None:
    """Everything that is given has to match."""
    entries, _, gone = made()
    entries.put(b"a", entry(tenant="x", tags=("t", "tool:look")))
    entries.put(b"b", entry(tenant="y", tags=("t",)))
    entries.put(b"c", entry(tenant="x"))
    assert entries.forget(Invalidate(tool="t")) == 0
    assert entries.forget(Invalidate(tool="look", tenant="y")) == 0
    assert entries.forget(Invalidate(tag="t", tenant="y")) == 1
    assert entries.forget(Invalidate(tenant="x")) == 2
    assert gone == [b"b", b"a", b"c"]


def test_ends_are_spread() -> None:
    """Over the last tenth of the time; never after it."""
    assert end_of(100.0, 0.0, 5.0) == 105.0
    assert end_of(100.0, 1.0, 5.0) == 5.0 + 100.0 * (1 - JITTER)


def test_the_bytes_are_those_that_it_takes() -> None:
    """What is counted is near what the process really needs, also when entries come and go."""
    entries = Entries(100_000, 4 * 1024 * 1024, Now(), lambda *_: None)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(15_000):
            value = b"x" * 500 + b"%d" % number
            kept = Entry(value=value, size=size_of(value), at=0.0, ends=9.0 + number)
            entries.put(b"%032d" % number, kept)
        real = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert 0.85 <= real / entries.currsize <= 1.15
