"""A fair queue: by priority, and within one by session, each in turn.

Among the callers of one priority every session that waits gets its turn before any gets a second
one, so a session with a hundred requests does not keep one with a single request waiting. All
operations take constant time, but for `prune`.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
Session = tuple[str, str]
"""Tenant and session."""


class Turns(Generic[T]):
    """See the module's docstring. Not thread-safe."""

    __slots__ = ("_count", "_lanes", "_sizes")

    def __init__(self) -> None:
        self._lanes: dict[int, OrderedDict[Session, deque[T]]] = {}
        self._sizes: dict[int, int] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def push(self, item: T, *, session: Session, priority: int) -> None:
        """Wait behind the others of this session."""
        lane = self._lanes.get(priority)
        if lane is None:
            lane = self._lanes[priority] = OrderedDict()
            self._lanes = dict(sorted(self._lanes.items()))
            self._sizes[priority] = 0
        queue = lane.get(session)
        if queue is None:
            queue = lane[session] = deque()
        queue.append(item)
        self._sizes[priority] += 1
        self._count += 1

    def ahead(self, session: Session, priority: int) -> int:
        """At most so many have their turn before one more of this session."""
        better = sum(size for other, size in self._sizes.items() if other < priority)
        lane = self._lanes.get(priority)
        if lane is None:
            return better
        own = len(lane.get(session, ()))
        others = self._sizes[priority] - own
        rounds = (own + 1) * (len(lane) - (session in lane))
        return better + own + min(others, rounds)

    def peek(self) -> T | None:
        """Whose turn it is, or None."""
        for lane in self._lanes.values():
            return next(iter(lane.values()))[0]
        return None

    def pop(self) -> T:
        """Take the one whose turn it is; its session goes to the end of the round.

        Raises:
            IndexError: nobody waits.
        """
        for priority, lane in self._lanes.items():
            session, queue = lane.popitem(last=False)
            item = queue.popleft()
            if queue:
                lane[session] = queue
            self._left(priority, lane, 1)
            return item
        raise IndexError("nobody waits")

    def prune(self, gone: Callable[[T], bool]) -> int:
        """Take out everybody for whom `gone` holds; how many there were."""
        before = self._count
        for priority, lane in list(self._lanes.items()):
            for session, queue in list(lane.items()):
                kept = deque(item for item in queue if not gone(item))
                if kept:
                    lane[session] = kept
                else:
                    del lane[session]
                self._left(priority, lane, len(queue) - len(kept))
        return before - self._count

    def _left(self, priority: int, lane: OrderedDict[Session, deque[T]], count: int) -> None:
        self._count -= count
        self._sizes[priority] -= count
        if not lane:
            self._lanes.pop(priority, None)
            self._sizes.pop(priority, None)
