import subprocess
import sys

import httpx
import pytest

from understudy.actors.models import registry
from understudy.actors.models.anthropic import AnthropicMessages
from understudy.actors.models.gemini import GeminiContent
from understudy.actors.models.ollama import OllamaChat
from understudy.actors.models.openai import OpenAIChat
from understudy.actors.models.provider import Embedder, Provider, ProviderSettings
from understudy.actors.models.registry import provider_for, register_provider
from understudy.actors.models.responses import OpenAIResponses
from understudy.messages.errors import AuthenticationError, ConfigError
from understudy.messages.secrets import Secret


@pytest.fixture
def restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table as it was, afterwards."""
    monkeypatch.setattr(registry, "_PROVIDERS", dict(registry._PROVIDERS))


@pytest.mark.parametrize(
    ("name", "variable", "kind", "embeds"),
    [
        ("openai", "OPENAI_API_KEY", OpenAIChat, True),
        ("openai-compatible", None, OpenAIChat, True),
        ("azure", "AZURE_OPENAI_API_KEY", OpenAIChat, True),
        ("deepseek", "DEEPSEEK_API_KEY", OpenAIChat, True),
        ("vllm", None, OpenAIChat, True),
        ("openai-responses", "OPENAI_API_KEY", OpenAIResponses, False),
        ("anthropic", "ANTHROPIC_API_KEY", AnthropicMessages, False),
        ("gemini", "GEMINI_API_KEY", GeminiContent, True),
        ("ollama", None, OllamaChat, True),
    ],
)
def test_ours(name: str, variable: str | None, kind: type, *, embeds: bool) -> None:
    """Each is there under its name, with the variable of its key, and refuses to be without one."""
    transport = httpx.MockTransport(lambda _: httpx.Response(500))
    settings = ProviderSettings(base_url="http://localhost:8000", api_key=Secret("k"))
    entry = provider_for(name)
    assert entry.key_variable == variable
    made = entry.factory(settings, transport)
    assert type(made) is kind
    assert made.name == name
    assert isinstance(made, Embedder) is embeds
    if variable:
        with pytest.raises(AuthenticationError, match=variable):
            entry.factory(ProviderSettings(base_url="http://localhost:8000"), transport)


def test_an_unknown_name_is_told_the_nearest() -> None:
    """With all that are known."""
    with pytest.raises(ConfigError, match=r"did you mean 'openai'\?.*openai-compatible"):
        provider_for("opnai")


@pytest.mark.usefixtures("restored")
def test_a_third_party() -> None:
    """Its factory is found under its name, and may replace ours."""

    def factory(settings: ProviderSettings, transport: httpx.AsyncBaseTransport, /) -> Provider:
        raise NotImplementedError

    register_provider("theirs", factory, key_variable="THEIR_KEY")
    assert provider_for("theirs").factory is factory
    register_provider("openai", factory)
    assert provider_for("openai").factory is factory


@pytest.mark.parametrize("name", ["", "a:b", "a b"])
def test_a_name_that_no_model_could_have(name: str) -> None:
    """A colon would be read as the end of the name."""

    def factory(settings: ProviderSettings, transport: httpx.AsyncBaseTransport, /) -> Provider:
        raise NotImplementedError

    with pytest.raises(ConfigError, match="cannot name a provider"):
        register_provider(name, factory)


def test_httpx_is_not_imported_by_the_registry() -> None:
    """Neither it nor httpcore, until a provider is made."""
    code = (
        "import sys, understudy.actors.models.registry\n"
        "print([name for name in ('httpx', 'httpcore') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
