"""Defaults < file < environment < code, each value with its origin, each mistake with its place."""

import re

import pytest

from understudy.messages.errors import ConfigError
from understudy.messages.secrets import Secret
from understudy.runtime.config.load import load_config

FLOW = """\
[llm]
model = "openai:gpt-5-mini"
api_key = "env:OPENAI_API_KEY"

[agents.writer]
stop = ["END"]

[workflows.review]
mode = "sequential"
[[workflows.review.steps]]
name = "read"
agent = "writer"
"""


def problems(
    text: str,
    environ: dict[str, str] | None = None,
    overrides: dict[str, object] | None = None,
) -> tuple[str, ...]:
    """What is wrong with a configuration."""
    with pytest.raises(ConfigError) as caught:
        load_config(text, environ or {}, overrides=overrides)
    for problem in caught.value.problems:
        assert problem in caught.value.message
    return caught.value.problems


def test_each_layer_wins_over_the_one_below() -> None:
    """Defaults < file < environment < code, and every value knows where it came from."""
    config = load_config(
        FLOW,
        {
            "UNDERSTUDY_LLM__BASE_URL": "http://localhost:1/v1",
            "UNDERSTUDY_LLM__MODEL": "ollama:x",
            "UNDERSTUDY_LLM__TEMPERATURE": "0.5",
            "UNDERSTUDY_RUNTIME__THREADS": "16",
            "UNDERSTUDY_RUNTIME__SHUTDOWN": "5s",
            "UNDERSTUDY_AGENTS__WRITER__STOP": '["X", "Y"]',
            "UNDERSTUDY_WORKFLOWS__REVIEW__MAX_CONCURRENT": "3",
            "UNDERSTUDY_HOME": "no double underscore, not ours",
            "PATH": "/bin",
        },
        overrides={"llm.model": "local:extractive", "runtime.shutdown": 2.5},
    )
    assert config.llm.model == "local:extractive"
    assert (config.llm.base_url, config.llm.temperature) == ("http://localhost:1/v1", 0.5)
    assert (config.runtime.threads, config.runtime.shutdown) == (16, 2.5)
    assert config.agents["writer"].stop == ("X", "Y")
    assert config.workflows["review"].max_concurrent == 3
    origins = config.origins
    assert origins["llm.base_url"] == "environment UNDERSTUDY_LLM__BASE_URL"
    assert origins["llm.model"] == "code"
    assert origins["llm.api_key"] == "configuration line 3"
    assert origins["llm.max_tokens"] == "default"
    assert origins["agents.writer.stop"] == "environment UNDERSTUDY_AGENTS__WRITER__STOP"
    assert origins["workflows.review.steps[0].agent"] == "configuration line 12"


def test_names_that_no_variable_can_have_are_found() -> None:
    """`[agents."web-search.v2"]` is reached as WEB_SEARCH_V2."""
    config = load_config(
        '[agents."web-search.v2"]', {"UNDERSTUDY_AGENTS__WEB_SEARCH_V2__SEED": "7"}
    )
    assert config.agents["web-search.v2"].seed == 7


def test_the_environment_can_complete_the_file() -> None:
    """A key that is required may come from anywhere."""
    text = '[workflows.w]\n[[workflows.w.steps]]\nname = "s"\nfunction = "os:getcwd"'
    config = load_config(text, {"UNDERSTUDY_WORKFLOWS__W__MODE": "dag"})
    assert config.workflows["w"].mode == "dag"


def test_tables_in_tables_have_layers_of_their_own() -> None:
    """A key of a nested table may come from anywhere, and says from where."""
    config = load_config(
        '[tools.circuit_breaker]\nwindow = "9s"',
        {"UNDERSTUDY_TOOLS__CIRCUIT_BREAKER__MIN_CALLS": "3"},
        overrides={"tools.circuit_breaker.max_open": 30},
    )
    breaker = config.tools.circuit_breaker
    assert breaker is not None
    assert (breaker.window, breaker.min_calls, breaker.max_open) == (9.0, 3, 30.0)
    assert config.origins["tools.circuit_breaker.window"] == "configuration line 2"
    assert config.origins["tools.circuit_breaker.max_open"] == "code"


