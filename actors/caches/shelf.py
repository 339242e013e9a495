"""What a cache keeps, and what it gives of it: copies, each with where it was found.

Entries by key, the wordings that lead to them, and the counts of what happened. Runs on the loop's
thread alone.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from understudy.actors.caches.backing import Backing
from understudy.actors.caches.entries import Entries, Entry, end_of
from understudy.actors.caches.flights import Flight
from understudy.actors.caches.meaning import Embed, Meaning
from understudy.actors.caches.question import Question
from understudy.actors.kernel.system import ActorSystem
from understudy.messages.caches import Cached, CacheSpec, CacheStats, Hit, Layer
from understudy.messages.chat import Usage


class Shelf:
    """See the module's docstring.

    Args:
        spec: how long and how much.
        system: clocks, and the numbers that ends are spread by.
        backing: the file behind it.
        embed: makes vectors of texts.
    """

    def __init__(
        self, spec: CacheSpec, system: ActorSystem, backing: Backing, embed: Embed
    ) -> None:
        self._now = system.now
        self._draw = system.random.random
        self._backing = backing
        self.entries = Entries(spec.max_size, spec.max_bytes, system.now, self._gone)
        self.meaning = None if spec.semantic is None else Meaning(spec, embed)
        self.count: Counter[str] = Counter()
        self.saved = Usage()
        self.saved_seconds = 0.0

    def gate(self, question: Question) -> bytes:
        """Where entries are found that ask the same; empty where only the key finds them."""
        if self.meaning is None or question.wording is None:
            return b""
        return self.meaning.gate(question.wording)

    def hit(
        self, key: bytes, entry: Entry, question: Question | None, layer: Layer, why: str = ""
    ) -> Hit | None:
        """A copy for one who asked; None where it cannot be read any more."""
        try:
            value = entry.value if question is None else question.thaw(entry.value)
        except Exception:  # noqa: BLE001 - whatever a damaged copy does
            self.entries.drop(key)
            self.count["errors"] += 1
            return None
        self.count["hits"] += 1
        if entry.usage is not None:
            self.saved += entry.usage
        self.saved_seconds += entry.seconds
        age = self._now() - entry.at
        return Hit(value=value, cached=Cached(age=age, layer=layer, why=why))

    def same(self, gate: bytes, question: Question) -> Hit | None:
        """A hit on another wording with the same content."""
        if self.meaning is None or question.wording is None:
            return None
        for key in self.meaning.through(gate):
            entry = self.entries.find(key)
            if entry is None:
                continue
            found = self.meaning.same(question.wording.text, [entry.text])
            if found is not None:
                hit = self.hit(key, entry, question, "strict", found.why)
                if hit is not None:
                    self.count["semantic_hits"] += 1
                    return hit
        return None

    def keep(
        self,
        key: bytes,
        value: Any,  # Any: what was made
        question: Question,
        flight: Flight | None = None,
    ) -> Entry | None:
        """Keep a copy; None where there is none to be kept."""
        try:
            if not question.keeps(value):
                self.count["refused"] += 1
                return None
            kept, size = question.freeze(value, None if flight is None else flight.tee)
        except Exception:  # noqa: BLE001 - whatever cannot be copied
            self.count["refused"] += 1
            return None
        now, wording = self._now(), question.wording
        gate = self.gate(question) if flight is None else flight.gate
        entry = Entry(
            value=kept,
            size=size,
            at=now,
            ends=end_of(question.ttl, self._draw(), now),
            tenant=question.tenant,
            tags=question.tags,
            usage=question.usage_of(value),
            seconds=0.0 if flight is None else now - flight.since,
            gate=gate,
            text=wording.text if gate and wording is not None else "",
        )
        if not self.put(key, entry, question):
            self.count["too_large"] += 1
            return None
        self.count["stored"] += 1
        if question.persistent:
            self._backing.save(key, entry)
        return entry

    def put(self, key: bytes, entry: Entry, question: Question) -> bool:
        """Take an entry; False where it is too large."""
        if not self.entries.put(key, entry):
            return False
        if self.meaning is not None and entry.gate and question.wording is not None:
            self.meaning.add(key, entry.gate, question.wording.partition)
        return True

    def _gone(self, key: bytes, entry: Entry) -> None:
        if self.meaning is not None and entry.gate:
            self.meaning.discard(key)

    def stats(self, file: tuple[int, int], in_flight: int) -> CacheStats:
        """How it is doing; `file`: entries and bytes of the file."""
        count, entries, backing = self.count, self.entries, self._backing
        size = len(entries)  # first: it forgets what has ended
        return CacheStats(
            hits=count["hits"],
            semantic_hits=count["semantic_hits"],
            shared=count["shared"],
            misses=count["misses"],
            stored=count["stored"],
            evicted=entries.evicted,
            expired=entries.expired,
            invalidated=count["invalidated"],
            refused=count["refused"],
            too_large=count["too_large"],
            errors=count["errors"] + backing.errors,
            size=size,
            bytes=int(entries.currsize),
            file_size=file[0],
            file_bytes=file[1],
            in_flight=in_flight,
            saved=self.saved,
            saved_seconds=self.saved_seconds,
            problem=backing.problem,
        )
