"""What families of models do not take, as data.

Providers refuse whole requests for a field that a model does not know: reasoning models of OpenAI
answer 400 to `temperature`, Anthropic's newer ones even to its default. Such a field is not sent,
and the log says so, once for each family and field.

The tables are facts about today's models; a name that no pattern matches gets everything.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import msgspec

_log = logging.getLogger("understudy.models")


class Family(msgspec.Struct, frozen=True, kw_only=True, cache_hash=True):
    """Models, or a whole API, and the fields of a request that they refuse.

    Attributes:
        name: for the log.
        models: a regular expression over the model's name; the empty one is every model.
        rejects: names of fields at the top of the request body.
    """

    name: str
    rejects: frozenset[str]
    models: str = ""

    def has(self, model: str) -> bool:
        """Whether the model belongs to it."""
        return re.search(self.models, model) is not None


OPENAI_REASONING = Family(
    name="reasoning models of OpenAI",
    models=r"(?:^|/)(?:o[1-9]|gpt-[5-9](?!\d))(?!.*chat)",
    rejects=frozenset(
        "temperature top_p max_tokens stop presence_penalty frequency_penalty logit_bias logprobs "
        "top_logprobs".split()
    ),
)
OPENAI_RESPONSES = Family(name="the Responses API", rejects=frozenset({"stop", "seed"}))
ANTHROPIC = Family(name="Anthropic", rejects=frozenset({"seed"}))
_WITH_SAMPLING = (
    r"(?:[1-3](?!\d)|instant|v\d|(?:opus|sonnet|haiku)-4(?:-[0-6])?(?:$|[-@]\d{8}|-latest))"
)
ANTHROPIC_NEWER = Family(
    name="Anthropic's models after 4.6",
    models=f"claude-(?!{_WITH_SAMPLING})",
    rejects=frozenset({"temperature", "top_p", "top_k"}),
)
OLLAMA = Family(name="Ollama", rejects=frozenset({"tool_choice"}))

# `output` is no field of any body: who rejects it is told the shape of its answer in words.
OPENAI_WITHOUT_SCHEMAS = Family(
    name="models of OpenAI before gpt-4o-2024-08-06",
    models=r"(?:^|/)(?:gpt-3|gpt-4(?:$|-(?!\d\d\b|o))|gpt-4o-2024-05|chatgpt|o1-(?:mini|preview))",
    rejects=frozenset({"output"}),
)
ANTHROPIC_WITHOUT_SCHEMAS = Family(
    name="Anthropic's models before 4.5",
    models=(
        r"claude-(?:[1-3](?!\d)|instant|v\d|(?:opus|sonnet)-4(?:-[01])?(?:$|[-@]\d{8}|-latest))"
    ),
    rejects=frozenset({"output"}),
)
GEMINI_WITHOUT_SCHEMAS = Family(
    name="Gemini before 2.5", models=r"gemini-(?:1|2\.0)", rejects=frozenset({"output"})
)
GEMINI_EITHER = Family(
    name="Gemini before 3", models=r"gemini-[12](?!\d)", rejects=frozenset({"output beside tools"})
)


def rejected(families: tuple[Family, ...], model: str, names: Iterable[str]) -> dict[str, str]:
    """Which of the fields a model does not take, each with the name of the family that says so."""
    own = _families_of(families, model)
    if not own:
        return {}
    names = list(names)
    return {name: family.name for family in own for name in names if name in family.rejects}


@lru_cache(maxsize=1024)
def _families_of(families: tuple[Family, ...], model: str) -> tuple[Family, ...]:
    """Those that the model belongs to: asked of every call, and the same for all of a model."""
    return tuple(family for family in families if family.has(model))


class Omissions:
    """Takes out of requests what a model refuses; tells of each family and field once."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._told: set[tuple[str, str]] = set()

    def apply(
        self,
        body: dict[str, Any],  # Any: JSON
        families: tuple[Family, ...],
        model: str,
    ) -> None:
        """Remove from the body what the model's families reject."""
        if not _families_of(families, model):
            return
        for name, family in rejected(families, model, body).items():
            del body[name]
            self.tell(family, name, f"{name} is not sent")

    def tell(self, whose: str, field: str, what: str) -> None:
        """Say once that a field is changed or left out."""
        if (whose, field) not in self._told:
            self._told.add((whose, field))
            _log.warning("%s: %s (refused by %s)", self._provider, what, whose)
