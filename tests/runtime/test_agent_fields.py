"""What the fields and verbs of an agent refuse, for those who run no type checker."""

from typing import Any

import pytest

from understudy import (
    Agent,
    Budget,
    CodecError,
    ConfigError,
    Limit,
    Price,
    Runtime,
    Secret,
    Toolset,
    run_tools,
    tool,
)
from understudy.messages.codec import encode
from understudy.testing import FakeModel, ProviderServer

WRONG: list[tuple[str, Any, str]] = [
    ("name", 5, "a text is needed"),
    ("instructions", 5, "a text is needed"),
    ("temperature", "hot", "0 or more, as a number"),
    ("temperature", -1, "0 or more, as a number"),
    ("temperature", True, "0 or more, as a number"),
    ("temperature", float("nan"), "0 or more, as a number"),
    ("max_tokens", "many", "at least 1 is needed"),
    ("max_tokens", 0, "at least 1 is needed"),
    ("max_turns", 1.5, "at least 1 is needed, as a whole number"),
    ("max_turns", None, "at least 1 is needed"),
    ("tool_concurrency", 0, "at least 1 is needed"),
    ("max_concurrent", 0, "at least 1 is needed"),
    ("context_window", 0, "at least 1 is needed"),
    ("seed", "a", "a whole number is needed"),
    ("timeout", "5s", "more than 0 seconds are needed"),
    ("timeout", 0, "more than 0 seconds are needed"),
    ("timeout", float("nan"), "more than 0 seconds are needed"),
    ("timeout", float("inf"), "more than 0 seconds are needed"),
    ("tool_timeout", -1, "more than 0 seconds are needed"),
    ("rate_limit", 0, "more than 0 runs a second"),
    ("retries", "2", "0 or more, as a whole number"),
    ("retries", -1, "0 or more, as a whole number"),
    ("history_limit", -1, "0 messages or more"),
    ("keep_first", "yes", "True or False is needed"),
    ("base_url", 5, "a text is needed"),
    ("extra", [1], "a dict is needed"),
    ("hooks", print, r"give a Hooks\(...\)"),
    ("budget", 5, r"give a Budget\(...\)"),
    ("memory", "chat.db", r"give a Memory\(...\)"),
    ("stop", "END", r"write a list, such as stop=\['END'\]"),
    ("stop", [1], "a text is needed"),
    ("tools", None, "leave it out, or write a list"),
    ("tools", print, "write a list"),
    ("fallback", "openai:m", r"write a list, such as fallback=\['openai:m'\]"),
    ("fallback", [3], "write models as 'provider:model'"),
]


@pytest.mark.parametrize(("field", "value", "needed"), WRONG)
def test_what_a_field_cannot_be(field: str, value: Any, needed: str, runtime: Runtime) -> None:
    """It is named with the remedy: in the agent, in a copy, and in one call."""
    wrong = {field: value}
    with pytest.raises(ConfigError, match=rf"Agent\({field}=.*{needed}"):
        Agent(FakeModel(["a"]), **wrong)
    with pytest.raises(ConfigError, match=rf"Agent\({field}=.*{needed}"):
        Agent(FakeModel(["a"])).with_(**wrong)
    if field != "budget":  # one of its own for the run
        with pytest.raises(ConfigError, match=needed):
            Agent(FakeModel(["a"])).run("?", runtime=runtime, **wrong)


def test_a_wrong_key_is_not_shown() -> None:
    """It may be one, of a wrong type."""
    key: Any = b"sk-secret"
    with pytest.raises(ConfigError, match="api_key=") as caught:
        Agent("openai:m", api_key=key)
    assert "sk-secret" not in str(caught.value)


