"""A configuration is read strictly: every mistake at once, each with its line."""

import os.path
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from understudy import Agent, Price, Runtime
from understudy.messages.agents import AgentSpec
from understudy.messages.errors import ConfigError
from understudy.messages.functions import FunctionRef
from understudy.messages.workflows import WorkflowSpec
from understudy.runtime.config.load import load_config
from understudy.runtime.config.schema import AgentConfig, Config, LlmConfig, RuntimeConfig
from understudy.testing import FakeModel

DIGEST = """\
[llm]
model = "openai:gpt-5-mini"
api_key = "env:OPENAI_API_KEY"
temperature = 0

[runtime]
threads = 8
shutdown = "1m30s"

[agents.writer]
model = "local:extractive"
instructions = "Be terse."
max_tokens = 100
stop = ["END"]
timeout = "2m"
extra = { top_k = 3 }

[workflows.digest]
mode = "dag"
timeout = "10m"
max_concurrent = 20

[[workflows.digest.steps]]
name = "load"
function = "os.path:basename"
timeout = "5s"
effects = "none"

[[workflows.digest.steps]]
name = "write"
agent = "writer"
prompt = "Summarise {item}"
after = "load"
each = "{load}"
max_concurrent = 4
on_error = "continue"

[[workflows.digest.steps]]
name = "review"
workflow = "review"
after = ["load", "write"]

[workflows.review]
mode = "sequential"
[[workflows.review.steps]]
name = "read"
agent = "writer"
"""


def problems(text: str) -> tuple[str, ...]:
    """What is wrong with a configuration."""
    with pytest.raises(ConfigError) as caught:
        load_config(text, {})
    for problem in caught.value.problems:
        assert problem in caught.value.message
    return caught.value.problems


def test_a_good_file_says_what_it_says() -> None:
    """Every kind of table is read into structs, durations into seconds."""
    config = load_config(DIGEST, {})
    assert config.llm == LlmConfig(
        model="openai:gpt-5-mini", api_key="env:OPENAI_API_KEY", temperature=0.0
    )
    assert config.runtime == RuntimeConfig(threads=8, shutdown=90.0)
    assert type(config.runtime.shutdown) is float
    assert config.agents == {
        "writer": AgentSpec(
            "local:extractive",
            name="writer",
            instructions="Be terse.",
            max_tokens=100,
            stop=("END",),
            timeout=120.0,
            extra={"top_k": 3},
        )
    }
    digest = config.workflows["digest"]
    assert (digest.mode, digest.timeout, digest.max_concurrent) == ("dag", 600.0, 20)
    load, write, review = digest.steps
    assert (load.function, load.timeout, load.effects) == ("os.path:basename", 5.0, "none")
    assert (write.agent, write.each, write.max_concurrent) == ("writer", "{load}", 4)
    assert (write.dependencies, write.on_error) == (("load",), "continue")
    assert (review.workflow, review.dependencies) == ("review", ("load", "write"))


def test_an_empty_file_gives_the_defaults() -> None:
    """Nothing said, nothing needed."""
    config = load_config("", {})
    assert msgspec.structs.replace(config, origins={}) == Config()
    assert config.runtime == RuntimeConfig(workers=1000, threads=32, max_runs=10_000, shutdown=25.0)
    assert set(config.origins.values()) == {"default"}


def test_the_table_of_an_agent_has_the_fields_of_its_spec() -> None:
    """What an agent can be told in code can be told in the file, but what is code itself."""
    code = {"output", "tools", "hooks", "budget", "memory"}
    assert {"name", *code, *AgentConfig.__struct_fields__} == set(AgentSpec.__struct_fields__)


FIVE_MISTAKES = """\
[llm]
modle = "openai:gpt-5-mini"

[runtime]
shutdown = 25
threads = "many"

[workflows.digest]
mode = "dga"

[[workflows.digest.steps]]
name = "load"
function = "os.path:basenam"
"""


