import pytest

from understudy import Agent, ConfigError, Runtime, presets
from understudy.testing import FakeModel


def test_presets_are_agents_with_settings(runtime: Runtime) -> None:
    """They run like any agent, with the settings they are named for."""
    fake = FakeModel.echo()
    for make in (presets.chat, presets.research, presets.data):
        agent = make(fake, instructions="i")
        assert isinstance(agent, Agent)
        assert agent.run("x", runtime=runtime).output == "echo: x"
    sent = [(request.temperature, request.max_tokens) for request in fake.requests]
    assert sent == [(0.7, 1000), (0.0, 2000), (0.0, 1000)]
    assert [presets.research().tool_timeout, presets.data().tool_timeout] == [60.0, 5.0]
    assert (presets.data().rate_limit, presets.data().max_concurrent) == (10.0, 5)


def test_every_setting_can_be_given_otherwise() -> None:
    """What the call says wins, zeros included; a preset is not changed by it."""
    assert presets.chat(
        "m", temperature=0.0, max_tokens=5, history_limit=None, context_window=None
    ) == Agent("m", temperature=0.0, max_tokens=5)
    assert presets.chat("m").temperature == 0.7
    assert presets.data("m").with_(output=list[int]).output == list[int]


def test_a_chat_forgets_what_is_long_ago(runtime: Runtime) -> None:
    """Ten messages of the session and four thousand tokens in all, as the guide has it."""
    fake = FakeModel(lambda _: "word " * 100)
    agent = presets.chat(fake, instructions="Be kind.")
    for n in range(20):
        agent.run(f"q{n}", session="s", runtime=runtime)
    assert len(fake.requests[-1].messages) == 12
    agent.run("long " * 2900, session="s", runtime=runtime)
    assert 2 < len(fake.requests[-1].messages) < 12


def test_an_unknown_setting_is_named() -> None:
    """As for any agent."""
    with pytest.raises(ConfigError, match="did you mean temperature="):
        presets.data("m", temprature=1)  # type: ignore[call-arg]
