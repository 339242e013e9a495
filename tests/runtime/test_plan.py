from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy import AgentSpec, StepSpec, WorkflowError, WorkflowSpec, step
from understudy.messages.chat import Usage
from understudy.runtime.plan import Launch, Plan

A = AgentSpec("openai:x")


def plan(*steps: StepSpec, value: object = "in", mode: str = "dag", bound: int = 64) -> Plan:
    """A plan of these steps."""
    spec = WorkflowSpec(name="w", mode=mode, steps=steps, max_concurrent=bound)  # type: ignore[arg-type]
    return Plan(spec, value)


def started(made: Plan, now: float = 0.0) -> dict[str, object]:
    """What starts now: paths with what their targets receive."""
    return {launch.path: launch.value for launch in made.launches(now)}


def test_a_step_starts_the_instant_its_own_dependencies_are_done() -> None:
    """Nothing waits for a level of the graph: `c` starts though `b`, beside its `a`, still runs."""
    made = plan(
        step("a", A),
        step("b", A),
        step("c", A, after="a"),
        step("d", A, after=("c", "b")),
    )
    assert list(started(made)) == ["a", "b"]
    made.done("a", 1.0, output="A")
    assert started(made, 1.0) == {"c": "A"}
    made.done("c", 2.0, output="C")
    assert started(made, 2.0) == {}
    made.done("b", 5.0, output="B")
    assert started(made, 5.0) == {"d": "C\n\nB"}
    made.done("d", 6.0, output="D")
    assert (made.status, made.output) == ("completed", "D")
    assert made.critical_path() == ("b", "d")
    assert made.records["c"].duration == 1.0


def test_what_a_step_receives() -> None:
    """The input, the one output before it, several joined, or its prompt with names filled in."""
    made = plan(
        step("first", A),
        step("prompted", A, "About {input}: {first.name}", after="first"),
        step("whole", A, "{first}", after="first"),
        value="X",
    )
    assert started(made) == {"first": "X"}
    made.done("first", 1.0, output={"name": "N"})
    assert started(made) == {"prompted": "About X: N", "whole": {"name": "N"}}


def test_outputs_by_mode() -> None:
    """The last one's, all by name, or the sinks' (by name when there are several)."""
    sequential = plan(step("a", A), step("b", A), mode="sequential")
    assert started(sequential) == {"a": "in"}
    sequential.done("a", 1.0, output=1)
    assert started(sequential) == {"b": 1}
    sequential.done("b", 2.0, output=2)
    assert sequential.output == 2

    parallel = plan(step("a", A), step("b", A), mode="parallel")
    assert started(parallel) == {"a": "in", "b": "in"}
    parallel.done("b", 1.0, output=2)
    parallel.done("a", 2.0, output=1)
    assert parallel.output == {"a": 1, "b": 2}

    sinks = plan(step("a", A), step("b", A, after="a"), step("c", A, after="a"))
    started(sinks)
    sinks.done("a", 1.0)
    started(sinks)
    sinks.done("b", 2.0, output="B")
    sinks.done("c", 3.0, output="C")
    assert sinks.output == {"b": "B", "c": "C"}


def test_each_runs_once_an_item_within_its_bound() -> None:
    """Items start in order, as many at a time as the step allows, and come out in order."""
    made = plan(
        step("all", A, "{index}: {item} of {input}", each="{input}", max_concurrent=2),
        step("after", A, after="all"),
        value=["x", "y", "z"],
    )
    assert started(made) == {
        "all[0]": '0: x of ["x","y","z"]',
        "all[1]": '1: y of ["x","y","z"]',
    }
    made.done("all[1]", 1.0, output="Y", usage=Usage(output_tokens=1))
    assert list(started(made)) == ["all[2]"]
    made.done("all[2]", 2.0, output="Z", usage=Usage(output_tokens=2))
    assert started(made) == {}
    made.done("all[0]", 3.0, output="X", usage=Usage(output_tokens=4))
    assert started(made) == {"after": ["X", "Y", "Z"]}
    assert made.records["all"].usage.output_tokens == 7
    assert made.usage.output_tokens == 7


