"""What of a request would be left out for a model, known before anybody asks it.

The same tables that the providers apply (`families`, `profiles`), for whoever wants to say so in
advance: `understudy check` does.
"""

from __future__ import annotations

from collections.abc import Iterable

from understudy.actors.models.families import (
    ANTHROPIC,
    ANTHROPIC_NEWER,
    OLLAMA,
    OPENAI_REASONING,
    OPENAI_RESPONSES,
    Family,
    rejected,
)
from understudy.actors.models.profiles import COMPATIBLE, NAMED, OPENAI, profile_for

_FAMILIES: dict[str, tuple[Family, ...]] = {
    "anthropic": (ANTHROPIC, ANTHROPIC_NEWER),
    "ollama": (OLLAMA,),
    "openai-responses": (OPENAI_RESPONSES, OPENAI_REASONING),
}
_RESPONSES_NAMES = {"max_tokens": "max_output_tokens"}
_PROFILES = {profile.name: profile for profile in (OPENAI, COMPATIBLE, *NAMED)}


def refusals(
    provider: str, model: str, base_url: str | None, fields: Iterable[str]
) -> dict[str, str]:
    """Which of an agent's fields are not sent to a model, each with who refuses it.

    Args:
        provider: the name before the colon; one that is not known refuses nothing.
        model: the name behind it.
        base_url: where the provider is, if that was said.
        fields: as an `AgentSpec` calls them.
    """
    families, names = _FAMILIES.get(provider, ()), _RESPONSES_NAMES
    if provider in _PROFILES:
        profile = profile_for(_PROFILES[provider], base_url)
        families, names = profile.families, profile.names
    elif provider != "openai-responses":
        names = {}
    sent = {names.get(field, field): field for field in fields}
    return {sent[name]: family for name, family in rejected(families, model, sent).items()}
