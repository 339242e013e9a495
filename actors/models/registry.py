"""Providers by name.

The factories of our own providers are imported when first asked for, because they bring httpx.
Others register theirs with `register_provider`; this table is the one thing here that a process
shares, it holds only functions and grows only by explicit calls.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Protocol

import msgspec

from understudy.actors.models.profiles import COMPATIBLE, NAMED, OPENAI, Profile
from understudy.actors.models.provider import Provider, ProviderSettings
from understudy.messages.errors import ConfigError

if TYPE_CHECKING:
    import httpx


class ProviderFactory(Protocol):
    """Makes a provider; the transport stays its caller's to close."""

    def __call__(
        self, settings: ProviderSettings, transport: httpx.AsyncBaseTransport, /
    ) -> Provider:
        """Check the settings and make the provider; sends nothing.

        Raises:
            ConfigError: the settings cannot work.
            AuthenticationError: the provider needs a key and has none.
        """
        ...


class ProviderEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A provider as registered.

    Attributes:
        key_variable: the environment variable that usually holds its key; None: it needs none.
    """

    name: str
    factory: ProviderFactory
    key_variable: str | None = None


def register_provider(
    name: str, factory: ProviderFactory, *, key_variable: str | None = None
) -> None:
    """Make `name:model` available; a name that exists is replaced.

    Raises:
        ConfigError: the name is empty or has a colon or a space.
    """
    if not name or ":" in name or any(map(str.isspace, name)):
        raise ConfigError(f"{name!r} cannot name a provider: use letters, digits and dashes")
    _PROVIDERS[name] = ProviderEntry(name=name, factory=factory, key_variable=key_variable)


def provider_for(name: str) -> ProviderEntry:
    """The provider of that name.

    Raises:
        ConfigError: nobody registered it; names the nearest.
    """
    entry = _PROVIDERS.get(name)
    if entry is None:
        known = ", ".join(sorted(_PROVIDERS))
        near = difflib.get_close_matches(name, _PROVIDERS, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ConfigError(f"unknown provider {name!r}: {hint}known are {known}")
    return entry


def _anthropic(settings: ProviderSettings, transport: httpx.AsyncBaseTransport, /) -> Provider:
    from understudy.actors.models.anthropic import AnthropicMessages

    return AnthropicMessages(settings, transport)


def _gemini(settings: ProviderSettings, transport: httpx.AsyncBaseTransport, /) -> Provider:
    from understudy.actors.models.gemini import GeminiContent

    return GeminiContent(settings, transport)


def _ollama(settings: ProviderSettings, transport: httpx.AsyncBaseTransport, /) -> Provider:
    from understudy.actors.models.ollama import OllamaChat

    return OllamaChat(settings, transport)


def _responses(settings: ProviderSettings, transport: httpx.AsyncBaseTransport, /) -> Provider:
    from understudy.actors.models.responses import OpenAIResponses

    return OpenAIResponses(settings, transport)


def _chat(profile: Profile) -> ProviderFactory:
    """A factory for the chat completions of one kind of server."""

    def make(settings: ProviderSettings, transport: httpx.AsyncBaseTransport, /) -> Provider:
        from understudy.actors.models.openai import OpenAIChat

        return OpenAIChat(settings, transport, profile=profile)

    return make


_PROVIDERS: dict[str, ProviderEntry] = {}
register_provider("anthropic", _anthropic, key_variable="ANTHROPIC_API_KEY")
register_provider("gemini", _gemini, key_variable="GEMINI_API_KEY")
register_provider("ollama", _ollama)
register_provider("openai-responses", _responses, key_variable="OPENAI_API_KEY")
for _profile in (OPENAI, COMPATIBLE, *NAMED):
    register_provider(_profile.name, _chat(_profile), key_variable=_profile.key_variable)
