"""A configuration shown: what is in force as TOML that loads, origins, notes, the schema."""

import re
from typing import Any

import pytest

from understudy.messages.errors import ConfigError
from understudy.messages.secrets import Secret
from understudy.runtime.config.durations import parse_duration
from understudy.runtime.config.explain import merged, notes
from understudy.runtime.config.json_schema import DURATION, json_schema
from understudy.runtime.config.load import load_config
from understudy.runtime.config.read import FAMILIES, SECTIONS
from understudy.runtime.config.schema import Duration
from understudy.runtime.config.settings import as_toml, settings_of

PLANTED = "sk-planted-0123456789"
FILE = f"""
[llm]
model = "openai:gpt-5-mini"
api_key = "env:KEY"
temperature = 0.5
[tools]
timeout = "90s"
[tools.circuit_breaker]
window = "1h30m"
[limits."openai:*"]
requests_per_minute = 500
[prices."openai:*"]
input = 1.0
output = 8.0
[agents."web writer"]
instructions = "Say \\"no\\".\\nTwice."
api_key = "{PLANTED}"
stop = ["END"]
extra = {{ top_p = 0.1, nested = {{ deep = [1, true] }} }}
timeout = "250ms"
output = "builtins:int"
[workflows.w]
mode = "dag"
[[workflows.w.steps]]
name = "one"
agent = "web writer"
[[workflows.w.steps]]
name = "two"
function = "builtins:len"
after = ["one"]
"""


def test_what_is_shown_loads_and_means_the_same() -> None:
    """The merged result is a configuration itself; only the secret is not the same."""
    config = load_config(FILE, {"UNDERSTUDY_RUNTIME__THREADS": "7"})
    again = load_config(merged(config), {})
    before, after = settings_of(config), settings_of(again)
    assert before.pop("agents.web writer.api_key") == Secret(PLANTED)
    assert after.pop("agents.web writer.api_key") == Secret("***")
    assert before == after
    assert before["tools.circuit_breaker.window"] == 5400.0
    assert before["workflows.w.steps[1].function"] == "builtins:len"


def test_each_line_says_where_it_comes_from() -> None:
    """A line of the file, a variable, or nobody: the default."""
    shown = merged(load_config(FILE, {"UNDERSTUDY_RUNTIME__THREADS": "7"}))
    assert re.search(r'^window = "1h30m" +# configuration line 9$', shown, re.MULTILINE)
    assert re.search(
        r"^threads = 7 +# environment UNDERSTUDY_RUNTIME__THREADS$", shown, re.MULTILINE
    )
    assert re.search(r'^shutdown = "25s" +# default$', shown, re.MULTILINE)
    assert '[agents."web writer"]' in shown
    assert "[[workflows.w.steps]]" in shown


def test_keys_are_never_shown() -> None:
    """A key that stands in the file shows as stars, and a note says what to write instead."""
    config = load_config(FILE, {})
    said = list(notes(config, {}))
    assert PLANTED not in merged(config) + repr(config) + str(said) + str(settings_of(config))
    assert 'agents.web writer.api_key: the key itself is in the file; write "env:NAME"' in str(said)
    assert "llm.api_key: the environment variable KEY is not set" in said
    assert "llm.api_key" not in str(list(notes(config, {"KEY": "set"})))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            '[llm]\nmodel = "openai:gpt-5-mini"\ntemperature = 0.0',
            "llm: temperature is not sent to openai:gpt-5-mini (refused by reasoning models of",
        ),
        (
            '[llm]\nmodel = "anthropic:claude-opus-5"\n[agents.a]\nseed = 1',
            "agents.a: seed is not sent to anthropic:claude-opus-5 (refused by Anthropic)",
        ),
        (
            '[agents.a]\nmodel = "openai-responses:gpt-4.1"\nstop = ["x"]',
            "agents.a: stop is not sent to openai-responses:gpt-4.1 (refused by the Responses API)",
        ),
        (
            '[agents.a]\nmodel="openai-compatible:d"\nseed=1\nbase_url="https://api.deepseek.com"',
            "agents.a: seed is not sent to openai-compatible:d (refused by DeepSeek)",
        ),
        (
            '[agents.a]\nmodel = "local:extractive"\nfallback = ["openai:o3"]\ntemperature = 1.0',
            "agents.a: temperature is not sent to openai:o3 (refused by reasoning models of",
        ),
    ],
)
def test_what_a_model_refuses_is_said_before_it_is_asked(text: str, expected: str) -> None:
    """The same tables that leave it out of the requests."""
    (note,) = notes(load_config(text, {}), {})
    assert note.startswith(expected)


