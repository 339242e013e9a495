import asyncio
import json
from hashlib import blake2b
from typing import Any

import pytest

from understudy import (
    Agent,
    AgentSpec,
    ConfigError,
    Runtime,
    UnderstudyError,
    Workflow,
    WorkflowError,
    WorkflowResult,
    WorkflowSpec,
    all_of,
    choose,
    converged,
    not_,
    output_contains,
    step,
)
from understudy.messages.codec import decode, encode
from understudy.messages.records import Digest
from understudy.messages.specs import load_functions
from understudy.testing import FakeModel, SimRuntime

ECHO = Agent(FakeModel.echo(), name="echo")


def fail(value: str) -> None:
    """Fail."""
    raise ValueError(value)


def enough(ctx: Any) -> bool:
    """A condition with an import path."""
    return "x" in ctx


FLOW = Workflow.dag(
    "w",
    step("say", ECHO, "hi {input}"),
    step("bad", fail, after="say", on_error="continue"),
    step("skipped", ECHO, after="bad", when="{bad}"),
    step("items", len, each="{input}"),
)


@pytest.fixture(scope="module")
def result() -> WorkflowResult:
    """Of a run with a bit of everything."""
    with Runtime() as rt:
        return FLOW.run(["a", "b"], runtime=rt)


def test_a_result_goes_through_msgpack(result: WorkflowResult) -> None:
    """And comes back equal, but for errors of foreign types, which come back as ours."""
    back = decode(encode(result), WorkflowResult)
    assert back.steps["bad"].error is not None
    assert "ValueError" in str(back.steps["bad"].error)
    assert back.steps["say"] == result.steps["say"]
    assert back.steps["items[1]"] == result.steps["items[1]"]
    assert {path: r.input_digest for path, r in back.steps.items()} == {
        path: r.input_digest for path, r in result.steps.items()
    }
    assert (back.output, back.usage, back.critical_path) == (
        result.output,
        result.usage,
        result.critical_path,
    )


def test_plain_forms(result: WorkflowResult) -> None:
    """to_dict and to_json are plain, whatever the steps gave."""
    plain = json.loads(result.to_json(indent=2))
    assert plain == json.loads(json.dumps(result.to_dict()))
    assert plain["steps"]["bad"]["error"]["message"].startswith("echo: hi")
    assert plain["steps"]["skipped"]["status"] == "skipped"
    assert plain["steps"]["say"]["digest"] == result.steps["say"].input_digest
    odd = WorkflowResult(
        name="w",
        status="completed",
        output=object(),
        steps={},
        critical_path=(),
        usage=result.usage,
        duration=0.0,
        run_id="",
        trace_id="",
    )
    assert odd.to_dict()["output"].startswith("<object object")


def test_digests_tell_inputs_apart() -> None:
    """Equal values have equal fingerprints, at any time and in any process; others have not."""
    assert str(Digest("a")) == blake2b(b"a", digest_size=8).hexdigest()
    assert str(Digest({"b": 1, "a": 2})) == str(Digest({"a": 2, "b": 1}))
    texts = [str(Digest(each)) for each in ("a", b"b", 1, None, [1], {"a": 1}, 2.5)]
    assert len(set(texts)) == len(texts)


def test_a_gantt_chart(result: WorkflowResult) -> None:
    """A line for each step with a bar where it ran, and why where it did not."""
    lines = result.gantt(20).splitlines()
    assert lines[0].startswith("w: completed in ")
    assert len(lines) == 1 + len(result.steps)
    by_path = {line[2:].split(" ")[0]: line for line in lines[1:]}
    assert "█" in by_path["say"]
    assert "▒" in by_path["bad"]
    assert by_path["skipped"].endswith("skipped: when='{bad}' gave nothing")
    assert all(len(line.split("|")[1]) == 20 for line in lines[1:])


def test_specs_go_through_msgpack() -> None:
    """Conditions, choices and what stands in travel too; what has no import path is named."""
    shared = AgentSpec("openai:x")
    spec = Workflow.loop(
        "w",
        step("a", choose("{input}", {"x": len, "y": shared}, default=repr)),
        step("b", shared, when=enough, on_error=step("c", len)),
        until=all_of(output_contains("x"), not_(converged(0.9)), enough),
    )
    back = load_functions(decode(encode(spec), WorkflowSpec))
    assert Workflow.from_spec(back) == spec
    for flow, where in (
        (Workflow.loop("w", step("a", shared), until=lambda _: True), "workflow 'w', until=: "),
        (Workflow.dag("w", step("a", shared, when=lambda _: True)), "step 'a': when=: "),
        (
            Workflow.dag("w", step("a", shared, on_error=step("b", lambda: 1))),
            "on_error= step 'b': ",
        ),
        (Workflow.dag("w", step("a", choose("{input}", {"k": lambda: 1}))), "case 'k': "),
    ):
        with pytest.raises(ConfigError) as caught:
            encode(flow)
        assert where in str(caught.value)