def test_records_of_items_say_what_they_are_called() -> None:
    """Launched, done, failed, cancelled or never begun: an item has its label, a step none."""
    made = plan(
        step("a", A, each="{input}", max_concurrent=3, on_error="continue"), value=[*"wxyz"]
    )
    assert [(each.path, each.label) for each in made.launches(0.0)] == [
        ("a[0]", "w"), ("a[1]", "x"), ("a[2]", "y")
    ]  # fmt: skip
    made.done("a[0]", 1.0, output="W")
    made.done("a[1]", 1.0, error=ValueError("no"))
    made.cancel(2.0)
    assert {path: (record.status, record.label) for path, record in made.records.items()} == {
        "a": ("cancelled", ""),
        "a[0]": ("completed", "w"),
        "a[1]": ("failed", "x"),
        "a[2]": ("cancelled", "y"),
        "a[3]": ("skipped", "z"),
    }


def test_a_run_has_a_bound_over_all_steps() -> None:
    """At most `max_concurrent` launches are out, and steps with items take turns."""
    made = plan(
        step("a", A, each="{input}"), step("b", A, each="{input}"), value=[0, 1, 2], bound=3
    )
    assert list(started(made)) == ["a[0]", "b[0]", "a[1]"]
    made.done("b[0]", 1.0)
    assert list(started(made)) == ["b[1]"]


def test_no_items_is_a_list_of_none() -> None:
    """A step with nothing to do is done at once, and the steps behind it run."""
    made = plan(step("all", A, each="{input}"), step("after", A, after="all"), value=())
    assert started(made) == {"after": []}
    assert made.records["all"].status == "completed"


@pytest.mark.parametrize(
    ("value", "match"),
    [
        ("text", "each='{input}' is a str, not a list"),
        (list(range(10_001)), "has 10,001 items; 10,000 at most"),
    ],
)
def test_what_cannot_be_fanned_out_fails_the_step(value: object, match: str) -> None:
    """Something that is no list, or too long a one, is a failure that names the step."""
    made = plan(step("all", A, each="{input}"), step("b", A, after="all"), value=value)
    assert started(made) == {}
    assert made.status == "failed"
    assert isinstance(made.error, WorkflowError)
    assert match in str(made.error)
    assert made.error.step == "all"
    made.cancel(1.0)
    assert {p: r.status for p, r in made.records.items()} == {"all": "failed", "b": "skipped"}


def test_ten_thousand_items_are_possible() -> None:
    """The bound itself is allowed."""
    made = plan(step("a", A, each="{input}"), value=list(range(10_000)))
    assert len(started(made)) == 64


def test_a_failure_ends_the_run_at_once() -> None:
    """Nothing starts after a failure; what runs is cancelled, the rest skipped, all recorded."""
    made = plan(
        step("bad", A),
        step("slow", A, each="{input}", max_concurrent=1),
        step("behind", A, after="slow"),
        value=["x", "y"],
    )
    assert list(started(made)) == ["bad", "slow[0]"]
    made.done("bad", 1.0, error=ValueError("boom"))
    assert started(made) == {}
    assert made.status == "failed"
    assert str(made.error) == "step bad failed: boom"
    assert isinstance(made.error.cause if made.error else None, ValueError)
    made.cancel(2.0, "another step failed")
    assert {path: record.status for path, record in made.records.items()} == {
        "bad": "failed",
        "slow": "cancelled",
        "slow[0]": "cancelled",
        "slow[1]": "skipped",
        "behind": "skipped",
    }
    assert made.records["slow"].why == "2 of 2 items were not done: another step failed"
    assert made.critical_path() == ("slow",)


def test_continue_gives_none_to_the_steps_behind() -> None:
    """A step that may fail is recorded as failed; its output is nothing."""
    made = plan(
        step("may", A, on_error="continue"),
        step("items", A, each="{input}", on_error="continue"),
        step("behind", A, "[{may}] {items}", after=("may", "items")),
        value=["x", "y"],
    )
    started(made)
    made.done("may", 1.0, error=ValueError("boom"))
    made.done("items[0]", 1.0, error=ValueError("boom"))
    made.done("items[1]", 2.0, output="Y")
    assert started(made) == {"behind": '[] [null,"Y"]'}
    assert made.records["may"].status == "failed"
    assert made.records["items"].why == "1 of 2 items failed"
    made.done("behind", 3.0, output="end")
    assert (made.status, made.output) == ("completed", "end")


def test_continue_covers_what_each_names() -> None:
    """A list that is none does not end a run whose step may fail."""
    made = plan(
        step("all", A, each="{input}", on_error="continue"), step("b", A, "[{all}]", after="all")
    )
    assert started(made) == {"b": "[]"}
    assert made.records["all"].status == "failed"


