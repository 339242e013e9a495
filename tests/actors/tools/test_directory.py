import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from understudy import ConfigError, Runtime, ToolCall, ToolError, ToolResult, child, tool
from understudy.actors.processes.worker import ProcessWorker
from understudy.actors.rules.breaker import BreakerPolicy
from understudy.actors.tools.defaults import ToolDefaults
from understudy.actors.tools.directory import ToolDirectory
from understudy.messages.tools import ToolSpec
from understudy.testing import ManualClock, assert_quiet

pytestmark = pytest.mark.anyio


class StopHere(Exception):  # noqa: N818 - it steers, it is no error
    """What a tool raises to end the work around it."""


def make(rt: Runtime, **options: Any) -> ToolDirectory:
    """A second directory in a runtime, with options of its own."""
    return ToolDirectory(
        rt.system,
        process_worker=child(ProcessWorker, warm=False),
        caches=rt.crew.caches.outcomes_of,
        passing=options.pop("passing", ()),
        defaults=ToolDefaults(**options),
    )


@pytest.fixture
async def rt() -> AsyncIterator[Runtime]:
    """A hosted runtime whose branch for tools is free."""
    clock = ManualClock()
    async with Runtime(clock=clock) as runtime:
        await runtime.crew.tools._hands._branch.stop()
        yield runtime


async def call(directory: ToolDirectory, tools: tuple[Any, ...], *names: str) -> list[ToolResult]:
    """Make a turn of calls without arguments."""
    calls = tuple(ToolCall(id=str(n), name=name) for n, name in enumerate(names))
    return list(
        await directory.call(
            directory.table(tools), calls, timeout=None, max_concurrent=8, context=None
        )
    )


async def test_tables_are_made_once_for_the_same_tools(rt: Runtime) -> None:
    """By the tools themselves, whatever tuple they are in; and not for ever."""

    async def one() -> None: ...

    async def two() -> None: ...

    directory = make(rt)
    assert directory.table((one, two)) is directory.table((one, two))
    assert directory.table((one,)) is not directory.table((two,))
    first = directory.table((one, two))
    for _ in range(600):
        directory.table((tool(name="x")(lambda: None),))
    assert directory.table((one, two)) is not first
    assert len(directory._tables) <= 512
    first = directory.table((one, two))
    for _ in range(600):
        directory.table((tool(name="x")(lambda: None),))
        assert directory.table((one, two)) is first  # what is used is kept


async def test_a_tool_says_what_it_says(rt: Runtime) -> None:
    """Two that are made of one function differ in words, and each agent gets its own."""

    async def look(what: str) -> str:
        return what

    directory = make(rt)
    first = directory.table((tool(description="Look here.")(look),))
    second = directory.table((tool(description="Look there.")(look),))
    narrow = {"type": "object", "properties": {"what": {"enum": ["sun"]}}}
    third = directory.table((ToolSpec(name="look", parameters=narrow, function=look),))
    told = [table.declarations[0] for table in (first, second, third)]
    assert [each.description for each in told] == ["Look here.", "Look there.", ""]
    assert told[2].parameters == narrow
    same = directory.table((tool(description="Look here.")(look),))
    assert same.stations["look"] is first.stations["look"]


async def test_two_tools_of_one_name_and_what_is_no_tool(rt: Runtime) -> None:
    """The name, or the thing, and the remedy."""

    async def look() -> None: ...

    directory = make(rt)
    with pytest.raises(ConfigError, match=r"two tools are named 'look'; rename one"):
        directory.table((look, tool(look)))
    with pytest.raises(ConfigError, match="'weather' is a str; a tool is a function"):
        directory.table(("weather",))


async def test_whatever_has_as_tool_is_a_tool(rt: Runtime) -> None:
    """An agent, for one; what it gives may be a plain function."""

    class Expert:
        def as_tool(self) -> Any:
            async def ask(question: str) -> str:
                return question

            return ask

    table = make(rt).table((Expert(),))
    assert [each.name for each in table.declarations] == ["ask"]
    assert not table.needs_approval("ask")


async def test_approval_is_asked_of_the_table(rt: Runtime) -> None:
    """For tools that say so, and not for names that nobody knows."""

    @tool(requires_approval=True)
    async def delete() -> None: ...

    table = make(rt).table((delete,))
    assert table.needs_approval("delete")
    assert not table.needs_approval("other")


