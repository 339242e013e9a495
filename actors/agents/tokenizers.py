"""Who counts tokens for a context window.

`tiktoken` where it is installed and has its vocabulary on this machine, the calibrated estimate of
`rules.tokens` otherwise; a result says which. Why not let tiktoken fetch its vocabulary: it would
open a socket of its own, on the loop, in the middle of a run.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from hashlib import sha1
from pathlib import Path
from typing import NamedTuple

from understudy.actors.rules.tokens import estimate_tokens

ENCODING = "o200k_base"
_VOCABULARY = f"https://openaipublic.blob.core.windows.net/encodings/{ENCODING}.tiktoken"


class Tokenizer(NamedTuple):
    """Counts the tokens of a text; `name` is what results call it."""

    name: str
    count: Callable[[str], int]


ESTIMATE = Tokenizer("estimate", estimate_tokens)


def best_tokenizer() -> Tokenizer:
    """The most exact one that works without the network."""
    try:
        import tiktoken  # type: ignore[import-not-found]  # no extra of ours
    except ImportError:
        return ESTIMATE
    if not _has_vocabulary():
        return ESTIMATE
    encoding = tiktoken.get_encoding(ENCODING)
    return Tokenizer(f"tiktoken:{ENCODING}", lambda text: len(encoding.encode_ordinary(text)))


def _has_vocabulary() -> bool:
    """Whether tiktoken has kept its file here; the name is its own way of making one."""
    folder = os.environ.get("TIKTOKEN_CACHE_DIR") or os.environ.get("DATA_GYM_CACHE_DIR")
    kept = Path(folder) if folder else Path(tempfile.gettempdir()) / "data-gym-cache"
    name = sha1(_VOCABULARY.encode(), usedforsecurity=False).hexdigest()
    return (kept / name).exists()
