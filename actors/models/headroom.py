"""What an answer's headers say is left of an account's limits.

OpenAI and who copies it write `x-ratelimit-remaining-tokens`, Anthropic
`anthropic-ratelimit-tokens-remaining`; further families of such headers appear now and then and are
not understood, so they are ignored. Most servers send none, which costs a look at their names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

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
        match = _NAME.fullmatch(name)
        reset = reset_delay(headers.get(name.replace("-remaining", "-reset", 1), ""), headers)
        left = _count(remaining)
        if match is None or reset is None or left is None:
            continue
        found.append(
            Headroom(
                dimension=(match["last"] or match["first"]).replace("-", "_"),
                remaining=left,
                reset=reset,
                limit=_count(headers.get(name.replace("-remaining", "-limit", 1), "")),
            )
        )
    return tuple(found)


def _count(text: str) -> float | None:
    return float(text) if text.isascii() and text.isdigit() else None
