import asyncio
from collections.abc import Callable

import pytest

from understudy import Agent, ConfigError, Runtime, ToolCall, arun_tools, tool
from understudy.runtime.config.load import load_config
from understudy.testing import FakeModel, ManualClock
from understudy.testing import call as call_of

pytestmark = pytest.mark.anyio

Call = Callable[..., ToolCall]


def configured(text: str, clock: ManualClock) -> Runtime:
    """A runtime as a file says."""
    return Runtime(config=load_config(f"[tools]\n{text}", {}), clock=clock)


async def turns(count: int = 20) -> None:
    """Let the loop turn."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_timeout(call: Call) -> None:
    """A tool that does not say has that long."""

    async def hang() -> None:
        await asyncio.Event().wait()

    clock = ManualClock()
    async with configured('timeout = "2s"', clock) as rt:
        task = asyncio.create_task(arun_tools([call("hang")], [hang], runtime=rt))
        await turns()
        clock.advance(2.1)
        assert (await task)[0].error == "The tool 'hang' did not return within 2 s."


async def test_timeout_holds_for_agents_too() -> None:
    """An agent that does not say `tool_timeout` gives its tools that long."""

    async def hang() -> None:
        await asyncio.Event().wait()

    clock, fake = ManualClock(), FakeModel([call_of("hang"), "ok", call_of("hang"), "ok"])
    async with configured('timeout = "2s"', clock) as rt:
        for options, seconds in (({}, 2), ({"tool_timeout": 3.0}, 3)):
            agent = Agent(fake, tools=[hang])
            task = asyncio.create_task(rt.arun(agent, "q", **options))
            await turns(60)
            clock.advance(seconds - 0.1)
            await turns(60)
            assert not task.done()
            clock.advance(0.2)
            assert (await task).tool_calls[0].error == (
                f"The tool 'hang' did not return within {seconds} s."
            )


@pytest.mark.parametrize(("text", "attempts"), [("", 1), ("max_retries = 2", 3)])
async def test_max_retries(call: Call, text: str, attempts: int) -> None:
    """A tool that may be called again is, so often."""

    @tool(effects="none")
    async def fail() -> None:
        raise ConnectionError

    clock = ManualClock()
    async with configured(text, clock) as rt:
        task = asyncio.create_task(arun_tools([call("fail")], [fail], runtime=rt))
        while not task.done():
            await asyncio.sleep(0)
            clock.advance(1)
        assert task.result()[0].attempts == attempts


async def test_rate_limit(call: Call) -> None:
    """Each tool has that rate; the third call waits for its turn."""
    times: list[float] = []

    async def note() -> None:
        times.append(clock.now())

    clock = ManualClock()
    async with configured("rate_limit = 2", clock) as rt:
        task = asyncio.create_task(arun_tools([call("note")] * 3, [note], runtime=rt))
        await turns()
        assert len(times) == 2
        clock.advance(0.51)
        await task
        assert len(times) == 3


async def test_max_concurrent(call: Call) -> None:
    """So many calls at a time, unless a tool says otherwise."""
    peaks = {"first": 0, "second": 0}
    working = dict.fromkeys(peaks, 0)

    async def work(name: str) -> None:
        working[name] += 1
        peaks[name] = max(peaks[name], working[name])
        await asyncio.sleep(0)
        working[name] -= 1

    async def first() -> None:
        await work("first")

    @tool(max_concurrent=3)
    async def second() -> None:
        await work("second")

    async with configured("max_concurrent = 1", ManualClock()) as rt:
        for name in peaks:
            await arun_tools([call(name)] * 6, [first, second], runtime=rt)
    assert peaks == {"first": 1, "second": 3}


async def test_bounds_are_of_all_tools_together(call: Call) -> None:
    """Two at a time of whatever tools, and a call of one inside of another needs no third slot."""
    working = peak = 0

    async def one() -> None:
        nonlocal working, peak
        working += 1
        peak = max(peak, working)
        await asyncio.sleep(0)
        working -= 1

    async def two() -> None:
        await one()

    async with configured("max_concurrent = 2", ManualClock()) as rt:

        async def outer() -> str:
            (result,) = await arun_tools([call("one")], [one], runtime=rt)
            return str(result.error)

        await arun_tools([call("one"), call("two")] * 4, [one, two], runtime=rt)
        assert peak == 2
        results = await arun_tools([call("outer")] * 4, [outer], runtime=rt)
        assert [result.value for result in results] == ["None"] * 4


async def test_circuit_breaker(call: Call) -> None:
    """A tool that fails as often as the table says is left alone for a while."""
    seen = 0

    async def fail() -> None:
        nonlocal seen
        seen += 1
        raise ConnectionError

    clock = ManualClock()
    text = '[tools.circuit_breaker]\nmin_calls = 3\nopen = "7s"'
    async with configured(text, clock) as rt:
        for _ in range(3):
            await arun_tools([call("fail")], [fail], runtime=rt)
        (result,) = await arun_tools([call("fail")], [fail], runtime=rt)
        assert result.error == "The tool 'fail' has failed too often; try again in 7.0 s"
        assert seen == 3
        clock.advance(7.1)
        await arun_tools([call("fail")], [fail], runtime=rt)
        assert seen == 4


async def test_circuit_breaker_can_be_switched_off(call: Call) -> None:
    """`enabled = false` keeps the table and calls for ever."""
    seen = 0

    async def fail() -> None:
        nonlocal seen
        seen += 1
        raise ConnectionError

    async with configured(
        "[tools.circuit_breaker]\nenabled = false\nmin_calls = 1", ManualClock()
    ) as rt:
        for _ in range(4):
            await arun_tools([call("fail")], [fail], runtime=rt)
    assert seen == 4


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("min_call = 3", "tools.circuit_breaker.*min_call"),
        ("failure_rate = 2", "tools.circuit_breaker.*<= 1"),
        ("open = 5", "tools.circuit_breaker.*has no unit"),
    ],
)
def test_mistakes_in_the_table_of_the_breaker(text: str, why: str) -> None:
    """They are told at the table."""
    with pytest.raises(ConfigError, match=f"line [12]: {why}"):
        load_config(f"[tools.circuit_breaker]\n{text}", {})


@pytest.mark.parametrize(
    "text", ["timeout = 30", "max_retries = -1", "rate_limit = 0", "max_concurrent = 0", "cach = 1"]
)
def test_mistakes_have_their_line(text: str) -> None:
    """As everywhere in the file."""
    key = text.partition(" ")[0]
    with pytest.raises(ConfigError, match=rf"line 2: tools\.{key}"):
        load_config(f"[tools]\n{text}", {})


def test_the_environment_counts_too() -> None:
    """`UNDERSTUDY_TOOLS__TIMEOUT`, like any other key."""
    config = load_config("", {"UNDERSTUDY_TOOLS__TIMEOUT": "5s"})
    assert config.tools.timeout == 5.0
    assert config.origins["tools.timeout"] == "environment UNDERSTUDY_TOOLS__TIMEOUT"
