"""Everything that a workflow can be told, told by a file."""

import pytest

from understudy import (
    Budget,
    Choice,
    ConfigError,
    PoolRef,
    StepSpec,
    WorkflowSpec,
    all_of,
    any_of,
    converged,
    not_,
    output_contains,
    output_matches,
    tokens_over,
)
from understudy.runtime.config.build import build_workflow
from understudy.runtime.config.explain import merged
from understudy.runtime.config.load import load_config
from understudy.runtime.config.settings import settings_of
from understudy.runtime.graph import check_workflow

TEXT = """
[agents.writer]
model = "local:extractive"

[workflows.all]
mode = "parallel"
join = 2
on_error = "collect"
budget = { calls = 10, seconds = "5m" }

[[workflows.all.steps]]
name = "answer"
choose = "{input}"
cases = { bug = { function = "builtins:len" }, talk = { agent = "writer" } }
default = { workflow = "polish" }
prompt = "About {input}"
retries = 2
effects = "idempotent"
fallback = { name = "other", pool = "workers", key = "{input.id}", timeout = "5s" }

[[workflows.all.steps]]
name = "maybe"
function = "builtins:str"
when = "{input}"

[[workflows.all.steps]]
name = "tested"
function = "builtins:str"
when = "builtins:bool"

[workflows.polish]
mode = "loop"
max_iterations = 5
until = { output_contains = "DONE", all_of = [{ converged = 0.9 }, { tokens_over = 100 }] }

[[workflows.polish.steps]]
name = "draft"
agent = "writer"

[workflows.other]
mode = "loop"
until = { not_ = { output_matches = "^x" }, function = "builtins:bool" }
steps = [{ name = "draft", agent = "writer" }]
"""


def test_everything_can_be_said_in_a_file() -> None:
    """The file is the spec that code would write."""
    config = load_config(TEXT, {}, check=check_workflow)
    writer = config.agents["writer"]
    polish = WorkflowSpec(
        name="polish",
        mode="loop",
        steps=(StepSpec(name="draft", target=writer),),
        max_iterations=5,
        until=any_of(output_contains("DONE"), all_of(converged(0.9), tokens_over(100))),
    )
    assert build_workflow(config, "all") == WorkflowSpec(
        name="all",
        mode="parallel",
        join=2,
        on_error="collect",
        budget=Budget(calls=10, seconds=300.0),
        steps=(
            StepSpec(
                name="answer",
                target=Choice(on="{input}", cases={"bug": len, "talk": writer}, default=polish),
                prompt="About {input}",
                retries=2,
                effects="idempotent",
                on_error=StepSpec(
                    name="other", target=PoolRef("workers"), key="{input.id}", timeout=5.0
                ),
            ),
            StepSpec(name="maybe", target=str, when="{input}"),
            StepSpec(name="tested", target=str, when=bool),
        ),
    )
    assert build_workflow(config, "other").until == any_of(bool, not_(output_matches("^x")))


def test_what_is_shown_says_the_same() -> None:
    """The merged result loads and builds the same workflows."""
    config = load_config(TEXT, {})
    again = load_config(merged(config), {})
    for name in config.workflows:
        assert build_workflow(again, name) == build_workflow(config, name)
    assert settings_of(again) == settings_of(config)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("join = 2", 'join = "some"'), "'some' is not one of all, any"),
        (("join = 2", "join = 9"), "join=9: 1 to 3, as many as there are steps"),
        (('function = "builtins:len"', 'functoin = "x:y"'), "unknown field `functoin`"),
        (('agent = "writer" } }', 'agent = "writre" } }'), "unknown agent 'writre'"),
        (('workflow = "polish" }', 'workflow = "polsh" }'), "unknown workflow 'polsh'"),
        (('workflow = "polish" }', 'workflow = "all" }'), "workflows nest in a circle: all -> all"),
        (('pool = "workers", ', ""), "a step has no target; give exactly one of"),
        (('when = "builtins:bool"', 'when = "builtins:bol"'), "there is no 'bol'"),
        (('when = "{input}"', 'when = "{inptu}"'), "no step; did you mean 'input'?"),
        (('choose = "{input}"', 'agent = "writer"'), "choose and cases belong together"),
        (("until = { output_c", "until = { outputc"), "unknown key 'outputcontains'"),
        (("tokens_over = 100", "tokens_over = -1"), "Expected `int` >= 0"),
        (('output_matches = "^x"', 'output_matches = "("'), "is no regular expression"),
        (("retries = 2", 'retries = 2\non_error = "fail"'), "there is a fallback"),
        (('mode = "parallel"', 'mode = "dag"'), "join= is for parallel workflows"),
    ],
)
def test_mistakes_are_named(change: tuple[str, str], problem: str) -> None:
    """Each with its line and the remedy."""
    text = TEXT.replace(*change, 1)
    assert text != TEXT
    with pytest.raises(ConfigError) as caught:
        load_config(text, {}, check=check_workflow)
    assert any(problem in found for found in caught.value.problems), caught.value.problems