def test_mistakes_in_nested_tables_have_lines_and_suggestions() -> None:
    """Each on its own, as in any other table."""
    text = '[tools.circuit_breaker]\nwindo = "1s"\nmin_calls = 0'
    first, second = problems(text)
    assert first == (
        "line 2: tools.circuit_breaker.windo: unknown key 'windo'; did you mean 'window'?"
    )
    assert second.startswith("line 3: tools.circuit_breaker.min_calls: Expected `int` >= 1")


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("LLM__MODLE", "x", "unknown key 'modle'; did you mean 'model'?"),
        ("LMM__MODEL", "x", "unknown section 'lmm'; did you mean 'llm'?"),
        ("RUNTIME__THREADS", "many", "Expected `int`, got `str`"),
        ("RUNTIME__THREADS", "0", "Expected `int` >= 1"),
        ("RUNTIME__SHUTDOWN", "25", '"25" has no unit; write "25s" or "25ms"'),
        ("AGENTS__WRITER__STOP", "x", "expected JSON; "),
        ("AGENTS__WRITTER__SEED", "1", "the file has no [agents.NAME] that 'WRITTER' could"),
        ("WORKFLOWS__REVIEW__STEPS", "[]", "unknown key 'steps'"),
        ("WORKFLOWS__REVIEW__MODE", "x", "'x' is not one of sequential, parallel, dag"),
        ("AGENTS__SEED", "1", "the file has no [agents.NAME]"),
        ("TOOLS__CIRCUIT_BREAKR__WINDOW", "1s", "unknown table 'circuit_breakr'; did you mean"),
        ("TOOLS__CIRCUIT_BREAKER__WINDO", "1s", "unknown key 'windo'; did you mean 'window'?"),
        ("TOOLS__CIRCUIT_BREAKER", "{}", "'circuit_breaker' is a table; set its keys one by one"),
    ],
)
def test_a_wrong_variable_is_named(variable: str, value: str, expected: str) -> None:
    """A mistake in the environment says which variable makes it."""
    (problem,) = problems(FLOW, {f"UNDERSTUDY_{variable}": value})
    assert problem.startswith(f"environment UNDERSTUDY_{variable}: ")
    assert expected in problem


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("llm.modle", "x", "unknown key 'modle'; did you mean 'model'?"),
        ("llm.model", 3, "Expected `str | null`, got `int`"),
        ("runtime.threads", "8", "Expected `int`, got `str`"),
        ("runtime.shutdown", 0, "expected some time, got 0"),
        ("agents.writter.seed", 1, "there is no 'writter'; did you mean 'writer'?"),
        ("model", "x", "unknown section 'model'"),
    ],
)
def test_a_wrong_override_is_named(key: str, value: object, expected: str) -> None:
    """A mistake in code is a problem like any other."""
    (problem,) = problems(FLOW, overrides={key: value})
    assert problem.startswith(f"{key} (given in code): ")
    assert expected in problem


def test_mistakes_of_all_layers_come_together() -> None:
    """The file first, line by line, then what is outside of it."""
    found = problems("[llm]\nx = 1\n", {"UNDERSTUDY_LLM__Y": "1"}, {"llm.z": 1})
    assert [re.split(r":? ", problem)[0] for problem in found] == ["line", "environment", "llm.z"]


def test_keys_never_show() -> None:
    """A reference stays a reference; a key in the file or the environment becomes a Secret."""
    config = load_config(
        '[llm]\napi_key = "sk-file"\n[agents.a]\napi_key = "env:KEY"\n[agents.b]',
        {"UNDERSTUDY_AGENTS__B__API_KEY": "sk-env"},
        overrides={"agents.a.api_key": Secret("sk-code")},
    )
    assert "sk-" not in repr(config)
    assert config.llm.api_key == Secret("sk-file")
    assert config.agents["a"].api_key == Secret("sk-code")
    assert config.agents["b"].api_key == Secret("sk-env")
    with pytest.raises(ConfigError) as caught:
        load_config("", {"UNDERSTUDY_LLM__API_KYE": "sk-env"})
    assert "sk-" not in caught.value.message