def test_a_prompt_that_cannot_be_rendered_fails_its_step() -> None:
    """A field that an output does not have is that step's failure."""
    made = plan(step("a", A), step("b", A, "{a.size}", after="a"))
    started(made)
    made.done("a", 1.0, output="text")
    assert started(made) == {}
    assert "step b failed: {a.size}: a str has no field 'size'" in str(made.error)


def test_what_comes_back_late_is_ignored() -> None:
    """After a cancel, or twice, an answer changes nothing."""
    made = plan(step("a", A), step("b", A, after="a"))
    started(made)
    made.cancel(1.0, "enough")
    made.done("a", 2.0, output="late")
    made.done("unknown", 2.0)
    assert (made.status, made.outputs) == ("cancelled", {})
    assert made.records["a"].status == "cancelled"
    assert made.records["a"].why == "enough"
    assert made.records["b"].status == "skipped"


def test_paths_of_a_nested_run_begin_with_its_step() -> None:
    """Paths are stable and say where a step stands."""
    spec = WorkflowSpec(name="w", mode="dag", steps=(step("a", A, each="{input}"),))
    made = Plan(spec, ["x"], path="outer[3]")
    assert list(started(made)) == ["outer[3]/a[0]"]
    made.done("outer[3]/a[0]", 1.0)
    assert set(made.records) == {"outer[3]/a[0]", "outer[3]/a"}


@st.composite
def graphs(draw: Callable[..., object]) -> WorkflowSpec:
    """A random acyclic graph, its steps in random order, some with items, some that may fail."""
    count: int = draw(st.integers(1, 8))  # type: ignore[assignment]
    steps = []
    for number in range(count):
        after = draw(st.sets(st.integers(0, number - 1))) if number else set()
        each = draw(st.booleans())
        steps.append(
            step(
                f"s{number}",
                A,
                after=tuple(f"s{other}" for other in sorted(after)),  # type: ignore[call-overload]
                each="{input}" if each else None,
                max_concurrent=draw(st.none() | st.integers(1, 3)) if each else None,  # type: ignore[arg-type]
                on_error=draw(st.sampled_from(["fail", "continue"])),  # type: ignore[arg-type]
            )
        )
    order = draw(st.permutations(steps))
    bound = draw(st.integers(1, 6))
    return WorkflowSpec(name="w", mode="dag", steps=tuple(order), max_concurrent=bound)  # type: ignore[arg-type]


def _is_over(made: Plan) -> bool:
    return made.status is not None


@given(graphs(), st.data())
def test_any_plan_keeps_its_promises(spec: WorkflowSpec, data: st.DataObject) -> None:
    """Whatever the graph and whatever happens: order, once, within bounds, all recorded."""
    items = data.draw(st.lists(st.integers(), max_size=5))
    fails = data.draw(st.sampled_from([0, 0, 1]))
    made = Plan(spec, items)
    steps = {each.name: each for each in spec.steps}
    out: list[Launch] = []
    seen: set[str] = set()
    ended: dict[str, float] = {}
    now = 0.0
    while made.status is None:
        for launch in made.launches(now):
            assert launch.path not in seen, "started twice"
            seen.add(launch.path)
            for other in launch.step.after:
                assert made.records[other].end is not None, "started before its dependency"
                assert ended.get(other, now) <= now
            out.append(launch)
        assert len(out) <= spec.max_concurrent
        for each in spec.steps:
            here = sum(launch.step.name == each.name for launch in out)
            assert here <= (each.max_concurrent or spec.max_concurrent)
        if _is_over(made):
            break
        assert out, "a plan that is not over has something under way"
        now += 1.0
        launch = out.pop(data.draw(st.integers(0, len(out) - 1)))
        error = ValueError() if fails and data.draw(st.integers(0, 5)) == 0 else None
        made.done(launch.path, now, output=launch.path, error=error)
        ended[launch.step.name] = now
    if made.status != "completed":
        made.cancel(now, "over")
    expected = set(steps)
    for each in spec.steps:
        if each.each is not None and (made.records[each.name].start is not None):
            expected |= {f"{each.name}[{n}]" for n in range(len(items))}
    assert set(made.records) == expected
    finished = (
        {"completed", "failed"}
        if made.status == "completed"
        else {
            "completed",
            "failed",
            "cancelled",
            "skipped",
        }
    )
    assert {record.status for record in made.records.values()} <= finished
    for record in made.records.values():
        assert record.duration >= 0
    assert set(made.critical_path()) <= set(steps)
