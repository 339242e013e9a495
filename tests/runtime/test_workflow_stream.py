import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

import pytest

from understudy import (
    Agent,
    AgentFinished,
    AgentStarted,
    Message,
    Metadata,
    RunCancelledError,
    Runtime,
    ServerError,
    StepFinished,
    StepStarted,
    StreamEnd,
    StreamFailed,
    TextDelta,
    Workflow,
    WorkflowError,
    WorkflowResult,
    step,
)
from understudy.testing import FakeModel, SimRuntime, assert_quiet

if TYPE_CHECKING:
    from tests.conftest import Gate

pytestmark = pytest.mark.anyio


def says(*tokens: str) -> Agent:
    """An agent that says this."""
    return Agent(FakeModel(lambda _: list(tokens)))


def shout(text: str) -> str:
    """A step that is a function."""
    return text.upper()


def test_each_chunk_has_the_path_of_its_step(runtime: Runtime) -> None:
    """Steps begin, speak and end in order, and what they gave is not said again."""
    flow = Workflow.sequential(
        "flow", step("draft", says("a ", "b")), step("shout", shout), step("polish", says("c"))
    )
    with flow.stream("?", runtime=runtime, flush_interval=0) as stream:
        chunks = list(stream)
    assert [(type(chunk), chunk.step, chunk.delta) for chunk in chunks] == [
        (StepStarted, "draft", ""),
        (AgentStarted, "draft", ""),
        (TextDelta, "draft", "a "),
        (TextDelta, "draft", "b"),
        (Metadata, "draft", ""),
        (AgentFinished, "draft", ""),
        (StepFinished, "draft", ""),
        (StepStarted, "shout", ""),
        (StepFinished, "shout", ""),
        (StepStarted, "polish", ""),
        (AgentStarted, "polish", ""),
        (TextDelta, "polish", "c"),
        (Metadata, "polish", ""),
        (AgentFinished, "polish", ""),
        (StepFinished, "polish", ""),
        (StreamEnd, "", ""),
    ]
    assert [chunk.index for chunk in chunks] == list(range(len(chunks)))
    result: Any = stream.result
    assert isinstance(result, WorkflowResult)
    assert result.output == "c"


def test_nested_and_repeated_steps_keep_their_paths(runtime: Runtime) -> None:
    """Items and nested workflows are told by their whole path, once, whatever the depth."""
    inner = Workflow.sequential("inner", step("say", says("x", "y")))
    middle = Workflow.sequential("middle", step("deep", inner))
    flow = Workflow.dag(
        "flow",
        step("list", lambda _: ["p", "q"]),
        step("each", says("z"), each="{list}", after="list"),
        step("nested", middle, after="each"),
    )
    with flow.stream("?", runtime=runtime, text_only=True) as stream:
        said: dict[str, str] = {}
        for chunk in stream:
            if chunk.delta:
                said[chunk.step] = said.get(chunk.step, "") + chunk.delta
    assert said == {"each[0]": "z", "each[1]": "z", "nested/deep/say": "xy"}
    assert runtime.ledger.failed == 0


def test_text_of_steps_beside_each_other_is_joined_step_by_step() -> None:
    """Whoever speaks in between: a delta holds what one step said within the interval."""

    async def main(rt: Runtime) -> list[tuple[str, str]]:
        agents = {
            name: Agent(FakeModel(lambda _, name=name: [name] * 5, tokens_per_second=20))  # type: ignore[misc]
            for name in "ab"
        }
        flow = Workflow.parallel("flow", *(step(name, agent) for name, agent in agents.items()))
        async with rt.stream(flow, "?", flush_interval=0.12, text_only=True) as stream:
            return [(chunk.step, chunk.delta) async for chunk in stream if chunk.delta]

    for seed in range(5):
        found = SimRuntime(seed).run(main)
        for name in "ab":
            mine = [delta for path, delta in found if path == name]
            assert mine == [name, name * 3, name]


def test_a_step_that_fails(runtime: Runtime) -> None:
    """It is told with its step, then the stream's failure and the end; the text is kept."""

    async def breaks(messages: tuple[Message, ...]) -> AsyncIterator[str]:
        yield "half"
        raise ServerError("down", retryable=False)

    flow = Workflow.sequential("flow", step("cut", Agent(FakeModel(breaks))), step("next", shout))
    with flow.stream("?", runtime=runtime) as stream:
        chunks = list(stream)
    finished, failed, _ = chunks[-3:]
    assert isinstance(finished, StepFinished)
    assert finished.error is not None
    assert finished.error.type == "ServerError"
    assert isinstance(failed, StreamFailed)
    assert "".join(chunk.delta for chunk in chunks) == "half"
    with pytest.raises(WorkflowError) as caught:
        _ = stream.result
    assert isinstance(caught.value.partial, WorkflowResult)


async def test_leaving_early_cancels_the_steps(gate: "Gate") -> None:
    """The whole run ends, as with an agent's stream."""
    async with Runtime() as rt:
        flow = Workflow.parallel(
            "flow", step("a", Agent(FakeModel(gate))), step("b", Agent(FakeModel(gate)))
        )
        async with flow.astream("?") as stream:
            await gate.auntil(waiting=2)
        await gate.auntil(cancelled=2)
        with pytest.raises(RunCancelledError):
            _ = stream.result
    assert_quiet(rt)