def test_a_key_that_is_given_as_a_text_is_as_secret_as_any() -> None:
    """It is not printed, is not in what is encoded or in the agent's identity, and works."""
    agent = Agent("openai:m", api_key="sk-4711")
    assert "4711" not in repr(agent)
    assert "4711" not in repr(agent.with_(temperature=0.0))
    assert agent.identity == Agent("openai:m", api_key=Secret("sk-4711")).identity
    with pytest.raises(CodecError, match="env:NAME"):
        encode(agent)
    assert Agent("openai:m", api_key="env:KEY").api_key == "env:KEY"
    with ProviderServer(api_key="sk-4711") as server, Runtime() as rt:
        assert agent.with_(base_url=server.base_url).run("a", runtime=rt).output == "echo: a"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"history": "hello"}, r"history=str\(...\): pass result.messages"),
        ({"history": Agent("m")}, r"history=Agent\(...\): pass result.messages"),
        ({"history": [{"role": "user", "content": "a"}]}, "a dict is no message"),
        ({"timeout": "5s"}, "timeout='5s': more than 0 seconds"),
        ({"timeout": -1}, "timeout=-1: more than 0 seconds"),
    ],
)
def test_what_a_run_cannot_take(options: dict[str, Any], told: str, runtime: Runtime) -> None:
    """Before anything begins."""
    with pytest.raises(ConfigError, match=told):
        Agent(FakeModel(["a"])).run("?", runtime=runtime, **options)


def test_what_is_no_runtime() -> None:
    """Its name is none, and neither is an agent."""
    wrong: Any
    for wrong in ("rt", Agent("m")):
        with pytest.raises(ConfigError, match="give a Runtime, or leave it out"):
            Agent(FakeModel(["a"])).run("?", runtime=wrong)


@pytest.mark.parametrize("prompts", ["abc", 5])
def test_what_are_no_prompts(prompts: Any, runtime: Runtime) -> None:
    """A text can be iterated, and its letters are not what was meant."""
    for verb in (Agent("m").map, Agent("m").batch):
        with pytest.raises(ConfigError, match="a list of texts is needed"):
            verb(prompts, runtime=runtime)


def test_budgets_limits_and_prices_are_numbers() -> None:
    """Each names its field."""
    wrong: Any = "1"
    with pytest.raises(ConfigError, match=r"Budget\(usd='1'\): more than 0"):
        Budget(usd=wrong)
    with pytest.raises(ConfigError, match=r"Limit\(tokens_per_minute='1'\): more than 0"):
        Limit(tokens_per_minute=wrong)
    with pytest.raises(ConfigError, match=r"Price\(input='1'\): 0 or more"):
        Price(input=wrong, output=1.0)


def test_an_agent_as_a_tool_has_a_name_that_providers_take() -> None:
    """As every tool has."""
    with pytest.raises(ConfigError, match="tool 'a b': providers refuse this name"):
        Agent("m").as_tool("a b")


@pytest.mark.parametrize(
    ("option", "value", "needed"),
    [
        ("timeout", "5", "more than 0 seconds are needed"),
        ("timeout", float("nan"), "more than 0 seconds are needed"),
        ("retries", 1.5, "0 or more, as a whole number"),
        ("max_concurrent", True, "at least 1 is needed"),
        ("rate_limit", "1", "more than 0 calls a second"),
        ("parallel", "no", "True or False is needed"),
        ("requires_approval", 1, "True or False is needed"),
        ("description", 5, "a text is needed"),
    ],
)
def test_what_an_option_of_a_tool_cannot_be(option: str, value: Any, needed: str) -> None:
    """The tool is named, and the option."""

    def look() -> int:
        return 1

    options = {option: value}
    with pytest.raises(ConfigError, match=f"tool 'look': {option}=.*{needed}"):
        tool(**options)(look)


def test_what_run_tools_cannot_take(runtime: Runtime) -> None:
    """Calls are ToolCalls, tools are a list; a mapping is what lazy tools are made of."""
    wrong: Any
    for wrong in ("look", [{"name": "look"}], 5):
        with pytest.raises(ConfigError, match=r"is no call; write ToolCall\("):
            run_tools(wrong, [], runtime=runtime)
    for wrong in ("look", print):
        with pytest.raises(ConfigError, match="write a list of tools"):
            run_tools([], wrong, runtime=runtime)
    wrong = ["look"]
    with pytest.raises(ConfigError, match=r"write {'search': 'package.module:function'}"):
        Toolset.lazy(wrong)