def test_five_mistakes_give_five_lines(tmp_path: Path) -> None:
    """One error lists them all in the order of the file, with the file's name and the remedy."""
    path = tmp_path / "flow.toml"
    path.write_text(FIVE_MISTAKES)
    with pytest.raises(ConfigError) as caught:
        load_config(path, {})
    assert caught.value.problems == (
        "line 2: llm.modle: unknown key 'modle'; did you mean 'model'?",
        'line 5: runtime.shutdown: 25 has no unit; write "25s" or "25ms"',
        "line 6: runtime.threads: Expected `int`, got `str`",
        (
            "line 9: workflows.digest.mode: 'dga' is not one of sequential, parallel, dag, loop; "
            "did you mean 'dag'?"
        ),
        (
            "line 13: workflows.digest.steps[0].function: 'os.path:basenam' cannot be imported:"
            " there is no 'basenam'; did you mean 'basename'?"
        ),
    )
    expected = "".join(f"\n  {problem}" for problem in caught.value.problems)
    assert caught.value.message == f"{path}: 5 problems{expected}"


STEP = '[agents.a]\n[workflows.w]\nmode = "dag"\n[[workflows.w.steps]]\n'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[lmm]\n", "line 1: lmm: unknown key 'lmm'; did you mean 'llm'?"),
        (
            "\nmodel = 1",
            "line 2: model: unknown key 'model'; known: llm, memory, runtime, streaming,",
        ),
        ("llm = 3", "line 1: llm: expected a table, got int"),
        ("agents = 3", "line 1: agents: expected tables such as [agents.NAME]"),
        ("[agents]\na = 3", "line 2: agents.a: expected a table, got int"),
        ("[llm]\nxyz = 1", "llm.xyz: unknown key 'xyz'; known: model, base_url, api_key"),
        ("[llm]\ntemperature = inf", "line 2: llm.temperature: expected a finite number, got inf"),
        ("[llm]\ntemperature = -1", "line 2: llm.temperature: Expected `float` >= 0"),
        ("[runtime]\nthreads = 0", "line 2: runtime.threads: Expected `int` >= 1"),
        ("[runtime]\nthreads = true", "line 2: runtime.threads: Expected `int`, got `bool`"),
        ('[runtime]\nshutdown = "0s"', "line 2: runtime.shutdown: expected some time, got '0s'"),
        ('[runtime]\nshutdown = "5x"', 'line 2: runtime.shutdown: "5x" is not a duration'),
        ("[agents.a]\nstop = [1]", "line 2: agents.a.stop: Expected `str`, got `int` - at `$[0]`"),
        ("[agents.a.extra]\nx = [nan]", "line 1: agents.a.extra: expected a finite number, got n"),
        ("[agents.a]\nextra.day = 2020-01-01", "line 2: agents.a.extra: a date is not JSON"),
        ("[agents.a]\nname = 'b'", "line 2: agents.a.name: unknown key 'name'"),
        ("[workflows.w]\nmode = 'dag'", "line 1: workflows.w.steps: is missing"),
        ("[workflows.w]\nmode = 3", "line 2: workflows.w.mode: int is not one of sequential"),
        ("[workflows.w]\nsteps = []", "line 2: workflows.w.steps: a workflow has at least one ste"),
        ("[workflows.w]\nsteps = 3", "expected tables such as [[workflows.w.steps]]"),
        ("[workflows.w]\nsteps = [3]", "expected tables such as [[workflows.w.steps]]"),
        ("[workflows.w]", "line 1: workflows.w.mode: is missing; write sequential, paral"),
        (STEP + 'agent = "a"', "line 4: workflows.w.steps[0].name: is missing"),
        (STEP + 'name = "s"', "line 4: workflows.w.steps[0]: a step has no target; give exactly"),
        (
            STEP + 'name = "s"\nagent = "a"\nworkflow = "v"',
            "line 4: workflows.w.steps[0]: a step has agent and workflow; give exactly one",
        ),
        (STEP + 'name = "s"\nagent = "A"', "steps[0].agent: unknown agent 'A'; known: a"),
        (
            STEP + 'name = "s"\nworkflow = "ww"',
            "line 6: workflows.w.steps[0].workflow: unknown workflow 'ww'; did you mean 'w'?",
        ),
        (
            STEP.replace("[agents.a]", "") + 'name = "s"\nagent = "a"',
            "unknown agent 'a'; there is no [agents.NAME] at all",
        ),
        (
            STEP + 'name = "load"\nagent = "a"\nafter = ["laod"]',
            "line 7: workflows.w.steps[0].after: unknown step 'laod'; did you mean 'load'?",
        ),
        (
            STEP + 's = 1\nname = "s"\nagent = "a"\nafter = ["x", 3]',
            "line 8: workflows.w.steps[0].after: Expected `str`, got `int` - at `$[1]`",
        ),
        (
            STEP + 'name = "s"\nagent = "a"\n[[workflows.w.steps]]\nagent = "a"\nname = "s"',
            "line 9: workflows.w.steps[1].name: duplicate step name 's'; the first is on line 5",
        ),
        (
            STEP + 'name = "s"\nfunction = "__import__(\'os\').system"',
            "line 6: workflows.w.steps[0].function: \"__import__('os').system\" is not of the form",
        ),
        (
            STEP + 'name = "s"\nagent = "a"\non_error = "contine"',
            "on_error: 'contine' is not one of fail, continue; did you mean 'continue'?",
        ),
        (
            STEP + 'name = "s"\nagent = "a"\neffects = "some"',
            "effects: 'some' is not one of none, idempotent, at_most_once",
        ),
        (
            STEP + 'name = "s"\nagent = "a"\ntimeout = 1.5',
            'line 7: workflows.w.steps[0].timeout: 1.5 has no unit; write "1.5s" or "1.5ms"',
        ),
    ],
)
def test_each_mistake_has_its_line_and_remedy(text: str, expected: str) -> None:
    """The place, what is wrong, and what to write instead."""
    assert any(expected in problem for problem in problems(text)), problems(text)