async def test_calls_that_nobody_can_make(rt: Runtime) -> None:
    """Unknown names, arguments that are no object, ids that are given twice: all are answered."""

    async def weather() -> str:
        return "fine"

    directory = make(rt)
    calls = (
        ToolCall(id="a", name="wether"),
        ToolCall(id="a", name="weather"),
        ToolCall(id="a", name="weather", arguments="{broken"),  # type: ignore[arg-type]
        ToolCall(id="", name=""),
    )
    results = await directory.call(
        directory.table((weather,)), calls, timeout=None, max_concurrent=8, context=None
    )
    assert [r.call_id for r in results] == ["a", "a", "a", ""]
    assert results[0].error == (
        "There is no tool named 'wether'. Did you mean 'weather'? There are: weather."
    )
    assert results[1].content == "fine"
    assert "Expected `object`, got `str`" in str(results[2].error)
    assert str(results[3].error).startswith("There is no tool named ''")
    nothing = await directory.call(
        directory.table(()), calls[:1], timeout=None, max_concurrent=8, context=None
    )
    assert nothing[0].error == "There is no tool named 'wether'. There are: none at all."
    assert_quiet(rt)


async def test_who_wants_to_know_hears_of_each_call(rt: Runtime) -> None:
    """`started` before it begins, `finished` with its result, also for unknown tools."""

    async def look() -> str:
        heard.append("look")
        return "seen"

    heard: list[str] = []

    async def started(each: ToolCall) -> None:
        heard.append(f"started {each.name}")

    async def finished(each: ToolResult) -> None:
        heard.append(f"finished {each.name}: {each.content[:8]}")

    directory = make(rt)
    for name in ("look", "nope"):
        await directory.call(
            directory.table((look,)),
            (ToolCall(id="1", name=name),),
            timeout=None,
            max_concurrent=8,
            context=None,
            started=started,
            finished=finished,
        )
    assert heard == [
        "started look",
        "look",
        "finished look: seen",
        "started nope",
        "finished nope: There is",
    ]


@pytest.mark.parametrize("count", [1, 3])
async def test_what_steers_the_run_passes_through(rt: Runtime, count: int) -> None:
    """It is raised, once and as it is, and the other calls are cancelled."""
    cancelled = 0

    @tool(retries=3)
    async def stop() -> None:
        raise StopHere("enough")

    async def wait() -> None:
        nonlocal cancelled
        try:
            await asyncio.Event().wait()
        finally:
            cancelled += 1

    directory = make(rt, passing=(StopHere,))
    with pytest.raises(StopHere, match="enough"):
        await call(directory, (stop, wait), *["wait"] * (count - 1), "stop")
    for _ in range(10):
        await asyncio.sleep(0)
    assert cancelled == count - 1


async def test_a_breaker_stops_calling_what_fails(rt: Runtime) -> None:
    """After ten failures nothing is called for five seconds; then one probe decides."""
    seen, broken = 0, True

    async def flaky() -> str:
        nonlocal seen
        seen += 1
        if broken:
            raise ConnectionError("gone")
        return "fine"

    async def refusing() -> str:
        nonlocal seen
        seen += 1
        raise ToolError("No such city.")

    clock: Any = rt.system.clock
    directory = make(rt, breaker=BreakerPolicy())
    tools = (flaky, refusing)
    for _ in range(10):
        await call(directory, tools, "flaky")
    (result,) = await call(directory, tools, "flaky")
    assert (seen, result.attempts) == (10, 0)
    assert result.error == "The tool 'flaky' has failed too often; try again in 5.0 s"
    for _ in range(20):
        await call(directory, tools, "refusing")
    assert seen == 30  # what a tool says on purpose is no failure of it
    broken = False
    clock.advance(5.1)
    for _ in range(6):
        (result,) = await call(directory, tools, "flaky")
    assert result.content == "fine"


