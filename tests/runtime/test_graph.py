import pytest

from understudy import (
    Actor,
    Agent,
    AgentSpec,
    ConfigError,
    StepSpec,
    Workflow,
    WorkflowSpec,
    choose,
    converged,
    output_contains,
    output_matches,
    step,
    tokens_over,
)
from understudy.runtime.graph import check_workflow
from understudy.runtime.planning.compiled import dependencies

A = AgentSpec("openai:x")


def problems(*steps: StepSpec, mode: str = "dag", **options: object) -> list[str]:
    """What is wrong with a workflow of these steps."""
    spec = WorkflowSpec(name="w", mode=mode, steps=steps, **options)  # type: ignore[arg-type]
    return check_workflow(spec)


@pytest.mark.parametrize(
    ("steps", "problem"),
    [
        (
            [step("b", A, after="aa"), step("a", A)],
            "step 'b' waits for 'aa', which is not a step; did you mean 'a'?",
        ),
        ([step("a", A, after="a")], "step 'a' waits for itself: a -> a"),
        (
            [step("a", A, after="c"), step("b", A, after="a"), step("c", A, after="b")],
            "step 'a' waits for itself: a -> c -> b -> a",
        ),
        ([step("a", A), step("a", A)], "step 'a' is there twice; names must differ"),
        (
            [step("a", A, "{plam}"), step("plan", A)],
            "step 'a' uses {plam}, which is no step; did you mean 'plan'?",
        ),
        (
            [step("a", A), step("b", A, "{a}")],
            "step 'b' uses {a}, but does not wait for it; add it to after=",
        ),
        ([step("a", A, "{item}")], "step 'a' uses {item}, which only exists with each="),
        (
            [step("a", A, each="all of {input}")],
            "step 'a': each='all of {input}' must be one placeholder, such as '{documents}'",
        ),
        ([step("a", A, max_concurrent=2)], "step 'a' has max_concurrent= but no each="),
        (
            [step("a", A, each="{input}", max_concurrent=0)],
            "step 'a': max_concurrent=0, at least 1 is needed",
        ),
        ([step("a", A, timeout=0)], "step 'a': timeout=0, more than 0 seconds are needed"),
        (
            [step("a b", A)],
            "step 'a b': a name has letters, digits, _ and -, and is none of input, item, index",
        ),
        (
            [step("input", A)],
            "step 'input': a name has letters, digits, _ and -, and is none of input, item, index",
        ),
        ([step("a", 3)], "step 'a': 3 is no agent, function, workflow or pool"),
        ([], "workflow 'w' has no steps"),
    ],
)
def test_every_mistake_is_a_sentence(steps: list[StepSpec], problem: str) -> None:
    """A mistake names the step, and where there is one, the remedy."""
    assert problems(*steps) == [problem]


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        (step("a", A, timeout="5s"), "timeout='5s': seconds are needed, as a number"),  # type: ignore[arg-type]
        (step("a", A, timeout=float("nan")), "timeout=nan: seconds are needed, as a number"),
        (step("a", A, timeout=True), "timeout=True: seconds are needed, as a number"),
        (step("a", A, retries=1.5), "retries=1.5: a whole number is needed"),  # type: ignore[arg-type]
        (step("a", A, prompt=7), "prompt=7: a text is needed"),  # type: ignore[arg-type]
        (step("a", A, key=3), "key=3: a text is needed"),  # type: ignore[arg-type]
        (step("a", A, each=[1]), "each=[1]: a text is needed"),  # type: ignore[arg-type]
        (
            step("a", A, each="{input}", max_concurrent="3"),  # type: ignore[arg-type]
            "max_concurrent='3': a whole number is needed",
        ),
        (
            step("a", A, effects="often"),  # type: ignore[arg-type]
            "effects='often': 'none', 'idempotent' or 'at_most_once'",
        ),
        (
            step("a", A, after=3),  # type: ignore[arg-type]
            "after=(3,): a name of a step is needed, or a list of names",
        ),
    ],
)
def test_a_field_of_another_kind_is_named(wrong: StepSpec, problem: str) -> None:
    """Not a TypeError out of some comparison; also of a step that stands in for another."""
    assert problems(wrong) == [f"step 'a': {problem}"]
    assert problems(step("b", A, on_error=wrong)) == [f"step 'a': {problem}"]


def test_a_name_that_is_no_text_is_named() -> None:
    """Of a step, and of the workflow."""
    assert problems(step(5, A)) == ["step 5: name=5: a text is needed"]  # type: ignore[arg-type]
    spec = WorkflowSpec(name=3, mode="dag", steps=(step("a", A),))  # type: ignore[arg-type]
    assert check_workflow(spec) == ["name=3: a text is needed"]


@pytest.mark.parametrize(
    ("option", "value", "needed"),
    [
        ("max_concurrent", 2.5, "a whole number is needed"),
        ("timeout", "3s", "seconds are needed, as a number"),
        ("join", True, "'all', 'any', or how many steps must be done"),
        ("join", 1.0, "'all', 'any', or how many steps must be done"),
        ("max_iterations", "3", "a whole number is needed"),
        ("budget", 3, "give a Budget(...)"),
    ],
)
def test_options_of_another_kind_are_named(option: str, value: object, needed: str) -> None:
    """All that a workflow takes besides its steps."""
    assert problems(step("a", A), **{option: value}) == [f"{option}={value!r}: {needed}"]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("until", "problem"),
    [
        (output_contains(3), "OutputContains(text=3, ignore_case=False): a text is needed"),  # type: ignore[arg-type]
        (output_matches(b"x"), "OutputMatches(pattern=b'x'): a text is needed"),  # type: ignore[arg-type]
        (tokens_over("3"), "TokensOver(tokens='3'): a number is needed"),  # type: ignore[arg-type]
        (converged(None), "Converged(similarity=None): a number is needed"),  # type: ignore[arg-type]
    ],
)
def test_what_a_condition_compares_with_is_checked(until: object, problem: str) -> None:
    """When the workflow is built, not after the first round."""
    found = problems(step("a", A), mode="loop", until=until)
    assert found == [f"until=: {problem}"]