def nested(**workflows: Sequence[str]) -> str:
    """Workflows whose steps are other workflows."""
    lines = []
    for name, targets in workflows.items():
        lines += [f"[workflows.{name}]", 'mode = "parallel"']
        for index, target in enumerate(targets):
            lines += [f"[[workflows.{name}.steps]]", f'name = "s{index}"']
            lines.append(f'workflow = "{target}"' if target else 'function = "os:getcwd"')
    return "\n".join(lines)


def test_a_circle_of_workflows_is_named_with_its_path() -> None:
    """Each circle once, at the step that closes it; a workflow used twice is no circle."""
    assert problems(nested(a=["b", ""], b=["", "c"], c=["b"], d=["d"])) == (
        "line 21: workflows.c.steps[0].workflow: workflows nest in a circle: b -> c -> b",
        "line 26: workflows.d.steps[0].workflow: workflows nest in a circle: d -> d",
    )
    assert load_config(nested(a=["b", "c", "b"], b=["c"], c=[""]), {}).workflows


def test_deep_nesting_is_checked_without_recursion() -> None:
    """A chain of 2,000 workflows is no problem, and its circle is found."""
    chain: dict[str, list[str]] = {f"w{number}": [f"w{number + 1}"] for number in range(2_000)}
    assert load_config(nested(**chain, w2000=[""]), {}).workflows
    (problem,) = problems(nested(**chain, w2000=["w1999"]))
    assert problem.endswith("w1999 -> w2000 -> w1999")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[llm]\nmodel =\n", "line 2: not TOML: Invalid value"),
        ("[llm]\na = 1\na = 2\n", "line 3: not TOML: Cannot overwrite a value"),
        ("[llm]\n\nmodel = 'x", "line 3: not TOML: Expected"),
        ("a = '''x\n\n", "line 3: not TOML: Expected"),
    ],
)
def test_a_syntax_error_has_its_line(text: str, expected: str) -> None:
    """A text that is not TOML says where it stops being TOML."""
    (problem,) = problems(text)
    assert problem.startswith(expected)


