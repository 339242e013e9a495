"""What an answer's headers say is left of an account's limits.

OpenAI and who copies it write `x-ratelimit-remaining-tokens`, Anthropic
`anthropic-ratelimit-tokens-remaining`; further families of such headers appear now and then and are
not understood, so they are ignored. Most servers send none, which costs a look at their names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from understudy.actors.models.failures import reset_delay
from understudy.messages.limits import Headroom

_NAME = re.compile(
    r"(?:x-|anthropic-)ratelimit-(?:remaining-(?P<last>requests|tokens|(?:in|out)put-tokens)"
    r"|(?P<first>requests|tokens|(?:in|out)put-tokens)-remaining)"
)


def headroom_of(headers: Mapping[str, str]) -> tuple[Headroom, ...]:
    """The buckets that the headers tell of; one whose reset is not said is left out."""
    found = []
    for name, remaining in headers.items():
        if "ratelimit" not in name:
            continue
        names = _names(name)
        if names is None:
            continue
        dimension, resets, limits = names
        reset = reset_delay(headers.get(resets, ""), headers)
        left = _count(remaining)
        if reset is None or left is None:
            continue
        limit = _count(headers.get(limits, ""))
        found.append(Headroom(dimension=dimension, remaining=left, reset=reset, limit=limit))
    return tuple(found)


@lru_cache(maxsize=256)
def _names(name: str) -> tuple[str, str, str] | None:
    """What a header counts, and the headers beside it: its reset, its limit; None: it is another.

    Remembered, because each answer of a provider has the same dozen.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    dimension = (match["last"] or match["first"]).replace("-", "_")
    resets, limits = (name.replace("-remaining", other, 1) for other in ("-reset", "-limit"))
    return dimension, resets, limits


def _count(text: str) -> float | None:
    return float(text) if text.isascii() and text.isdigit() else None