def test_a_choice_on_nothing_is_named() -> None:
    """Braces that were forgotten would choose the same case for ever."""
    assert problems(step("a", choose("input", {"x": A}))) == [
        "step 'a' chooses on 'input', which is always the same; write '{input}' or a step"
    ]


def test_a_class_of_actors_is_no_target() -> None:
    """Calling it would make an actor that nobody runs; the remedy is a pool."""
    (found,) = problems(step("a", Actor))
    assert (
        found == "step 'a': Actor is a class of actors; make a pool of it: rt.pool('name', Actor)"
    )


def test_bounds_of_the_workflow() -> None:
    """What is wrong with the workflow as a whole is found too."""
    assert problems(step("a", A), max_concurrent=0) == [
        "max_concurrent=0: at least 1 step must be able to run"
    ]
    assert problems(step("a", A), timeout=-1.0) == ["timeout=-1.0: more than 0 seconds are needed"]
    assert problems(step("a", A), mode="daq") == [
        "mode 'daq': one of sequential, parallel, dag, loop"
    ]
    assert problems(step("a", A), step("b", A, after="a"), mode="parallel") == [
        "step 'b' has after=, but a parallel workflow has an order of its own; use a dag"
    ]


def test_all_mistakes_are_reported_at_once() -> None:
    """Building a workflow that is wrong in many ways lists every one of them."""
    with pytest.raises(ConfigError) as caught:
        Workflow.dag(
            "w",
            step("plan", A, "{inptu}", timeout=-1),
            step("plan", A),
            step("web", A, after="pan"),
            max_concurrent=0,
        )
    assert len(caught.value.problems) == 5
    for problem in caught.value.problems:
        assert f"\n  - {problem}" in str(caught.value)


def test_a_nested_workflow_is_checked_in_its_place() -> None:
    """A mistake inside a nested workflow is named with the step around it."""
    inner = WorkflowSpec(name="inner", mode="dag", steps=(step("x", A, after="y"),))
    assert problems(step("outer", inner)) == [
        "step 'outer': step 'x' waits for 'y', which is not a step"
    ]


def test_nesting_has_a_bound() -> None:
    """Eight levels are possible, nine are not."""
    spec = WorkflowSpec(name="w1", mode="dag", steps=(step("a", A),))
    for level in range(2, 9):
        assert check_workflow(spec) == []
        spec = WorkflowSpec(name=f"w{level}", mode="dag", steps=(step("a", spec),))
    assert check_workflow(spec) == []
    spec = WorkflowSpec(name="w9", mode="dag", steps=(step("a", spec),))
    assert check_workflow(spec) == ["workflow 'w9' nests deeper than 8"]


def test_dependencies_follow_the_mode() -> None:
    """A sequence is a chain, parallel steps depend on nothing, a dag says it itself."""
    steps = (step("a", A), step("b", A), step("c", A))
    sequential = WorkflowSpec(name="w", mode="sequential", steps=steps)
    assert dependencies(sequential) == {"a": (), "b": ("a",), "c": ("b",)}
    parallel = WorkflowSpec(name="w", mode="parallel", steps=steps)
    assert dependencies(parallel) == {"a": (), "b": (), "c": ()}


@pytest.mark.parametrize(
    ("build", "match"),
    [
        (
            lambda: Workflow.dag("w", step("a", A), max_concurent=3),
            r"max_concurent=.*max_concurrent=",
        ),
        (lambda: Workflow.sequential("w", "a"), "is no step; write step"),  # type: ignore[arg-type]
    ],
)
def test_building_wrongly_is_named(build: object, match: str) -> None:
    """What is not an option or not a step is refused by name."""
    with pytest.raises(ConfigError, match=match):
        build()  # type: ignore[operator]


def test_a_workflow_can_be_made_of_a_spec() -> None:
    """A spec that was decoded gets its verbs, and is checked again."""
    spec = WorkflowSpec(name="w", mode="dag", steps=(step("a", Agent("openai:x")),), timeout=3.0)
    flow = Workflow.from_spec(spec)
    assert (flow.name, flow.timeout, flow.steps) == ("w", 3.0, spec.steps)
    broken = WorkflowSpec(name="w", mode="dag", steps=())
    with pytest.raises(ConfigError, match="has no steps"):
        Workflow.from_spec(broken)


@pytest.mark.parametrize("prompt", ['give {"a": 1}', "a } alone", "{ input }", "{}", "{input"])
def test_a_brace_that_is_no_placeholder_is_warned_of(prompt: str) -> None:
    """Braces that mean nothing are left alone, and whoever builds the workflow is told where."""
    with pytest.warns(UserWarning, match="step 'a': a brace in .* is left as it is"):
        Workflow.sequential("w", step("a", A, prompt))


@pytest.mark.parametrize("prompt", ["{input}", "{{", "}}", '{{"a": {input}}}', "{input.a.b}", ""])
def test_braces_that_are_meant_are_not(prompt: str) -> None:
    """Placeholders and doubled braces are what they look like (warnings are errors here)."""
    Workflow.sequential("w", step("a", A, prompt))
