"""A tree of text files that look real: made-up handbooks with headings, lists, tables and code.

Guarantees: the same arguments give the same bytes on every machine and CPython from 3.11 on. Words
follow Zipf's law, each file has a subject with words of its own, sentences are 6 to 28 words, so
that splitting and scoring have the work they have on prose.

    python -m benchmarks.corpus FOLDER [FILES] [BYTES] [SEED]
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path

_COMMON = (
    "the of and to a in is that for it as with on be by this are from at which or an when its not "
    "can has each may one than into only after before while where more there every between through "
    "without under over until then also most such other their first last same new small large long"
).split()
_VERBS = (
    "holds takes gives sends keeps reads writes counts starts stops restarts waits answers refuses "
    "accepts measures bounds limits follows leaves shows returns calls needs makes finds opens "
    "closes moves joins splits orders drops retries replays records reports repeats"
).split()
_SYLLABLES = (
    "ra ve lo mi ter con sal dor ben tal ris ped quo lin mar fen gor hal jun kel nov pol sur tim "
    "urb vas wen zor ash bel cre dun el far gim"
).split()
_SUFFIXES = (".md", ".md", ".md", ".txt", ".rst")
_AREAS = 20
_NOUNS = 4_000
_SUBJECT_WORDS = 40


def make_corpus(
    folder: Path, files: int = 1000, size_bytes: int = 20_000_000, seed: int = 7
) -> list[Path]:
    """Write a corpus and list its files in order.

    Args:
        folder: is made if there is none; files of the same names are overwritten.
        files: how many, spread over up to 20 sub-folders.
        size_bytes: of all files together; each is between half and one and a half times the mean.
        seed: another seed, other texts.
    """
    if files < 1 or size_bytes < files:
        raise ValueError(f"{files} files of {size_bytes} bytes: give at least one byte a file")
    rng = random.Random(seed)
    nouns = ["".join(rng.choices(_SYLLABLES, k=rng.randint(2, 3))) for _ in range(_NOUNS)]
    shares = [0.5 + rng.random() for _ in range(files)]
    written: list[Path] = []
    spent, due = 0, 0.0
    for number, share in enumerate(shares):
        due += size_bytes * share / sum(shares)
        size = max(1, round(due) - spent)
        spent += size
        subject = rng.sample(nouns, min(_SUBJECT_WORDS, len(nouns)))
        suffix = _SUFFIXES[number % len(_SUFFIXES)]
        path = (
            folder / f"area-{number * min(_AREAS, files) // files:02}" / f"note-{number:04}{suffix}"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_text(rng, _Words(rng, nouns, subject), size, suffix).encode("ascii"))
        written.append(path)
    return written


class _Words:
    """Draws words a few thousand at a time, which is much faster than one by one."""

    def __init__(self, rng: random.Random, nouns: list[str], subject: list[str]) -> None:
        words = [*_COMMON, *_VERBS, *subject, *nouns]
        weights = [12 / (rank + 4) for rank in range(len(_COMMON))]
        weights += [0.25] * len(_VERBS)
        weights += [6 / (rank + 4) for rank in range(len(subject))]
        weights += [4 / (rank + 50) for rank in range(len(nouns))]
        self._rng = rng
        self._words = words
        self._weights = weights
        self._drawn: list[str] = []

    def take(self, count: int) -> list[str]:
        """Take the next words."""
        while len(self._drawn) < count:
            self._drawn += self._rng.choices(self._words, self._weights, k=2_000)
        taken, self._drawn = self._drawn[-count:], self._drawn[:-count]
        return taken


def _text(rng: random.Random, words: _Words, size: int, suffix: str) -> str:
    """Join blocks until the size is reached, and cut the last one to it."""
    blocks: list[str] = []
    length = 0
    for block in _blocks(rng, words, suffix):
        blocks.append(block)
        length += len(block) + 2
        if length >= size:
            break
    return "\n\n".join(blocks).ljust(size - 1, ".")[: size - 1] + "\n"


def _blocks(rng: random.Random, words: _Words, suffix: str) -> Iterator[str]:
    yield _heading(words, suffix, "=")
    while True:
        yield _paragraph(rng, words)
        kind = rng.random()
        if kind < 0.12:
            yield _heading(words, suffix, "-")
        elif kind < 0.22:
            yield "\n".join(f"- {_phrase(words, 7)}" for _ in range(rng.randint(3, 6)))
        elif kind < 0.25 and suffix == ".md":
            rows = "\n".join("| " + " | ".join(words.take(3)) + " |" for _ in range(4))
            yield f"| a | b | c |\n|---|---|---|\n{rows}"
        elif kind < 0.28 and suffix == ".md":
            name, argument = words.take(2)
            yield f"```python\ndef {name}({argument}):\n    return {argument} + 1\n```"


def _heading(words: _Words, suffix: str, line: str) -> str:
    title = _phrase(words, 4)
    if suffix == ".md":
        return f"{'#' if line == '=' else '##'} {title}"
    return f"{title}\n{line * len(title)}"


def _paragraph(rng: random.Random, words: _Words) -> str:
    sentences = [_sentence(rng, words) for _ in range(rng.randint(3, 8))]
    taken = " ".join(sentences).split(" ")
    return "\n".join(" ".join(taken[at : at + 14]) for at in range(0, len(taken), 14))


def _sentence(rng: random.Random, words: _Words) -> str:
    count = rng.randint(6, 28)
    text = _phrase(words, count)
    if count > 14:
        text = text.replace(" which ", ", which ", 1)
    return text + rng.choice((".", ".", ".", ".", "?", f", e.g. {count}.5 per cent."))


def _phrase(words: _Words, count: int) -> str:
    return " ".join(words.take(count)).capitalize()


if __name__ == "__main__":
    if len(sys.argv) not in range(2, 6):
        sys.exit("usage: python -m benchmarks.corpus FOLDER [FILES] [BYTES] [SEED]")
    made = make_corpus(Path(sys.argv[1]), *map(int, sys.argv[2:]))
    print(f"{len(made):,} files, {sum(path.stat().st_size for path in made):,} bytes")
