"""What a cache has behind its memory: the file, asked without ever failing.

Whatever goes wrong with the file is a miss: it is counted, said once in the log and in the
statistics, and the file is left alone for a while. Runs on the loop's thread alone.
"""

from __future__ import annotations

import logging
from typing import Any

from understudy.actors.caches.entries import Entry, size_of
from understudy.actors.caches.file import (
    Drop,
    FileSizes,
    Load,
    Row,
    Save,
    SaveVectors,
    Vectors,
)
from understudy.actors.kernel.ref import Ref
from understudy.actors.kernel.reply import Reply
from understudy.actors.kernel.system import ActorSystem
from understudy.messages.caches import Invalidate
from understudy.messages.errors import StorageError, UnderstudyError

logger = logging.getLogger("understudy.caches")

PAUSE = 30.0
"""Seconds for which a file is left alone that cannot be used."""
TIMEOUT = 10.0


class Backing:
    """See the module's docstring.

    Args:
        system: clocks.
        ref: of the file's actor; None: there is no file.
    """

    def __init__(self, system: ActorSystem, ref: Ref[Any] | None) -> None:
        self._system = system
        self._ref = ref
        self._until = 0.0
        self.errors = 0
        self.problem: str | None = None

    @property
    def configured(self) -> bool:
        """Whether there is a file at all."""
        return self._ref is not None

    @property
    def there(self) -> bool:
        """Whether there is a file that may be asked now."""
        return self._ref is not None and self._system.now() >= self._until

    async def load(self, key: bytes, gate: bytes) -> list[tuple[bytes, Entry]]:
        """The entry of this key alone, or else those of the gate; empty where there is none."""
        rows: tuple[Row, ...] = await self._ask(Load(key=key, gate=gate), ())
        wall, now = self._system.clock.wall(), self._system.now()
        exact = [row for row in rows if row.key == key]
        return [(row.key, _entry(row, now - wall)) for row in exact or rows]

    def save(self, key: bytes, entry: Entry) -> None:
        """Keep an entry, in a moment."""
        shift = self._system.clock.wall() - self._system.now()
        row = Row(
            key=key,
            value=entry.value,
            at=entry.at + shift,
            ends=entry.ends + shift,
            tenant=entry.tenant,
            tags=entry.tags,
            usage=entry.usage,
            seconds=entry.seconds,
            gate=entry.gate,
            text=entry.text,
        )
        self._tell(Save(row=row))

    async def drop(self, wanted: Invalidate) -> int:
        """Forget what matches; gives how many."""
        dropped: int = await self._ask(Drop(wanted=wanted), 0, patient=True)
        return dropped

    async def vectors(self, texts: tuple[bytes, ...]) -> dict[bytes, bytes]:
        """The vectors that are kept of these."""
        found: dict[bytes, bytes] = await self._ask(Vectors(texts=texts), {})
        return found

    def save_vectors(self, vectors: dict[bytes, bytes]) -> None:
        """Keep some, in a moment."""
        self._tell(SaveVectors(vectors=vectors))

    async def sizes(self) -> tuple[int, int]:
        """Entries and bytes of the file."""
        sizes: tuple[int, int] = await self._ask(FileSizes(), (0, 0))
        return sizes

    async def _ask(self, message: Any, otherwise: Any, *, patient: bool = False) -> Any:
        """The answer, or `otherwise`; `patient`: also of a file that is left alone."""
        ref = self._ref
        if ref is None or not (patient or self.there):
            return otherwise
        try:
            answer = await ref.request(message, timeout=TIMEOUT)
        except UnderstudyError as error:
            self.failed(error)
            return otherwise
        if self.there and not isinstance(message, FileSizes):
            self.problem = None  # it can be read, and nothing that was to be written has failed
        return answer

    def _tell(self, message: Any) -> None:  # Any: a message of the file
        ref = self._ref
        if ref is None or not self.there:
            return
        reply: Reply[None] = ref.request(message, timeout=TIMEOUT)
        reply.add_done_callback(self._told)

    def _told(self, reply: Reply[None]) -> None:
        error = reply.outcome().error
        if isinstance(error, UnderstudyError):
            self._system.call_on_loop(lambda: self.failed(error))

    def failed(self, error: UnderstudyError, without: str = "its file") -> None:
        """Count it, say it once, and leave the file alone where that helps nobody."""
        self.errors += 1
        if isinstance(error, StorageError):
            pause = (error.retry_after or 0.0) if error.retryable else PAUSE
            self._until = self._system.now() + pause
        if self.problem != error.message:
            self.problem = error.message
            logger.error("a cache goes on without %s: %s", without, error.message)


def _entry(row: Row, shift: float) -> Entry:
    return Entry(
        value=row.value,
        size=size_of(row.value, (row.text, *row.tags)),
        at=row.at + shift,
        ends=row.ends + shift,
        tenant=row.tenant,
        tags=row.tags,
        usage=row.usage,
        seconds=row.seconds,
        gate=row.gate,
        text=row.text,
    )
