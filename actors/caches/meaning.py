"""Which entries ask the same in other words: by a gate of words, and behind it by meaning.

The gate is a hash of everything but the wording (tenant, model, system, tools, what was said
before) and of the content of the wording (see `rules.wording`). Only what goes through the same
gate is ever compared, so a comparison is with a few entries and not with all of them: a look-up
costs the same with ten entries and with fifty thousand. `strict`: the gate decides. `embedding`: a
wider gate, and then the cosine of the two texts.

Every vector is made once, and only when something is to be compared with it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

from understudy.actors.caches.question import Wording
from understudy.actors.rules.ngrams import cosine, unpacked
from understudy.actors.rules.wording import loose_content, strict_content
from understudy.messages.caches import CacheSpec
from understudy.messages.errors import ResponseError

PARTITION = 50_000
"""Entries of one partition that are found by their wording."""
VECTORS = 20_000
"""Vectors that are held in memory."""

Embed = Callable[[tuple[str, ...]], Awaitable[Sequence[bytes]]]
"""Makes vectors of texts, packed 32-bit floats, in order."""


class Found(NamedTuple):
    """An entry that asks the same."""

    number: int
    why: str


class Meaning:
    """See the module's docstring.

    Args:
        spec: of the cache.
        embed: makes vectors, for `embedding`.
    """

    def __init__(self, spec: CacheSpec, embed: Embed) -> None:
        self._strict = spec.semantic == "strict"
        self._threshold = spec.threshold
        self._embedder = (spec.embedder or "ngrams").encode()
        self._embed = embed
        self._gates: dict[bytes, dict[bytes, None]] = {}
        self._partitions: dict[bytes, dict[bytes, None]] = {}
        self._places: dict[bytes, tuple[bytes, bytes]] = {}
        self._vectors: OrderedDict[bytes, bytes] = OrderedDict()

    def gate(self, wording: Wording) -> bytes:
        """The gate of a wording; empty where it says nothing."""
        content = strict_content(wording.text) if self._strict else loose_content(wording.text)
        if not content:
            return b""
        hashed = blake2b(wording.partition, digest_size=16)
        for token in content:
            hashed.update(b"\x00" + token.encode("utf-8", "surrogatepass"))
        return hashed.digest()

    def add(self, key: bytes, gate: bytes, partition: bytes) -> None:
        """An entry may be found by its wording from now on."""
        self.discard(key)
        inside = self._partitions.setdefault(partition, {})
        inside[key] = None
        self._gates.setdefault(gate, {})[key] = None
        self._places[key] = gate, partition
        if len(inside) > PARTITION:
            self.discard(next(iter(inside)))

    def discard(self, key: bytes) -> None:
        """An entry has gone."""
        place = self._places.pop(key, None)
        if place is None:
            return
        for places, name in zip((self._gates, self._partitions), place, strict=True):
            places[name].pop(key, None)
            if not places[name]:
                del places[name]

    def through(self, gate: bytes) -> list[bytes]:
        """The entries that went through a gate, the newest first."""
        return list(self._gates.get(gate, ()))[::-1] if gate else []

    def same(self, text: str, others: Sequence[str]) -> Found | None:
        """The first of the others with the same content in the strict sense."""
        content = strict_content(text)
        for index, other in enumerate(others):
            if other == text or strict_content(other) == content:
                return Found(index, f"the same words as {_shown(other)}")
        return None

    async def near(
        self,
        text: str,
        others: Sequence[str],
        kept: Callable[[tuple[bytes, ...]], Awaitable[dict[bytes, bytes]]],
        keep: Callable[[dict[bytes, bytes]], Any],  # Any: ignored
    ) -> Found | None:
        """The nearest of the others, where it is near enough; all are through the gate.

        Args:
            text: what is asked.
            others: what was asked.
            kept: vectors of an earlier life, by the hashes of their texts.
            keep: takes new ones.

        Raises:
            ResponseError: the embedder's vectors have no cosine.
        """
        texts = {self._hash(each): each for each in (text, *others)}
        missing = tuple(key for key in texts if key not in self._vectors)
        if missing:
            self._remember(await kept(missing))
        missing = tuple(key for key in missing if key not in self._vectors)
        if missing:
            made = await self._embed(tuple(texts[key] for key in missing))
            new = dict(zip(missing, map(bytes, made), strict=True))
            self._remember(new)
            keep(new)
        asked = unpacked(self._vectors[self._hash(text)])
        best: tuple[float, int] | None = None
        for index, other in enumerate(others):
            score = cosine(asked, unpacked(self._vectors[self._hash(other)]))
            if score is None:
                for key in texts:
                    self._vectors.pop(key, None)
                told = "the embedder gave vectors of other dimensions than before, or no numbers"
                raise ResponseError(told)
            if best is None or score > best[0]:
                best = score, index
        if best is None or best[0] < self._threshold:
            return None
        score, index = best
        told = f"through the gate, cosine {score:.3f} >= {self._threshold:g} with"
        return Found(index, f"{told} {_shown(others[index])}")

    def _remember(self, vectors: dict[bytes, bytes]) -> None:
        self._vectors.update(vectors)
        while len(self._vectors) > VECTORS:
            self._vectors.popitem(last=False)

    def _hash(self, text: str) -> bytes:
        return blake2b(
            self._embedder + b"\x00" + text.encode("utf-8", "surrogatepass"), digest_size=16
        ).digest()


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:77]}...")
