"""What it costs to find the same question in other words, and how often that is right."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from benchmarks.measure import (
    Samples,
    Scale,
    run_on_loop,
)

from understudy.actors.caches.meaning import Meaning
from understudy.actors.caches.question import Wording
from understudy.actors.rules.ngrams import cosine, ngram_vector, unpacked
from understudy.actors.rules.wording import loose_content, strict_content
from understudy.messages.caches import CacheSpec

ENTRIES = 10_000
PAIRS = Path(__file__).parents[1] / "tests" / "actors" / "rules" / "pairs.py"


async def _no_vectors(texts: tuple[bytes, ...]) -> dict[bytes, bytes]:
    del texts
    return {}


async def _semantic(count: int, semantic: Any) -> float:  # Any: Semantic
    async def embed(texts: tuple[str, ...]) -> list[bytes]:
        return [ngram_vector(text) for text in texts]

    meaning = Meaning(CacheSpec(semantic=semantic), embed)
    texts = [f"Explain what number {number} means for the tides" for number in range(ENTRIES)]
    for number, text in enumerate(texts):
        meaning.add(b"%d" % number, meaning.gate(Wording(b"p", text)), b"p")
    begin = time.perf_counter()
    for number in range(count):
        text = f"Please explain what number {number} means for tides"
        through = meaning.through(meaning.gate(Wording(b"p", text)))
        others = [texts[int(key)] for key in through]
        if meaning.same(text, others) is None and semantic == "embedding":
            await meaning.near(text, others, _no_vectors, lambda _: None)
    return (time.perf_counter() - begin) / count * 1e3


def _rate(same: Callable[[str, str], bool], pairs: tuple[tuple[str, str], ...]) -> float:
    return 100 * sum(same(a, b) for a, b in pairs) / len(pairs)


def _strictly(a: str, b: str) -> bool:
    return strict_content(a) == strict_content(b)


def _nearly(a: str, b: str) -> bool:
    if _strictly(a, b):
        return True
    score = cosine(unpacked(ngram_vector(a)), unpacked(ngram_vector(b)))
    return loose_content(a) == loose_content(b) and score is not None and score >= 0.95


def measure_meaning(scale: Scale) -> Samples:
    """Lookups among 10,000 wordings, and how often each mode is right and wrong."""
    spec = spec_from_file_location("pairs", PAIRS)
    if spec is None or spec.loader is None:
        raise RuntimeError(f"{PAIRS} is not there: run this from a checkout")
    pairs = module_from_spec(spec)
    spec.loader.exec_module(pairs)
    found: dict[str, list[float]] = {"strict": [], "embedding": []}
    count = scale.of(500)
    for _ in range(scale.rounds):
        found["strict"].append(run_on_loop(lambda: _semantic(count, "strict")))
        found["embedding"].append(run_on_loop(lambda: _semantic(count, "embedding")))
    for name, same in (("strict", _strictly), ("embedding", _nearly)):
        found[f"{name} hits"] = [_rate(same, pairs.PARAPHRASES)]
        found[f"{name} false"] = [_rate(same, pairs.ADVERSARIAL)]
    return found
