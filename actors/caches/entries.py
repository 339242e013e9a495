"""The memory of a cache: entries by key, bounded in number, in bytes and in time.

cachetools' `TLRUCache` keeps them: each entry has its own end, and the one that was used longest
ago leaves first. Its one dimension is bytes; the number of entries is bounded here. Runs on the
loop's thread alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from cachetools import TLRUCache

from understudy.messages.caches import Invalidate
from understudy.messages.chat import Usage

OVERHEAD = 680
"""Bytes of an entry besides its value: objects, places in tables, the key (measured)."""
JITTER = 0.1
"""The share of a life in which it ends."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is kept.

    Attributes:
        value: a copy that nobody else holds, or bytes.
        size: its bytes, with the overhead.
        at: when it was made, in monotonic seconds.
        ends: when it may not be given any more.
        tenant: whose it is.
        tags: what it may be invalidated by; a tool as `tool:NAME`.
        usage: tokens that making it took.
        seconds: how long that took.
        gate: where to find it by its wording; empty: only by its key.
        text: the wording.
    """

    value: Any  # Any: whatever is kept
    size: int
    at: float
    ends: float
    tenant: str = ""
    tags: tuple[str, ...] = ()
    usage: Usage | None = None
    seconds: float = 0.0
    gate: bytes = b""
    text: str = ""

    def matches(self, wanted: Invalidate) -> bool:
        """Whether it is to be forgotten."""
        return is_wanted(wanted, self.tenant, self.tags)


class Entries(TLRUCache[bytes, Entry]):
    """See the module's docstring.

    Args:
        max_size: entries.
        max_bytes: of all of them.
        now: monotonic seconds.
        gone: told of each entry that leaves, whatever the reason.
    """

    def __init__(
        self,
        max_size: int,
        max_bytes: int,
        now: Callable[[], float],
        gone: Callable[[bytes, Entry], None],
    ) -> None:
        super().__init__(max_bytes, _end, timer=now, getsizeof=_size)
        self._max_size = max_size
        self._gone = gone
        self.evicted = self.expired = 0

    def put(self, key: bytes, entry: Entry) -> bool:
        """Keep an entry; False where it is larger than all of them may be."""
        self.drop(key)
        if entry.size > self.maxsize:
            return False
        while len(self) >= self._max_size:
            self.popitem()
        self[key] = entry
        return True

    def find(self, key: bytes) -> Entry | None:
        """The entry, where there is one that has not ended."""
        try:
            return self[key]
        except KeyError:
            return None

    def drop(self, key: bytes) -> bool:
        """Forget an entry; False when there was none."""
        with self.timer:  # one moment for all of it: an entry may end at any
            if key not in self:
                return False
            entry = self[key]
            del self[key]
        self._gone(key, entry)
        return True

    def forget(self, wanted: Invalidate) -> int:
        """Forget what matches; gives how many."""
        with self.timer:
            keys = [key for key in self if self[key].matches(wanted)]
        return sum(self.drop(key) for key in keys)

    def expire(self, time: float | None = None) -> list[tuple[bytes, Entry]]:
        """Forget what has ended; cachetools calls it whenever something changes."""
        ended = list(super().expire(time))
        self.expired += len(ended)
        for key, entry in ended:
            self._gone(key, entry)
        return ended

    def popitem(self) -> tuple[bytes, Entry]:
        """Forget the entry that was used longest ago; cachetools calls it to make room."""
        key, entry = super().popitem()
        self.evicted += 1
        self._gone(key, entry)
        return key, entry


def is_wanted(wanted: Invalidate, tenant: str, tags: tuple[str, ...]) -> bool:
    """Whether what has this tenant and these tags is to be forgotten."""
    return (
        (wanted.tool is None or f"tool:{wanted.tool}" in tags)
        and (wanted.tag is None or wanted.tag in tags)
        and (wanted.tenant is None or wanted.tenant == tenant)
    )


def size_of(value: Any, more: Iterable[str] = ()) -> int:  # Any: whatever is kept
    """The bytes of an entry with this value and these texts."""
    return OVERHEAD + sys.getsizeof(value) + sum(map(sys.getsizeof, more))


def end_of(ttl: float, draw: float, now: float) -> float:
    """When an entry that is made now ends; `draw` is between 0 and 1."""
    return now + ttl * (1.0 - JITTER * draw)


def _end(key: bytes, entry: Entry, now: float) -> float:
    del key, now
    return entry.ends


def _size(entry: Entry) -> int:
    return entry.size