def test_hostile_nesting_is_an_error() -> None:
    """A thousand brackets are not a crash."""
    with pytest.raises(ConfigError, match=r"nest too deeply|not TOML"):
        load_config("a = " + "[" * 100_000, {})


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    """Missing, a folder, not UTF-8, too large: the file and the reason."""
    binary, large = tmp_path / "b.toml", tmp_path / "l.toml"
    binary.write_bytes(b"[llm]\nmodel = '\xff'")
    large.write_bytes(b"#" * (1024 * 1024 + 1))
    for path, words in [
        (tmp_path / "missing.toml", "cannot be read: no such file"),
        (tmp_path, "cannot be read: "),
        (binary, "line 2: not UTF-8"),
        (large, "at most 1048576 bytes"),
    ]:
        with pytest.raises(ConfigError, match=words) as caught:
            load_config(path, {})
        assert str(path) in caught.value.message


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    """Editors on Windows write one."""
    path = tmp_path / "bom.toml"
    path.write_bytes(b"\xef\xbb\xbf[llm]\r\nmodel = 'local:extractive'\r\n")
    assert load_config(path, {}).llm.model == "local:extractive"


def test_the_graph_check_joins_the_problems_at_its_line() -> None:
    """What it says stands at the step it quotes, once, beside what else is wrong."""
    seen: dict[str, WorkflowSpec] = {}

    def check(spec: WorkflowSpec) -> list[str]:
        seen[spec.name] = spec
        return ["cycle: 'write' -> 'write'"] if spec.name == "digest" else ["too short"]

    text = DIGEST.replace('["load", "write"]', '["load", "wrte"]')
    with pytest.raises(ConfigError) as caught:
        load_config(text, {}, check=check)
    assert caught.value.problems == (
        "line 29: workflows.digest.steps[1]: cycle: 'write' -> 'write'",
        "line 41: workflows.digest.steps[2].after: unknown step 'wrte'; did you mean 'write'?",
        "line 43: workflows.review: too short",
    )
    steps = seen["digest"].steps
    assert [step.after for step in steps] == [(), ("load",), ("load",)]
    assert steps[0].target == FunctionRef("os.path:basename")
    assert load_config(DIGEST, {}, check=lambda _: []).workflows


def test_functions_are_imported_when_the_file_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module that cannot be imported says why, before anything runs."""
    (tmp_path / "broken_flow_module.py").write_text("import no_such_module_here")
    monkeypatch.syspath_prepend(tmp_path)
    (problem,) = problems(STEP + 'name = "s"\nfunction = "broken_flow_module:run"')
    assert "ModuleNotFoundError: No module named 'no_such_module_here'" in problem
    assert load_config(DIGEST, {}).workflows["digest"].steps[0].function == "os.path:basename"
    assert os.path.basename("a/b") == "b"  # noqa: PTH119


def test_prices_of_a_file_are_reckoned_with() -> None:
    """`[prices]` prices what runs in that runtime; code wins over the file, the file over ours."""
    text = """
        [prices."fake:*"]
        input = 1
        output = 2.5
        [prices."openai:gpt-5-mini"]
        input = 9.0
        output = 9.0
        cached = 0.5
    """
    config = load_config(text, {})
    assert config.prices["fake:*"] == Price(input=1.0, output=2.5)
    fake = FakeModel.echo()
    with Runtime(config=config) as rt:
        cost = rt.run(Agent(fake), "q").cost
        assert cost is not None
        assert cost > 0
        assert rt.crew.price_of("openai", "gpt-5-mini") == Price(input=9, output=9, cached=0.5)
    with Runtime(config=config, prices={"fake:fake": Price(input=0, output=0)}) as rt:
        assert rt.run(Agent(fake), "q").cost == 0


def test_mistakes_in_prices_are_named() -> None:
    """A missing number, one below nothing, a key that does not exist."""
    text = '[prices."a:b"]\ninput = -1\n[prices."c:d"]\ninput = 1\noutput = 1\noutptu = 2\n'
    with pytest.raises(ConfigError) as caught:
        load_config(text, {})
    problems = "\n".join(caught.value.problems)
    assert [word in problems for word in ("input", "output", "outptu")] == [True] * 3
    unnamed = load_config("[prices.gpt]\ninput = 1\noutput = 1\n", {})
    with pytest.raises(ConfigError, match="provider:model"), Runtime(config=unnamed):
        pass