async def test_a_reader_that_is_behind_holds_all_steps_up() -> None:
    """The bound is the stream's, whatever the number of steps."""
    made = 0

    def counting(name: str) -> Callable[[tuple[Message, ...]], AsyncIterator[str]]:
        async def tokens(messages: tuple[Message, ...]) -> AsyncIterator[str]:
            nonlocal made
            for _ in range(200):
                made += 1
                yield name

        return tokens

    async with Runtime() as rt:
        flow = Workflow.parallel(
            "flow", *(step(name, Agent(FakeModel(counting(name)))) for name in "abcd")
        )
        async with rt.stream(flow, "?", flush_interval=0, buffer_size=5, text_only=True) as stream:
            for _ in range(50):
                await asyncio.sleep(0)
            assert made <= 5 + 4
            text = await stream.acollect()
        assert {name: text.count(name) for name in "abcd"} == dict.fromkeys("abcd", 200)
        assert stream.stats.peak <= 5 + 4
    assert_quiet(rt)


def test_what_a_stream_does_not_keep_the_steps_still_get(runtime: Runtime) -> None:
    """`retain` is about the stream: the step behind reads all that the one before it wrote."""
    flow = Workflow.sequential("flow", step("say", says("abc", "def")), step("shout", shout))
    with flow.stream("?", runtime=runtime, retain="none") as stream:
        result: Any = stream.wait()
    assert result.output == "ABCDEF"


def test_rounds_of_a_loop_have_paths_of_their_own(runtime: Runtime) -> None:
    """The text of each round is there once, under its path."""
    flow = Workflow.loop("talk", step("say", says("hi ")), max_iterations=2)
    with flow.stream("?", runtime=runtime, flush_interval=0) as stream:
        texts = [(chunk.step, chunk.delta) for chunk in stream if chunk.delta]
    assert texts == [("talk#1/say", "hi "), ("talk#2/say", "hi ")]
    assert stream.result.iterations == 2  # type: ignore[attr-defined]


def test_what_was_heard_is_not_said_again(runtime: Runtime) -> None:
    """A step that fails after its first words is not tried again; one that was silent is."""
    calls = 0

    def breaks(_: object) -> Any:
        nonlocal calls
        calls += 1
        yield "half "
        raise ServerError("down", retryable=True)

    def silent(value: str) -> str:
        nonlocal calls
        calls += 1
        if calls < 3:
            raise ServerError("down", retryable=True)
        return value

    heard = Workflow.sequential("w", step("a", Agent(FakeModel(breaks), retries=0), retries=2))
    with heard.stream("?", runtime=runtime, flush_interval=0) as stream:
        chunks = list(stream)
    assert [chunk.delta for chunk in chunks if chunk.delta] == ["half "]
    assert calls == 1
    again = Workflow.sequential("w", step("a", silent, retries=2))
    with again.stream("?", runtime=runtime) as stream:
        kinds = [type(chunk) for chunk in stream if isinstance(chunk, (StepStarted, StepFinished))]
    assert (kinds, calls) == ([StepStarted, StepFinished], 3)


def test_a_step_that_was_heard_and_is_late_is_not_tried_again() -> None:
    """Whoever reads along never reads a beginning twice."""

    async def hangs(_: object) -> AsyncIterator[str]:
        yield "half "
        await asyncio.sleep(1_000)

    flow = Workflow.sequential("w", step("a", Agent(FakeModel(hangs)), retries=2, timeout=5))

    async def main(rt: Runtime) -> list[str]:
        async with flow.astream("?", runtime=rt, flush_interval=0) as stream:
            return [chunk.delta async for chunk in stream if chunk.delta]

    assert SimRuntime(1).run(main) == ["half "]


def test_timeouts_are_the_same_when_somebody_reads() -> None:
    """A step's and the run's, streamed or not."""

    async def never(value: str) -> None:
        await asyncio.Event().wait()

    async def main(rt: Runtime) -> list[str]:
        found = []
        for flow in (
            Workflow.sequential("w", step("a", never, timeout=5)),
            Workflow.sequential("w", step("a", never), timeout=7),
        ):
            begin = rt.system.now()
            async with flow.astream("?", runtime=rt) as stream:
                failed = [str(c.error) async for c in stream if isinstance(c, StreamFailed)]
                found.append(f"{failed[0]} after {rt.system.now() - begin:.0f}")
        return found

    assert SimRuntime(1).run(main) == [
        "step a failed: a took longer than its timeout of 5 s after 5",
        "w: the run took longer than 7 s after 7",
    ]


def test_who_is_cancelled_has_finished_too(runtime: Runtime) -> None:
    """A step that another one has overtaken ends in the stream, and says why."""

    async def never(value: str) -> None:
        await asyncio.Event().wait()

    flow = Workflow.parallel("w", step("slow", never), step("quick", shout), join="any")
    with flow.stream("x", runtime=runtime) as stream:
        ends = {c.step: c.error for c in stream if isinstance(c, StepFinished)}
    assert ends["quick"] is None
    assert ends["slow"] is not None
    assert "enough other steps were done" in ends["slow"].message
