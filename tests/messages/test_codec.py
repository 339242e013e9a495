"""One codec: what is said comes back, and what must not be said is refused by name."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.messages import chunks, control, events
from understudy.messages.agents import AgentSpec, Result, RunAgent
from understudy.messages.chat import AssistantMessage, Message, ToolCall, ToolMessage, Usage
from understudy.messages.chat import SystemMessage as System
from understudy.messages.chat import UserMessage as User
from understudy.messages.codec import MAX_SIZE, decode, decode_json, encode, encode_json
from understudy.messages.errors import CodecError, ConfigError, WorkflowError, to_wire
from understudy.messages.functions import FunctionRef, load_function
from understudy.messages.models import Complete, Completion
from understudy.messages.secrets import Secret, resolve_secret
from understudy.messages.specs import load_functions
from understudy.messages.workflows import (
    RunStep,
    RunWorkflow,
    StepDone,
    StepRecord,
    StepSpec,
    WorkflowResult,
    WorkflowSpec,
)

TEXT = st.text(max_size=20)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(TEXT, PLAIN, max_size=3)
CALLS = st.builds(ToolCall, id=TEXT, name=TEXT, arguments=OBJECTS)
MESSAGES = (
    st.builds(System, content=TEXT)
    | st.builds(User, content=TEXT)
    | st.builds(AssistantMessage, content=TEXT, tool_calls=st.lists(CALLS, max_size=2).map(tuple))
    | st.builds(ToolMessage, call_id=TEXT, name=TEXT, content=TEXT, is_error=st.booleans())
)
HISTORY = st.lists(MESSAGES, max_size=4).map(tuple)
AGENTS = st.builds(
    AgentSpec,
    model=st.none() | TEXT,
    name=st.none() | TEXT,
    temperature=st.none() | st.floats(0, 2),
    stop=st.lists(TEXT, max_size=2).map(tuple),
    api_key=st.none() | TEXT,
    extra=OBJECTS,
)
FUNCTIONS = st.sampled_from([resolve_secret, load_function, len])


def workflows(targets: st.SearchStrategy[Any]) -> st.SearchStrategy[WorkflowSpec]:
    """Workflows whose steps have the given targets."""
    steps = st.builds(
        StepSpec,
        name=TEXT,
        target=targets,
        prompt=st.none() | TEXT,
        after=st.lists(TEXT, max_size=2).map(tuple),
        timeout=st.none() | st.floats(0, 100),
        effects=st.sampled_from([None, "none", "idempotent", "at_most_once"]),
    )
    return st.builds(
        WorkflowSpec,
        name=TEXT,
        mode=st.sampled_from(["sequential", "parallel", "dag"]),
        steps=st.lists(steps, max_size=3).map(tuple),
    )


WORKFLOWS = workflows(AGENTS | FUNCTIONS | workflows(AGENTS | FUNCTIONS))


def both_ways(value: object, kind: object) -> list[Any]:
    """What comes back from msgpack and from JSON."""
    return [decode(encode(value), kind), decode_json(encode_json(value), kind)]


@given(HISTORY)
def test_conversations_come_back(history: tuple[Message, ...]) -> None:
    """Every kind of message, with tool calls, is equal after a trip."""
    assert both_ways(history, tuple[Message, ...]) == [history, history]


@given(AGENTS, HISTORY)
def test_agents_come_back(spec: AgentSpec, history: tuple[Message, ...]) -> None:
    """An agent, and the request to run it, are equal after a trip."""
    request = RunAgent(spec=spec, prompt="p", history=history)
    assert both_ways(request, RunAgent) == [request, request]


@given(WORKFLOWS)
def test_workflows_come_back(spec: WorkflowSpec) -> None:
    """Agents, nested workflows and functions are equal once the functions are loaded."""
    assert [load_functions(back) for back in both_ways(spec, WorkflowSpec)] == [spec, spec]


@given(WORKFLOWS)
def test_a_decoded_spec_encodes_as_it_came(spec: WorkflowSpec) -> None:
    """Who only passes a spec on need not load its functions."""
    data = encode(RunWorkflow(spec=spec, input="x"))
    assert encode(decode(data, RunWorkflow)) == data


@given(HISTORY, PLAIN)
def test_results_come_back(history: tuple[Message, ...], output: object) -> None:
    """The result of an agent is equal after a trip."""
    result = Result[Any](
        output=output,
        text="t",
        messages=history,
        new_messages=history[:1],
        usage=Usage(input_tokens=3, measured=False),
        duration=0.25,
        time_to_first_token=None,
        finish_reason="stop",
        model="m",
        provider="p",
        attempts=1,
        run_id="r",
        trace_id="t",
    )
    assert both_ways(result, Result[Any]) == [result, result]


def test_a_typed_result_comes_back_typed() -> None:
    """`Result[City]` decodes its output into a City."""
    raw = {"output": {"input_tokens": 4}, "text": "", "messages": [], "new_messages": [],
           "usage": {}, "duration": 1.0, "time_to_first_token": None, "finish_reason": "stop",
           "model": "m", "provider": "p", "attempts": 1, "run_id": "", "trace_id": ""}  # fmt: skip
    assert decode(encode(raw), Result[Usage]).output == Usage(input_tokens=4)


def test_the_result_of_a_workflow_comes_back_with_its_errors() -> None:
    """Records keep path, times and the error that a step raised."""
    failed = StepRecord(
        path="web[3]",
        status="failed",
        start=0.5,
        end=2.0,
        error=WorkflowError("no", step="web[3]", cause=CodecError("deep")),
    )
    result = WorkflowResult(
        name="w",
        status="failed",
        output={"plan": ["a"]},
        steps={"plan": StepRecord(path="plan", status="completed", output=["a"]), "web[3]": failed},
        critical_path=("plan",),
        usage=Usage(),
        duration=2.0,
        run_id="r",
        trace_id="t",
    )
    for back in both_ways(result, WorkflowResult):
        assert list(back.steps) == ["plan", "web[3]"]
        assert back.steps["plan"] == result.steps["plan"]
        error = back.steps["web[3]"].error
        assert isinstance(error, WorkflowError)
        assert isinstance(error.cause, CodecError)
        assert (error.message, error.step) == ("no", "web[3]")
        assert back.steps["web[3]"].duration == 1.5


def test_errors_in_fields_come_back() -> None:
    """A field typed as an exception holds one again; a foreign one says what it was."""
    for back in both_ways(StepDone(path="p", error=KeyError("k")), StepDone):
        assert str(back.error) == "KeyError: 'k'"
    for back in both_ways(control.Outcome(value=1), control.Outcome):
        assert back == control.Outcome(value=1)


INFO = to_wire(CodecError("deep", run_id="r"))
EVENTS: list[events.Event] = [
    events.ActorRestarted(at=1.0, path="/a", incarnation=2, error=INFO),
    events.ActorFailed(at=1.0, path="/a", error=INFO),
    events.ActorParked(at=1.0, path="/a", error=INFO),
    events.DeadLettered(at=1.0, id=7, receiver="/a", reason="closed"),
    events.RunStarted(at=1.0, run_id="r", trace_id="t", name="n"),
    events.RunFinished(
        at=1.0, run_id="r", trace_id="t", name="n", status="failed", duration=2.0, usage=Usage(),
        error=INFO,
    ),
    events.StepDispatched(at=1.0, run_id="r", path="s[0]", label="a.md"),
    events.StepCompleted(at=1.0, run_id="r", path="s", duration=1.0, usage=Usage(input_tokens=1)),
    events.StepFailed(at=1.0, run_id="r", path="s", duration=1.0, error=INFO),
    events.StepRetried(at=1.0, run_id="r", path="s", attempt=2, error=INFO),
    events.PermitWaited(at=1.0, limiter="openai:*", session="s", seconds=0.5),
    events.GateClosed(at=1.0, limiter="openai:*", seconds=0.5),
    events.BreakerOpened(at=1.0, limiter="openai:*", seconds=5.0),
    events.BreakerClosed(at=1.0, limiter="openai:*"),
    events.ModelRetried(at=1.0, provider="p", model="m", attempt=2, delay=0.5, error=INFO),
    events.ReaderLagged(at=1.0, run_id="r", missed=3),
    events.StreamIdled(at=1.0, run_id="r", seconds=300.0),
    events.LoopBlocked(at=1.0, path="/user/a", message="Get", stack="File ..."),
]  # fmt: skip


def test_every_event_comes_back() -> None:
    """All events form one union and are equal after a trip."""
    kinds = [each for each in events.Event.__subclasses__() if each.__module__ == events.__name__]
    assert {type(event) for event in EVENTS} == set(kinds)
    union = kinds[0]
    for kind in kinds[1:]:
        union |= kind  # type: ignore[assignment]
    for event in EVENTS:
        assert both_ways(event, union) == [event, event]


CHUNKS: list[chunks.AnyChunk] = [
    chunks.TextDelta(delta="hé", index=1, at=0.5),
    chunks.AgentStarted(name="a", run_id="r"),
    chunks.AgentFinished(name="a", run_id="r", usage=Usage(output_tokens=2), index=3),
    chunks.StreamEnd(index=9),
]


def test_every_chunk_comes_back() -> None:
    """All chunks form one union; a failed stream keeps its error."""
    for chunk in CHUNKS:
        assert both_ways(chunk, chunks.AnyChunk) == [chunk, chunk]
        assert isinstance(chunk.delta, str)
    for back in both_ways(chunks.StreamFailed(error=CodecError("deep")), chunks.AnyChunk):
        assert isinstance(back, chunks.StreamFailed)
        assert isinstance(back.error, CodecError)


@given(HISTORY, OBJECTS)
def test_model_calls_come_back(history: tuple[Message, ...], extra: dict[str, Any]) -> None:
    """Requests to a model and what it answers are equal after a trip."""
    request = Complete(model="m", messages=history, temperature=0.0, extra=extra)
    answer = Completion(
        message=AssistantMessage(content="x"), finish_reason="length", usage=Usage(), model="m",
        provider="p", request_id="id",
    )  # fmt: skip
    assert both_ways(request, Complete) == [request, request]
    assert both_ways(answer, Completion) == [answer, answer]


def test_canonical_bytes_do_not_depend_on_the_order_of_keys() -> None:
    """Equal specs give equal bytes when digests are made of them; otherwise order is kept."""
    one = AgentSpec("openai:x", extra={"a": 1, "b": 2})
    other = AgentSpec("openai:x", extra={"b": 2, "a": 1})
    for write in (encode, encode_json):
        assert write(one) != write(other)
        assert write(one, canonical=True) == write(other, canonical=True)
        assert write({"n": 1}, canonical=True) != write({"n": "1"}, canonical=True)


def step(target: Any, name: str = "plan") -> WorkflowSpec:  # Any: also what must be refused
    """A workflow of one step."""
    return WorkflowSpec(name="report", mode="dag", steps=(StepSpec(name=name, target=target),))


class Fake:
    """A model object of this process."""


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        (step(lambda: None), ConfigError, "workflow 'report', step 'plan'.*a lambda"),
        (step(step(lambda: None, "deep")), ConfigError, "step 'plan'.*step 'deep'.*a lambda"),
        (RunWorkflow(spec=step(3)), ConfigError, "step 'plan': its target is of type int"),
        (RunStep(path="a/b[1]", target=lambda: 1, value=1), ConfigError, r"step 'a/b\[1\]'"),
        (
            AgentSpec(Fake(), name="writer"),
            ConfigError,
            "agent 'writer' has an object of type Fake as its model",
        ),
        (
            step(AgentSpec(Fake())),
            ConfigError,
            "step 'plan': an agent without a name has an object of type Fake",
        ),
        (
            RunAgent(spec=AgentSpec("x", name="w", api_key=Secret("k")), prompt=""),
            CodecError,
            "agent 'w' has a Secret as its api_key.*env:NAME",
        ),
        ({"deep": [Secret("sk-1")]}, CodecError, "a Secret is never encoded; pass 'env:NAME'"),
        ([Fake()], CodecError, "Fake cannot be encoded"),
        ({"a": lambda: 1}, ConfigError, "a lambda"),
        (2**70, CodecError, "cannot encode int"),
        ("\udcff", CodecError, "cannot encode str"),
    ],
)
def test_what_must_not_leave_is_refused_by_name(
    value: object, error: type[Exception], words: str
) -> None:
    """Each refusal says what it is about; no key is ever in the sentence."""
    for write in (encode, encode_json):
        if value == 2**70 and write is encode_json:
            continue  # JSON has integers of any size
        with pytest.raises(error, match=words) as caught:
            write(value)
        assert "sk-1" not in str(caught.value)


def test_an_endless_value_is_a_codec_error() -> None:
    """A list that holds itself is refused, not a crash."""
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(CodecError, match="cannot encode list"):
        encode(endless)


def test_size_is_bounded_both_ways() -> None:
    """Bytes above the limit neither leave nor enter; the limit is a parameter."""
    text = "x" * (MAX_SIZE - 5)
    assert len(encode(text)) == MAX_SIZE
    assert decode(encode(text), str) == text
    with pytest.raises(CodecError, match="str encodes to 1048577 bytes; the limit is 1048576"):
        encode(text + "x")
    with pytest.raises(CodecError, match="11 bytes for list; the limit is 10"):
        decode(b"\x9a" + b"\x01" * 10, list, max_size=10)
    with pytest.raises(CodecError, match="12 bytes for list; the limit is 10"):
        decode_json('["","","",1]', list, max_size=10)


def test_depth_is_a_parameter() -> None:
    """A caller that expects flat messages says so."""
    with pytest.raises(CodecError, match="bytes for list nest deeper than the limit of 1"):
        decode(b"\x91\x91\x01", list, max_depth=1)
    with pytest.raises(CodecError, match="bytes for list nest deeper than the limit of 1"):
        decode_json("[[]]", list, max_depth=1)
    assert decode(b"\x91\x91\x01", list, max_depth=2) == [[1]]


@pytest.mark.parametrize(
    ("value", "kind", "words"),
    [
        ({"prompt": "p"}, RunAgent, r"cannot decode RunAgent: .*missing required field `spec`"),
        ({"kind": "agent", "model": 3}, AgentSpec, r"got `int` - at `\$.model`"),
        ({"kind": "agent", "api_key": {"a": 1}}, AgentSpec, r"at `\$.api_key`"),
        ({"name": "s", "target": {"kind": "pickle"}}, StepSpec, r"at `\$.target"),
        ({"path": "p", "error": {"type": 1}}, StepDone, r"at `\$.error"),
    ],
)
def test_bytes_of_another_type_are_refused_by_name(value: object, kind: type, words: str) -> None:
    """The error names the type and where the bytes differ from it."""
    with pytest.raises(CodecError, match=words):
        decode(msgspec.msgpack.encode(value), kind)
    with pytest.raises(CodecError, match=words):
        decode_json(msgspec.json.encode(value), kind)


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x93\x01", b"\x01\x01"])
def test_bytes_that_are_not_msgpack_are_refused(data: bytes) -> None:
    """Empty, invalid, truncated and trailing bytes are all a CodecError."""
    with pytest.raises(CodecError, match="cannot decode"):
        decode(data, Any)


def test_a_type_that_msgspec_cannot_make_says_so() -> None:
    """A receiver that expects a plain class is told to declare a struct."""
    with pytest.raises(CodecError, match="Path cannot be decoded; declare a msgspec"):
        decode(encode("x"), Path)


def test_decoding_imports_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path in foreign bytes runs only when the receiver loads it, from where it allows."""
    (tmp_path / "planted.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    spec = decode(encode(step(FunctionRef("planted:run"))), WorkflowSpec)
    assert spec.steps[0].target == FunctionRef("planted:run")
    with pytest.raises(ConfigError, match=r"workflow 'report', step 'plan'.*imported"):
        load_functions(spec)
    allowed = load_functions(spec, load={"planted:run": len}.__getitem__)
    assert allowed.steps[0].target is len