@pytest.mark.parametrize(
    "text",
    [
        '[llm]\nmodel = "openai:gpt-5-mini"\nmax_tokens = 9',  # it has another name there
        '[llm]\nmodel = "openai:gpt-4.1"\ntemperature = 0.1',
        '[llm]\nmodel = "local:extractive"\ntemperature = 0.1',
        '[llm]\nmodel = "ollama:llama3"\n[agents.a]\nseed = 1\nstop = ["x"]',
    ],
)
def test_what_is_sent_needs_no_note(text: str) -> None:
    """No warnings for what works."""
    assert list(notes(load_config(text, {}), {})) == []


def test_tools_that_the_cache_leaves_out() -> None:
    """Said before their first call says it; those that are kept need no note."""
    text = """
        [tools.cache]
        include = {}
        [agents.a]
        tools = ["tests.runtime.config.test_effects:known"]
    """
    (note,) = notes(load_config(text.format("[]"), {}), {})
    assert note.startswith("agents.a: tool known is not cached: it does not say effects='none'")
    assert list(notes(load_config(text.format('["known"]'), {}), {})) == []


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("opnai:x", "agents.a.model: unknown provider 'opnai': did you mean 'openai'?"),
        ("gpt-5", "agents.a.model: write 'gpt-5' as 'provider:model'"),
    ],
)
def test_a_model_that_nobody_serves(model: str, expected: str) -> None:
    """Found without asking anybody."""
    config = load_config(f'[agents.a]\nmodel = "{model}"', {})
    with pytest.raises(ConfigError, match=re.escape(expected)):
        list(notes(config, {}))


@pytest.mark.parametrize(
    "seconds", [0.25, 1.0, 90.0, 5400.0, 604_800.0, 0.0001, 1.5, 86_400.5, 3_600.0]
)
def test_durations_are_written_as_they_are_read(seconds: float) -> None:
    """And in the shape that the schema asks for."""
    text = as_toml(Duration(seconds)).strip('"')
    assert parse_duration(text) == pytest.approx(seconds, rel=1e-12)
    assert re.fullmatch(str(DURATION["pattern"]), text)


def test_the_schema_knows_every_key() -> None:
    """Sections, tables by name and tables in tables, with nothing that the reader would refuse."""
    schema = json_schema()
    assert set(schema["properties"]) == {*SECTIONS, *FAMILIES}
    assert schema["additionalProperties"] is False
    for kind in (*SECTIONS.values(), *FAMILIES.values()):
        found = schema["$defs"][kind.__name__]
        assert set(found["properties"]) == set(kind.__struct_fields__)
        assert found["additionalProperties"] is False
    assert "null" not in str(schema)
    tools = schema["$defs"]["ToolsConfig"]["properties"]
    assert (tools["timeout"]["type"], tools["timeout"]["default"]) == ("string", "30s")
    assert schema["$defs"]["WorkflowConfig"]["required"] == ["mode", "steps"]


def valid(value: Any, schema: dict[str, Any], root: dict[str, Any]) -> bool:
    """As much of JSON Schema as ours uses."""
    if "$ref" in schema:
        return valid(value, root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    if "anyOf" in schema and not any(valid(value, each, root) for each in schema["anyOf"]):
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    kinds: dict[str, Any] = {
        "object": dict, "array": list, "string": str, "boolean": bool, "integer": int,
        "number": (int, float),
    }  # fmt: skip
    kind = kinds.get(schema.get("type", ""))
    if kind and (not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool)):
        return False
    if "pattern" in schema and not re.fullmatch(schema["pattern"], value):
        return False
    if isinstance(value, (int, float)) and value < schema.get("minimum", value):
        return False
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        return all(valid(item, schema["items"], root) for item in value)
    if isinstance(value, dict):
        known, other = schema.get("properties", {}), schema.get("additionalProperties", True)
        rest = [key for key in value if key not in known]
        if rest and other is False:
            return False
        return (
            all(name in value for name in schema.get("required", ()))
            and all(valid(value[key], known[key], root) for key in value if key in known)
            and all(valid(value[key], other, root) for key in rest if isinstance(other, dict))
        )
    return True


def test_the_schema_takes_what_the_reader_takes() -> None:
    """And refuses a mistake of each kind."""
    import tomllib

    schema = json_schema()
    assert valid(tomllib.loads(FILE), schema, schema)
    for wrong in (
        "[nope]",
        "[tools]\ntimeot = '1s'",
        "[tools]\ntimeout = 5",
        "[tools]\ntimeout = '5'",
        "[tools.circuit_breaker]\nmin_calls = 0",
        "[workflows.w]\nmode = 'dagg'\nsteps = []",
        "[agents.a]\nmax_tokens = 'many'",
    ):
        assert not valid(tomllib.loads(wrong), schema, schema), wrong
