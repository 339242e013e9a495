import subprocess
import sys

import httpx
import pytest

from understudy.actors.models import registry
from understudy.actors.models.openai import OpenAIChat
from understudy.actors.models.provider import Provider, ProviderSettings
from understudy.actors.models.registry import provider_for, register_provider
from understudy.messages.errors import ConfigError
from understudy.messages.secrets import Secret


@pytest.fixture
def restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table as it was, afterwards."""
    monkeypatch.setattr(registry, "_PROVIDERS", dict(registry._PROVIDERS))


def test_ours() -> None:
    """Both names of the chat completions are there, with the variable of their key."""
    transport = httpx.MockTransport(lambda _: httpx.Response(500))
    settings = ProviderSettings(base_url="http://localhost/v1", api_key=Secret("k"))
    for name, variable in (("openai", "OPENAI_API_KEY"), ("openai-compatible", None)):
        entry = provider_for(name)
        assert entry.key_variable == variable
        made = entry.factory(settings, transport)
        assert isinstance(made, OpenAIChat)
        assert made.name == name


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
