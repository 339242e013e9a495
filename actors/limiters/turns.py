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


class Turns(Generic[T]):
    """See the module's docstring. Not thread-safe."""

    __slots__ = ("_count", "_lanes")

    def __init__(self) -> None:
        self._lanes: dict[int, OrderedDict[str, deque[T]]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def push(self, item: T, *, session: str, priority: int) -> None:
        """Wait behind the others of this session."""
        lane = self._lanes.get(priority)
        if lane is None:
            lane = self._lanes[priority] = OrderedDict()
            self._lanes = dict(sorted(self._lanes.items()))
        queue = lane.get(session)
        if queue is None:
            queue = lane[session] = deque()
        queue.append(item)
        self._count += 1

    def peek(self) -> T | None:
        """Whose turn it is, or None."""
        for lane in self._lanes.values():
            if lane:
                return next(iter(lane.values()))[0]
        return None

    def pop(self) -> T:
        """Take the one whose turn it is; its session goes to the end of the round.

        Raises:
            IndexError: nobody waits.
        """
        for priority, lane in self._lanes.items():
            if lane:
                session, queue = lane.popitem(last=False)
                item = queue.popleft()
                if queue:
                    lane[session] = queue
                elif not lane:
                    del self._lanes[priority]
                self._count -= 1
                return item
        raise IndexError("nobody waits")

    def prune(self, gone: Callable[[T], bool]) -> int:
        """Take out everybody for whom `gone` holds; how many there were."""
        before = self._count
        for priority, lane in list(self._lanes.items()):
            for session, queue in list(lane.items()):
                kept = deque(item for item in queue if not gone(item))
                self._count -= len(queue) - len(kept)
                if kept:
                    lane[session] = kept
                else:
                    del lane[session]
            if not lane:
                del self._lanes[priority]
        return before - self._count