async def test_a_breaker_counts_what_may_pass(rt: Runtime) -> None:
    """A ToolError that says trying again may help, as a dead process does, is a failure."""

    async def busy() -> str:
        raise ToolError("busy", retryable=True)

    directory = make(rt, breaker=BreakerPolicy(min_calls=2))
    for _ in range(2):
        await call(directory, (busy,), "busy")
    (result,) = await call(directory, (busy,), "busy")
    assert "has failed too often" in str(result.error)


async def test_a_probe_that_is_not_made_lets_another_one_pass(rt: Runtime) -> None:
    """Refused by the rate or cancelled: the breaker does not wait for its end for ever."""
    broken = True

    @tool(rate_limit=0.01, max_concurrent=1)
    async def flaky() -> str:
        if broken:
            raise ConnectionError
        await asyncio.sleep(0)
        return "fine"

    clock: Any = rt.system.clock
    directory = make(rt, breaker=BreakerPolicy(min_calls=1))
    await call(directory, (flaky,), "flaky")
    clock.advance(6)
    (result,) = await call(directory, (flaky,), "flaky")
    assert "is called too often" in str(result.error)
    clock.advance(100)
    broken = False
    task = asyncio.create_task(call(directory, (flaky,), "flaky"))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    clock.advance(100)
    (result,) = await call(directory, (flaky,), "flaky")
    assert result.content == "fine"


async def test_who_is_cancelled_while_it_waits_for_its_rate_leaves_no_trace(rt: Runtime) -> None:
    """Neither the slot nor the turn is lost."""

    @tool(rate_limit=0.1, max_concurrent=1)
    async def rare() -> str:
        return "done"

    clock: Any = rt.system.clock
    directory = make(rt)
    await call(directory, (rare,), "rare")
    for _ in range(3):
        task = asyncio.create_task(call(directory, (rare,), "rare"))
        for _ in range(5):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
    clock.advance(10.1)
    (result,) = await call(directory, (rare,), "rare")
    assert result.content == "done"


async def test_a_cancel_in_the_turn_of_the_answer_is_not_lost(rt: Runtime) -> None:
    """It is not taken for a failure of the tool."""

    async def fail() -> None:
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_soon(task.cancel)
        raise ValueError

    task = asyncio.create_task(call(make(rt), (fail,), "fail"))
    await asyncio.wait([task])
    assert task.cancelled()


async def test_retries_are_bounded_by_a_budget(rt: Runtime) -> None:
    """An outage is not multiplied: ten retries to begin with, then one for ten calls."""
    seen = 0

    @tool(retries=1)
    async def down() -> None:
        nonlocal seen
        seen += 1
        raise ConnectionError

    clock: Any = rt.system.clock
    directory = make(rt)
    for _ in range(40):
        task = asyncio.create_task(call(directory, (down,), "down"))
        while not task.done():
            await asyncio.sleep(0)
            clock.advance(1)
    assert 40 + 13 <= seen <= 40 + 14


async def test_defaults_hold_for_tools_that_do_not_say(rt: Runtime) -> None:
    """`max_retries` only where effects allow it; `max_concurrent` and `timeout` for all."""
    seen: list[str] = []
    working = peak = 0

    async def plain() -> None:
        seen.append("plain")
        raise ConnectionError

    @tool(effects="none")
    async def harmless() -> None:
        seen.append("harmless")
        raise ConnectionError

    @tool(effects="at_most_once")
    async def once() -> None:
        seen.append("once")
        raise ConnectionError

    async def work() -> None:
        nonlocal working, peak
        working += 1
        peak = max(peak, working)
        await asyncio.sleep(0)
        working -= 1

    async def hang() -> None:
        await asyncio.Event().wait()

    clock: Any = rt.system.clock
    directory = make(rt, max_retries=2, max_concurrent=1, timeout=3.0)
    tools = (plain, harmless, once, work, hang)
    task = asyncio.create_task(call(directory, tools, "plain", "harmless", "once"))
    while not task.done():
        await asyncio.sleep(0)
        clock.advance(0.5)
    assert sorted(seen) == ["harmless"] * 3 + ["once", "plain"]
    await call(directory, tools, *["work"] * 5)
    assert peak == 1
    task = asyncio.create_task(call(directory, tools, "hang"))
    for _ in range(10):
        await asyncio.sleep(0)
    clock.advance(3.1)
    assert "did not return within 3 s" in str((await task)[0].error)
