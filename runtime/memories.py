"""The memories of a runtime: which one a run has, and which session it holds.

Every run with a session has a memory: its agent's, or the runtime's, or one in the process that is
made for it. A run without a session has one only where somebody gave one to its agent or to the
runtime, and is shown passages of its documents.
"""

from __future__ import annotations

from _thread import allocate_lock
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from understudy.actors.agents.remembering import Bond
from understudy.actors.agents.tokenizers import Tokenizer
from understudy.actors.models.directory import ModelDirectory
from understudy.messages.agents import AgentSpec
from understudy.messages.envelope import Origin
from understudy.messages.errors import ConfigError, DeadlockError
from understudy.messages.memories import Erase, Erased, MemorySpec
from understudy.messages.models import Embed, Embeddings
from understudy.runtime.memory import Memory

if TYPE_CHECKING:
    from understudy.actors.kernel.system import ActorSystem
    from understudy.actors.memories.directory import MemoryDirectory, Open

Key = tuple[Any, ...]  # Any: memory, tenant, session


class Memories:
    """See the module's docstring.

    Args:
        system: where the actors live.
        models: makes vectors, for memories that have an embedder by name.
        default: of the agents that have none.

    Attributes:
        erasers: told of every tenant that is erased: whoever keeps something else of tenants.
    """

    def __init__(
        self, system: ActorSystem, models: ModelDirectory, default: MemorySpec | None
    ) -> None:
        self._system = system
        self._models = models
        self._lock = allocate_lock()
        self._made: MemoryDirectory | None = None
        self._default = default
        self.erasers: list[Callable[[str], Awaitable[object]]] = []

    @property
    def default(self) -> Memory:
        """The memory of agents that have none."""
        given = self._default
        if not isinstance(given, Memory):
            with self._lock:
                if not isinstance(self._default, Memory):
                    self._default = Memory() if given is None else Memory.of(given)
                return self._default
        return given

    def find(self, spec: MemorySpec) -> Open:
        """The memory of a spec.

        Raises:
            ConfigError: the same file with other settings, or an embedder that is none.
        """
        made = self._made
        if made is None:
            # Here, because most programs never load SQLite for it.
            from understudy.actors.memories.directory import MemoryDirectory

            with self._lock:
                if self._made is None:
                    self._made = MemoryDirectory(self._system, self._embedder)
                made = self._made
        return made.find(spec)

    def bond(self, spec: AgentSpec, origin: Origin, *, named: bool) -> Bond:
        """What a run has to do with a memory."""
        memory = spec.memory or self.default
        found = self.find(memory)
        session = origin.session if named else None
        return Bond(found.ref, found.shelf, origin.tenant, session, memory.rag)

    def hold(self, bond: Bond, origin: Origin) -> tuple[Key, Origin]:
        """The session that a run holds while it lasts, and its origin, which says so.

        Raises:
            DeadlockError: a run around it holds it already.
        """
        key = (id(bond.shelf), bond.tenant, bond.session)
        if key in origin.sessions:
            told = f"session {bond.session!r}"
            if bond.tenant:
                told = f"{told} of tenant {bond.tenant!r}"
            raise DeadlockError(
                f"{told} is held by the run that begins this one: neither could go on; "
                "use another session, or none",
                cycle=(told, told),
            )
        return key, replace(origin, sessions=(*origin.sessions, key))

    async def erase(self, spec: MemorySpec, tenant: str) -> Erased:
        """Forget all of a tenant: in this memory, and whatever the runtime has cached for it."""
        erased: Erased = await self.find(spec).ref.request(Erase(tenant=tenant))
        for eraser in self.erasers:
            await eraser(tenant)
        return erased

    async def aclose(self) -> None:
        """Close the files."""
        if self._made is not None:
            await self._made.aclose()

    def _embedder(self, given: Any) -> Any:  # Any: a name, or an object; an Embedder
        if isinstance(given, str):
            return ModelEmbedder(given, self._models)
        if not isinstance(getattr(given, "name", None), str) or not hasattr(given, "embed"):
            raise ConfigError(
                f"Memory(embedder={given!r}): give 'provider:model', or an object with a name and "
                "`async def embed(texts)`"
            )
        return given


class ModelEmbedder:
    """The embedding model of a provider."""

    def __init__(self, name: str, models: ModelDirectory) -> None:
        self.name = name
        self._models = models

    async def embed(self, texts: Sequence[str]) -> Sequence[bytes]:
        """One vector for each text, as packed 32-bit floats."""
        served = self._models.find(AgentSpec(model=self.name))
        made: Embeddings = await served.ref.request(Embed(model=served.model, texts=tuple(texts)))
        return made.vectors


def memory_of(given: MemorySpec | None) -> MemorySpec | None:
    """What was given as `Runtime(memory=)`, checked."""
    check: object = given
    if check is not None and not isinstance(check, MemorySpec):
        raise ConfigError(f"memory={given!r}: give a Memory(...)")
    return given


def tokenizer_of(given: Callable[[str], int]) -> Tokenizer:
    """What was given as `Runtime(tokenizer=)`, under its own name."""
    if not callable(given):
        raise ConfigError(f"tokenizer={given!r}: give a function from a text to its tokens")
    return Tokenizer(getattr(given, "__qualname__", type(given).__name__), given)
