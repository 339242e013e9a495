"""A workflow of the file is the spec that code would write."""

import os.path

import pytest

from understudy.messages.agents import AgentSpec
from understudy.messages.chat import Usage
from understudy.messages.codec import decode, encode
from understudy.messages.errors import ConfigError
from understudy.messages.functions import FunctionRef
from understudy.messages.specs import load_functions
from understudy.messages.workflows import StepSpec, WorkflowSpec
from understudy.runtime.config.build import build_workflow
from understudy.runtime.config.load import load_config
from understudy.runtime.config.schema import Config, StepConfig, WorkflowConfig

TEXT = """
[agents.writer]
model = "local:extractive"
seed = 3

[workflows.digest]
mode = "dag"
max_concurrent = 5
timeout = "1m"
steps = [
    { name = "load", function = "os.path:basename", effects = "none", timeout = "1s" },
    { name = "write", agent = "writer", prompt = "{item}", after = "load", each = "{load}",
      max_concurrent = 2, on_error = "continue" },
    { name = "inner", workflow = "inner", after = ["write"] },
]
[workflows.inner]
mode = "sequential"
steps = [{ name = "again", agent = "writer" }]
""".replace(
    """{load}",
      max""",
    """{load}", max""",
)

WRITER = AgentSpec("local:extractive", name="writer", seed=3)
DIGEST = WorkflowSpec(
    name="digest",
    mode="dag",
    max_concurrent=5,
    timeout=60.0,
    steps=(
        StepSpec(name="load", target=os.path.basename, effects="none", timeout=1.0),
        StepSpec(
            name="write",
            target=WRITER,
            prompt="{item}",
            after=("load",),
            each="{load}",
            max_concurrent=2,
            on_error="continue",
        ),
        StepSpec(
            name="inner",
            target=WorkflowSpec(
                name="inner", mode="sequential", steps=(StepSpec(name="again", target=WRITER),)
            ),
            after=("write",),
        ),
    ),
)


def test_names_become_what_they_stand_for() -> None:
    """Agents, nested workflows and functions are in their places, every option included."""
    assert build_workflow(load_config(TEXT, {}), "digest") == DIGEST


def test_what_is_built_encodes() -> None:
    """A workflow of a file can go to another process and come back."""
    spec = build_workflow(load_config(TEXT, {}), "digest")
    assert load_functions(decode(encode(spec), WorkflowSpec)) == spec


def test_an_unknown_workflow_is_named() -> None:
    """A misspelt name gets a suggestion."""
    with pytest.raises(ConfigError, match=r"no workflow 'digset'; did you mean 'digest'?"):
        build_workflow(load_config(TEXT, {}), "digset")
    with pytest.raises(ConfigError, match="there is no workflow 'x'"):
        build_workflow(load_config("", {}), "x")


def config(step: StepConfig) -> Config:
    """A configuration made in code, which nobody has checked."""
    return Config(workflows={"w": WorkflowConfig(mode="dag", steps=(step,))})


def test_a_config_made_in_code_is_checked_when_built() -> None:
    """A circle, an unknown agent or function is an error here too."""
    with pytest.raises(ConfigError, match="workflows nest in a circle: w -> w"):
        build_workflow(config(StepConfig(name="s", workflow="w")), "w")
    with pytest.raises(ConfigError, match="step 's': there is no agent 'a'"):
        build_workflow(config(StepConfig(name="s", agent="a")), "w")
    with pytest.raises(ConfigError, match="'os:nothing' cannot be imported"):
        build_workflow(config(StepConfig(name="s", function="os:nothing")), "w")
    with pytest.raises(ConfigError, match="step 's' has no function, workflow, agent or pool"):
        build_workflow(config(StepConfig(name="s")), "w")


def with_output(path: str) -> Config:
    """A workflow of one agent whose output is named."""
    text = f"""
    [agents.a]
    output = "{path}"
    [workflows.w]
    mode = "sequential"
    steps = [{{ name = "s", agent = "a" }}]
    """
    return load_config(text, {})


def test_the_output_of_an_agent_is_a_type_by_its_path() -> None:
    """It is imported when the workflow is built, not when the file is read."""
    loaded = with_output("understudy.messages.chat:Usage")
    assert loaded.agents["a"].output == FunctionRef("understudy.messages.chat:Usage")
    target = build_workflow(loaded, "w").steps[0].target
    assert target == AgentSpec(name="a", output=Usage)


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("understudy.messages.chat:Usge", "line 3: agents.a.output: .*did you mean 'Usage'"),
        ("os.path:basename", "agent 'a', output=: 'os.path:basename' is not a class"),
        ("threading:Thread", "agent 'a': output=Thread has no JSON form"),
        ("Usage", "line 3: agents.a.output: 'Usage' is not of the form"),
    ],
)
def test_an_output_that_cannot_be_is_named(path: str, told: str) -> None:
    """With the agent, before anything runs."""
    with pytest.raises(ConfigError, match=told):
        build_workflow(with_output(path), "w")
