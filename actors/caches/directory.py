"""Which Cache actor keeps what: one for each spec, made when it is first needed.

Two agents with equal caches share one actor and what it knows; two caches with one file share its
actor. A runtime in which nothing is cached makes none, and imports nothing that only caches need.
On the loop's thread.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from understudy.actors.kernel.options import ChildSpec, MailboxOptions, child
from understudy.actors.kernel.ref import Ref
from understudy.actors.kernel.system import ActorSystem, Guardian
from understudy.actors.rules.ngrams import ngram_vector
from understudy.messages.caches import AskCacheStats, CacheSpec, CacheStats, Invalidate
from understudy.messages.control import Overflow
from understudy.messages.errors import ConfigError
from understudy.messages.models import Embed

if TYPE_CHECKING:
    from understudy.actors.caches.answers import Answers
    from understudy.actors.caches.outcomes import Outcomes

_MAILBOX = MailboxOptions(overflow=Overflow.WAIT)


class CacheDirectory:
    """See the module's docstring.

    Args:
        system: where the actors live, under `/system/caches`.
        default: `[llm.cache]`: of agents that do not say; None: they have none.
        tools: `[tools.cache]`: of tools that do not bring their own.
        model_of: finds the Model actor of an embedder, and its model's name.
    """

    def __init__(
        self,
        system: ActorSystem,
        *,
        default: CacheSpec | None,
        tools: CacheSpec,
        model_of: Callable[[str], tuple[Ref[Any], str]],  # Any: Ref of ModelActor
    ) -> None:
        self._system = system
        self._default = default
        self._tools = tools
        self._model_of = model_of
        self._branch: Ref[Guardian] | None = None
        self._made: dict[tuple[str, CacheSpec], Ref[Any]] = {}  # Any: Ref of CacheActor
        self._files: dict[str, tuple[tuple[int, int], Ref[Any]]] = {}  # Any: Ref of CacheFileActor
        self._answers: dict[CacheSpec | None, Answers] = {}
        self._numbers = itertools.count(1)

    def reconfigure(self, default: CacheSpec | None, tools: CacheSpec) -> None:
        """Other defaults for what is asked from now on; what is kept stays in its cache."""
        self._default, self._tools = default, tools
        self._answers.pop(None, None)

    # -- who asks through them ---------------------------------------------------------------------

    def answers_of(self, cache: CacheSpec | bool | None) -> Answers | None:  # noqa: FBT001 - a field
        """What an agent asks models through; None where it has no cache.

        Raises:
            ConfigError: its file has other bounds in another cache.
        """
        if cache is None and self._default is None:
            return None
        if isinstance(cache, bool):
            if not cache:
                return None
            cache = self._default or CacheSpec()
        made = self._answers.get(cache)
        if made is None or not made.is_alive:
            from understudy.actors.caches.answers import Answers

            spec = cache or self._default or CacheSpec()
            made = self._answers[cache] = Answers(
                self.ref_of("answers", spec), spec, at_zero=cache is None
            )
        return made

    def outcomes_of(self, cache: CacheSpec | None) -> Outcomes:
        """What calls of a tool go through; its own cache, or the one that all of them share."""
        from understudy.actors.caches.outcomes import Outcomes

        spec = cache or self._tools
        return Outcomes(self.ref_of("tools", spec), spec.tags)

    # -- all of them -------------------------------------------------------------------------------

    async def stats(self) -> dict[str, CacheStats]:
        """How each is doing that was needed so far, by its name."""
        return {
            ref.path.rpartition("/")[2]: await ref.request(AskCacheStats()) for ref in self._alive()
        }

    async def invalidate(self, wanted: Invalidate) -> int:
        """Forget what matches, in all of them; gives how many."""
        return sum([await ref.request(wanted) for ref in self._alive()])

    async def forget_tool(self, wanted: Invalidate) -> int:
        """Forget what matches, in the cache that tools share; gives how many."""
        ref = self._made.get(("tools", _plain(self._tools)))
        return 0 if ref is None else await ref.request(wanted)

    def ref_of(self, family: str, cache: CacheSpec) -> Ref[Any]:  # Any: Ref of CacheActor
        """The actor of a spec; `family`: whose values it keeps.

        Raises:
            ConfigError: its file has other bounds in another cache.
        """
        key = family, _plain(cache)
        ref = self._made.get(key)
        if ref is None or not ref.is_alive():
            from understudy.actors.caches.cache import CacheActor

            file = None if cache.path is None else self._file(cache)
            spec = child(CacheActor, key[1], file, self._embed(cache.embedder))
            ref = self._made[key] = self._child(spec, family)
        return ref

    def _alive(self) -> list[Ref[Any]]:  # Any: Ref of CacheActor
        return [ref for ref in self._made.values() if ref.is_alive()]

    def _file(self, cache: CacheSpec) -> Ref[Any]:  # Any: Ref of CacheFileActor
        path = str(Path(str(cache.path)).absolute())
        bounds = cache.max_size, cache.max_bytes
        known, ref = self._files.get(path, (bounds, None))
        if known != bounds:
            raise ConfigError(
                f"Cache(path={cache.path!r}): another cache with this file has max_size={known[0]} "
                f"and max_bytes={known[1]}; give both the same, or another path"
            )
        if ref is None or not ref.is_alive():
            from understudy.actors.caches.file import CacheFileActor

            ref = self._child(child(CacheFileActor, path, *bounds), "file")
            self._files[path] = bounds, ref
        return ref

    def _embed(self, embedder: str | None) -> Callable[[tuple[str, ...]], Any]:  # Any: awaitable
        async def embed(texts: tuple[str, ...]) -> Sequence[bytes]:
            if embedder is None:
                return [ngram_vector(text) for text in texts]
            ref, model = self._model_of(embedder)
            return (await ref.request(Embed(model=model, texts=texts))).vectors  # type: ignore[no-any-return]

        return embed

    def _child(self, spec: ChildSpec, name: str) -> Ref[Any]:  # Any: Ref of the spec's class
        if self._branch is None:
            branch = ChildSpec(cls=Guardian, name="caches")
            self._branch = self._system.spawn(branch, parent=self._system.infrastructure).get()
        named = spec.options(name=f"{name}-{next(self._numbers)}", mailbox=_MAILBOX)
        return self._system.spawn(named, parent=self._branch.cell).get()


def _plain(cache: CacheSpec) -> CacheSpec:
    """What tells caches apart: tags do not; a spec with verbs is as good as one without."""
    fields = {name: getattr(cache, name) for name in CacheSpec.__struct_fields__}
    return CacheSpec(**{**fields, "tags": ()})
