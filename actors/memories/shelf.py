"""The shelf: the conversations that are in the process, with their bounds.

Guarantees: no more than `max_sessions` sessions and `max_bytes` bytes (as they are encoded), the
least recently used go first; where to is said by the caller. A session that alone is larger than
all the room loses its oldest turns. Nothing here reads a clock or a file: time is an argument.

It outlives its actor, so a memory that was restarted has forgotten nothing.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence

import msgspec

from understudy.actors.rules.trimming import trim
from understudy.messages.chat import Message, SystemMessage
from understudy.messages.memories import MemorySpec, MemoryStats

Key = tuple[str, str]
"""Tenant and session."""


class Turn(msgspec.Struct, frozen=True):
    """What was appended at a time: its place in the session, how many messages, as bytes."""

    number: int
    count: int
    size: int


class Talk:
    """One session.

    Attributes:
        messages: all of it, oldest first.
        turns: how they came.
        used: when its last turn came, in wall seconds.
        unsaved: turns that are not in the file yet, by number.
    """

    __slots__ = ("messages", "next", "size", "turns", "unsaved", "used")

    def __init__(self, used: float) -> None:
        self.messages: list[Message] = []
        self.turns: deque[Turn] = deque()
        self.used = used
        self.unsaved: dict[int, bytes] = {}
        self.next = 0
        self.size = 0

    def add(self, number: int, messages: Sequence[Message], size: int) -> None:
        """Another turn."""
        self.messages += messages
        self.turns.append(Turn(number, len(messages), size))
        self.size += size
        self.next = number + 1

    def tail(self, limit: int | None, *, keep_first: bool) -> tuple[Message, ...]:
        """The last messages; costs what it gives, however long the session is."""
        messages = self.messages
        if limit is None or limit >= len(messages):
            return tuple(messages)
        return trim(messages, limit=limit, keep_first=keep_first)

    def drop_oldest(self) -> int:
        """Forget the oldest turn, but for system messages at the beginning; gives its size."""
        turn = self.turns.popleft()
        head = 0
        while head < turn.count and isinstance(self.messages[head], SystemMessage):
            head += 1
        del self.messages[head : turn.count]
        if head:  # they go with the turn after
            following = self.turns.popleft()
            self.turns.appendleft(Turn(following.number, following.count + head, following.size))
        self.size -= turn.size
        return turn.size


class Shelf:
    """See the module's docstring.

    Args:
        spec: its bounds.
    """

    def __init__(self, spec: MemorySpec) -> None:
        self.spec = spec
        self.talks: OrderedDict[Key, Talk] = OrderedDict()
        self.bytes = 0
        self.epochs: dict[str, int] = {}
        """How often each tenant was erased."""
        self.documents: bool | None = None
        """Whether documents were ingested; None: the file has not been asked."""
        self.loaded = self.passivated = self.evicted = self.expired = 0
        self.dropped_turns = self.failed_writes = self.recalls = self.recall_hits = 0
        self.bad_vectors = self.failed_recalls = 0
        self.last_error: str | None = None

    def find(self, key: Key, now: float) -> Talk | None:
        """A session that is here and whose time is not over."""
        talk = self.talks.get(key)
        if talk is None:
            return None
        if self._is_over(talk, now):
            self.remove(key)
            self.expired += 1
            return None
        self.talks.move_to_end(key)
        return talk

    def put(self, key: Key, talk: Talk) -> None:
        """A session has come here."""
        self.talks[key] = talk
        self.bytes += talk.size

    def append(self, key: Key, talk: Talk, messages: Sequence[Message], data: bytes) -> int:
        """Another turn of a session that is here; gives its number."""
        number = talk.next
        talk.add(number, messages, len(data))
        self.bytes += len(data)
        self.talks.move_to_end(key)
        return number

    def remove(self, key: Key) -> bool:
        """Forget a session; False when it was not here."""
        talk = self.talks.pop(key, None)
        if talk is None:
            return False
        self.bytes -= talk.size
        return True

    def make_room(self, *, durable: bool) -> None:
        """Keep the bounds; what is not in its file yet stays, where there is one."""
        spec = self.spec
        while len(self.talks) > spec.max_sessions or self.bytes > spec.max_bytes:
            key = next((key for key, talk in self.talks.items() if not talk.unsaved), None)
            if key is None:
                return
            talk = self.talks[key]
            if not durable and len(self.talks) == 1:
                self._shorten(talk)
                return
            self.remove(key)
            if durable:
                self.passivated += 1
            else:
                self.evicted += 1

    def sweep(self, now: float, idle: float | None) -> None:
        """Forget sessions whose time is over; let those go to the file that were idle so long."""
        for key, talk in list(self.talks.items()):
            if self._is_over(talk, now):
                self.remove(key)
                self.expired += 1
            elif idle is not None and now - talk.used > idle and not talk.unsaved:
                self.remove(key)
                self.passivated += 1

    def erase(self, tenant: str) -> list[Key]:
        """Forget the sessions of a tenant, also those that are being made; gives their keys."""
        self.epochs[tenant] = self.epoch(tenant) + 1
        gone = [key for key in self.talks if key[0] == tenant]
        for key in gone:
            self.remove(key)
        return gone

    def epoch(self, tenant: str) -> int:
        """How often the tenant was erased."""
        return self.epochs.get(tenant, 0)

    def failed(self, error: BaseException) -> None:
        """A write has failed."""
        self.failed_writes += 1
        self.last_error = str(error)

    def unanswered(self, error: BaseException) -> None:
        """A run goes on without passages."""
        self.failed_recalls += 1
        self.last_error = str(error)

    def stats(self) -> MemoryStats:
        """What there is; any thread."""
        return MemoryStats(
            sessions=len(self.talks),
            bytes=self.bytes,
            loaded=self.loaded,
            passivated=self.passivated,
            evicted=self.evicted,
            expired=self.expired,
            dropped_turns=self.dropped_turns,
            failed_writes=self.failed_writes,
            failed_recalls=self.failed_recalls,
            last_error=self.last_error,
            recalls=self.recalls,
            recall_hits=self.recall_hits,
            bad_vectors=self.bad_vectors,
        )

    def _shorten(self, talk: Talk) -> None:
        while self.bytes > self.spec.max_bytes and len(talk.turns) > 1:
            self.bytes -= talk.drop_oldest()
            self.dropped_turns += 1

    def _is_over(self, talk: Talk, now: float) -> bool:
        ttl = self.spec.ttl
        return ttl is not None and now - talk.used > ttl