class Mute(Exception):  # noqa: N818 - what it does matters
    """An error that fails to put itself into words."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


class Odd:
    """A value that does."""

    def __repr__(self) -> str:
        raise RuntimeError("no words")

    @property
    def name(self) -> str:
        """No name either."""
        raise RuntimeError("no name")


def mute(_: Any) -> None:
    """Fail without words."""
    raise Mute


def odd(_: Any) -> list[Odd]:
    """Items without words."""
    return [Odd()]


def take(value: Any) -> str:
    """Say what kind of thing came."""
    return type(value).__name__


def test_an_error_without_words_is_called_by_its_type() -> None:
    """Whatever a class of others does, the run says which step failed; all its forms work."""
    with Runtime():
        with pytest.raises(WorkflowError, match="step a failed: <Mute>"):
            Workflow.sequential("w", step("a", mute)).run("x")
        result = Workflow.sequential("w", step("a", mute, on_error="continue")).run("x")
        assert "failed: <Mute>" in result.gantt()
        assert json.loads(result.to_json())["steps"]["a"]["error"]["message"] == "<Mute>"
        with pytest.raises(WorkflowError, match="until= of workflow 'w' raised Mute: <Mute>"):
            Workflow.loop("w", step("a", take), until=mute).run("x")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError(), "ValueError"),
        (KeyError("k"), "KeyError: 'k'"),
        (SystemExit(3), "SystemExit: 3"),
    ],
)
def test_an_error_that_says_little_is_named(error: BaseException, said: str) -> None:
    """A bare number, a bare key or nothing would help nobody."""

    async def fails() -> None:
        raise error

    with Runtime(), pytest.raises(WorkflowError) as caught:
        Workflow.sequential("w", step("a", fails)).run("x")
    assert str(caught.value) == f"step a failed: {said}"


def test_values_without_words_go_from_step_to_step() -> None:
    """By themselves, also as items and in records; only where words are needed the step fails."""
    each = Workflow.sequential("w", step("a", odd), step("b", take, each="{a}"))
    with Runtime():
        result = each.run("x")
        assert result.output == ["Odd"]
        assert "<Odd>" in result.to_json()
        assert len(result.steps["b[0]"].input_digest) == 16
        worded = Workflow.sequential("w", step("a", odd), step("b", take, "as text: {a}"))
        with pytest.raises(WorkflowError, match="step b failed: no words"):
            worded.run("x")


def test_steps_of_a_nested_run_stand_where_they_ran() -> None:
    """Times count from the begin of the outermost run, so that a chart shows what was when."""

    async def main(rt: Runtime) -> WorkflowResult:
        async def wait(_: Any) -> None:
            await asyncio.sleep(10)

        inner = Workflow.sequential("i", step("a", wait), step("b", wait))
        middle = Workflow.sequential("m", step("c", wait), step("i", inner))
        outer = Workflow.sequential("o", step("p", wait), step("m", middle))
        return await outer.arun("x", runtime=rt)

    steps = SimRuntime(1, limit=600.0).run(main).steps
    ran = {path: (round(r.start or 0.0), round(r.end or 0.0)) for path, r in steps.items()}
    assert ran == {
        "p": (0, 10), "m": (10, 40), "m/c": (10, 20), "m/i": (20, 40),
        "m/i/a": (20, 30), "m/i/b": (30, 40),
    }  # fmt: skip


@pytest.mark.parametrize("cut", ["timeout", "failure", "cancel"])
def test_a_run_that_is_cut_off_says_what_its_nested_runs_did(cut: str) -> None:
    """Also of the runs within that are under way: what was done, cut off, and never begun."""

    async def main(rt: Runtime) -> dict[str, tuple[str, float | None, float | None]]:
        async def wait(_: Any) -> None:
            await asyncio.sleep(10)

        async def fails(_: Any) -> None:
            await asyncio.sleep(15)
            raise ValueError("no")

        inner = Workflow.sequential("i", step("a", wait), step("b", wait), step("c", wait))
        middle = Workflow.sequential("m", step("i", inner))
        steps = [step("m", middle), *([step("f", fails)] if cut == "failure" else [])]
        timeout = 15 if cut == "timeout" else None
        run = Workflow.parallel("o", *steps, timeout=timeout).submit("x", runtime=rt)
        if cut == "cancel":
            await asyncio.sleep(15)
            run.cancel()
        with pytest.raises(UnderstudyError) as caught:
            await run
        await asyncio.sleep(10)
        assert rt.ledger.running == 0
        records = caught.value.partial.steps
        return {path: (r.status, r.start, r.end) for path, r in records.items() if path != "f"}

    ran = SimRuntime(1, limit=600.0).run(main)
    assert {path: status for path, (status, _, _) in ran.items()} == {
        "m": "cancelled",
        "m/i": "cancelled",
        "m/i/a": "completed",
        "m/i/b": "cancelled",
        "m/i/c": "skipped",
    }
    assert [round(time or 0.0) for time in ran["m/i/b"][1:]] == [10, 15]
