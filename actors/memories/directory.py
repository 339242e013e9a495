"""Which actor keeps which memory.

One for each file, and one for each memory without a file (which is the object itself: two that look
the same are two). Made when first needed, under `/system/memories`; what they hold survives them.
"""

from __future__ import annotations

from _thread import allocate_lock
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from understudy.actors.kernel.options import ChildSpec, MailboxOptions, child
from understudy.actors.kernel.ref import Ref
from understudy.actors.kernel.system import ActorSystem, Guardian
from understudy.actors.memories.actor import MemoryActor
from understudy.actors.memories.database import Database
from understudy.actors.memories.library import Library
from understudy.actors.memories.ports import Embedder
from understudy.actors.memories.shelf import Shelf
from understudy.actors.memories.tables import check, prepare
from understudy.messages.control import Overflow
from understudy.messages.errors import ConfigError
from understudy.messages.memories import MemorySpec

_MAILBOX = MailboxOptions(overflow=Overflow.WAIT)


class Open(NamedTuple):
    """A memory that is in use: whom to ask, and what it holds."""

    ref: Ref[Any]  # Any: Ref of MemoryActor
    shelf: Shelf
    database: Database
    spec: MemorySpec


class MemoryDirectory:
    """Finds, and makes when first needed, the actor of a memory. Any thread.

    Args:
        system: where the actors live.
        embedder_for: makes the embedder that a spec names.
    """

    def __init__(
        self, system: ActorSystem, embedder_for: Callable[[Any], Embedder]
    ) -> None:  # Any: a name, or an object
        self._system = system
        self._embedder_for = embedder_for
        self._open: dict[str | int, Open] = {}
        self._lock = allocate_lock()
        self._branch: Ref[Guardian] | None = None

    def find(self, spec: MemorySpec) -> Open:
        """The memory of a spec.

        Raises:
            ConfigError: the same file with other bounds, or an embedder that is none.
        """
        key: str | int = id(spec) if spec.path is None else str(Path(spec.path).absolute())
        found = self._open.get(key)
        if found is not None and (found.spec is spec or found.spec == spec):
            return found
        with self._lock:
            found = self._open.get(key)
            if found is None:
                found = self._open[key] = self._make(spec)
        if found.spec != spec:
            raise ConfigError(
                f"memory {spec.path!r} is open here with other settings ({found.spec}): give all "
                "agents that use this file the same ones"
            )
        return found

    async def aclose(self) -> None:
        """Close the files, when the actors have ended."""
        for each in list(self._open.values()):
            await each.database.aclose()

    def _make(self, spec: MemorySpec) -> Open:
        embedder = None if spec.embedder is None else self._embedder_for(spec.embedder)
        system = self._system
        if self._branch is None:
            branch = ChildSpec(cls=Guardian, name="memories")
            self._branch = system.spawn(branch, parent=system.infrastructure).get()
        shelf, database = Shelf(spec), Database(spec.path, check, prepare)
        if spec.path is None:
            shelf.documents = False  # nothing was ingested yet, so nobody need ask
        actor = child(MemoryActor, shelf, database, Library(shelf, database, embedder))
        ref = system.spawn(actor.options(mailbox=_MAILBOX), parent=self._branch.cell).get()
        return Open(ref, shelf, database, spec)
