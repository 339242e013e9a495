"""Results of tools that are kept: which tools, for how long, for whom."""

import asyncio
import logging
from typing import Any

import msgspec
import pytest

from understudy import (
    Agent,
    Cache,
    ConfigError,
    RunContext,
    Runtime,
    ToolCall,
    ToolError,
    ToolResult,
    Toolset,
    arun_tools,
    tool,
)
from understudy.messages.caches import CacheSpec
from understudy.messages.codec import decode, encode
from understudy.messages.tools import ToolSpec
from understudy.runtime.config.explain import notes
from understudy.runtime.config.load import load_config
from understudy.testing import FakeModel, ManualClock, assert_quiet
from understudy.testing import call as call_of

pytestmark = pytest.mark.anyio


class Counted:
    """Counts how often its tools were really called."""

    def __init__(self) -> None:
        self.calls = 0

    def tool(self, **options: Any) -> Any:
        """A tool that gives a list it may be spoiled with."""

        async def look(x: int, *, more: str = "") -> list[int]:
            """Look."""
            self.calls += 1
            if more == "fail":
                raise ToolError("no")
            return [x]

        return tool(**options)(look)


async def run(rt: Runtime, made: Any, **arguments: Any) -> ToolResult:
    """One call."""
    name = made.name if isinstance(made, ToolSpec) else "look"
    call = ToolCall(id="c", name=name, arguments={"x": 1, **arguments})
    (result,) = await arun_tools([call], [made], runtime=rt)
    return result


async def test_a_result_is_given_again_and_says_so() -> None:
    """Until its time is over; other arguments are another call, and 1 is not "1"."""
    counted, clock = Counted(), ManualClock()
    async with Runtime(clock=clock) as rt:
        made = counted.tool(cache="5m")
        first, second = [await run(rt, made) for _ in range(2)]
        assert (first.value, first.cached, first.attempts) == ([1], None, 1)
        assert (second.value, second.content, second.attempts) == ([1], "[1]", 0)
        assert second.cached is not None
        assert second.cached.layer == "memory"
        assert (await run(rt, made, x="1")).cached is None
        assert (await run(rt, made, x=2)).cached is None
        assert counted.calls == 3
        clock.advance(301)
        assert (await run(rt, made)).cached is None
        assert_quiet(rt)


async def test_nobody_can_spoil_what_others_get() -> None:
    """The value is copied when it is kept and when it is given."""
    counted = Counted()
    async with Runtime() as rt:
        made = counted.tool(cache="5m")
        for _ in range(3):
            result = await run(rt, made)
            assert result.value == [1]
            result.value.append(9)
        assert counted.calls == 1


async def test_a_hundred_at_once_make_one_call_also_when_it_fails() -> None:
    """Errors are shared, and never kept."""
    counted = Counted()
    async with Runtime() as rt:
        made = counted.tool(cache="5m")
        for more, failed in (("", False), ("fail", True)):
            counted.calls = 0
            call = ToolCall(id="c", name="look", arguments={"x": 1, "more": more})
            results = await arun_tools([call] * 100, [made], runtime=rt, max_concurrent=100)
            assert counted.calls == 1
            assert all((result.error == "no") == failed for result in results)
        await run(rt, made, more="fail")
        assert counted.calls == 2


async def test_agents_and_runs_share_it_and_tenants_do_not() -> None:
    """The record of a call says where its result came from."""
    counted = Counted()
    made = counted.tool(cache="5m", effects="none")

    def think(messages: tuple[Any, ...]) -> Any:
        return "done" if len(messages) > 1 else call_of("look", x=1)

    async with Runtime() as rt:
        for tenant in ("a", "a", "b", "b"):
            result = await rt.arun(Agent(FakeModel(think), tools=[made]), "q", tenant=tenant)
            assert result.tool_calls[0].result == [1]
        assert counted.calls == 2
        assert result.tool_calls[0].cached is not None
        assert await rt.ainvalidate(tool="look", tenant="a") == 1
        await rt.arun(Agent(FakeModel(think), tools=[made]), "q", tenant="b")
        assert counted.calls == 2
        await rt.arun(Agent(FakeModel(think), tools=[made]), "q", tenant="a")
        assert counted.calls == 3


async def test_a_tool_may_bring_a_cache_of_its_own() -> None:
    """With bounds and tags; `cache.invalidate` reaches it, and the one that all share by tool."""
    counted, own = Counted(), Cache(ttl="5m", max_size=1, tags=["prices"])
    async with Runtime() as rt:
        made = counted.tool(cache=own)
        for x in (1, 2, 1):
            assert (await run(rt, made, x=x)).cached is None
        assert await own.ainvalidate(tag="prices", runtime=rt) == 1
        assert (await run(rt, made, x=1)).cached is None
        other = Counted().tool(cache="5m")
        await run(rt, other)
        assert await own.ainvalidate(tool="look", runtime=rt) == 2
        assert await rt.ainvalidate(tag="prices") == 0


async def test_two_tools_of_one_name_share_nothing() -> None:
    """What tells them apart is the tool, not its name."""
    one, two = Counted(), Counted()
    async with Runtime() as rt:
        a, b = one.tool(cache="5m"), two.tool(cache="5m")
        for made in (a, b):
            assert (await run(rt, made)).cached is None


async def test_cancelling_one_caller_leaves_the_call_to_the_others() -> None:
    """The first one, too; the last one takes it along."""
    started, go = asyncio.Event(), asyncio.Event()
    ended: list[str] = []

    @tool(cache="5m")
    async def look(x: int) -> int:
        """Look."""
        started.set()
        try:
            await go.wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
        ended.append("done")
        return x

    def think(messages: tuple[Any, ...]) -> Any:
        return "done" if len(messages) > 1 else call_of("look", x=1)

    async with Runtime() as rt:
        agent = Agent(FakeModel(think), tools=[look])
        first, second = rt.submit(agent, "q"), rt.submit(agent, "q")
        await started.wait()
        for _ in range(40):
            await asyncio.sleep(0)
        first.cancel()
        for _ in range(40):
            await asyncio.sleep(0)
        go.set()
        assert (await second).output == "done"
        assert ended == ["done"]
        await rt.ainvalidate(tool="look")
        go.clear()
        started.clear()
        alone = rt.submit(agent, "q")
        await started.wait()
        alone.cancel()
        async with asyncio.timeout(10):
            while ended != ["done", "cancelled"]:  # noqa: ASYNC110 - it has no event of its own
                await asyncio.sleep(0)


async def test_what_cannot_be_copied_is_not_kept() -> None:
    """The caller has it all the same."""

    class Odd:
        def __deepcopy__(self, memo: Any) -> Any:
            raise TypeError("no copies")

        def model_dump(self, mode: str) -> Any:
            return {"odd": mode}

    calls = 0

    @tool(cache="5m")
    async def look(x: int) -> Any:
        """Look."""
        nonlocal calls
        calls += 1
        return Odd()

    async with Runtime() as rt:
        for _ in range(2):
            assert (await run(rt, look)).cached is None
        assert calls == 2
        assert (await rt.acaches())["tools-1"].refused == 2


async def test_a_cache_that_dies_takes_no_call_along() -> None:
    """Whoever waits for it makes the call itself."""
    started, go = asyncio.Event(), asyncio.Event()

    @tool(cache="5m")
    async def look(x: int) -> int:
        """Look."""
        started.set()
        await go.wait()
        return x

    async with Runtime() as rt:
        task = asyncio.create_task(run(rt, look))
        await started.wait()
        (cache,) = [cell for cell in rt.system.cells() if cell.path == "/system/caches/tools-1"]
        await cache.ref.restart()
        go.set()
        assert (await task).value == 1


# -- which tools -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "text", "cached"),
    [
        ({}, "", False),
        ({"effects": "none"}, "", False),
        ({"cache": 60}, "", True),
        ({"effects": "none"}, "[tools.cache]", True),
        ({"effects": "idempotent"}, "[tools.cache]", True),
        ({}, "[tools.cache]", False),
        ({}, '[tools.cache]\ninclude = ["look"]', True),
        ({}, '[tools.cache]\ninclude = ["*"]', True),
        ({}, '[tools.cache]\ninclude = ["other"]', False),
        ({"effects": "at_most_once"}, '[tools.cache]\ninclude = ["*", "look"]', False),
        ({"effects": "none"}, "[tools.cache]\nenabled = false", False),
        ({"cache": 60}, "[tools.cache]\nenabled = false", True),
    ],
)
async def test_which_tools_are_cached(options: dict[str, Any], text: str, *, cached: bool) -> None:
    """Those that say so, and with the switch those whose effects allow it."""
    counted = Counted()
    async with Runtime(config=load_config(text, {})) as rt:
        made = counted.tool(**options)
        for _ in range(2):
            await run(rt, made)
    assert counted.calls == (1 if cached else 2)


async def test_those_that_are_left_out_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """With the reason, at the first call; those that never asked are not."""

    async def read(x: int, *, ctx: RunContext) -> int:
        """Read."""
        return x + len(ctx.run_id)

    reader = tool(effects="none")(read)
    once = Counted().tool(effects="at_most_once", name="once")
    caplog.set_level(logging.INFO, "understudy.tools")
    async with Runtime(config=load_config("[tools.cache]", {})) as rt:
        for _ in range(2):
            for made in (Counted().tool(effects="none"), reader, once):
                await run(rt, made)
        plain = Counted().tool()
        for _ in range(2):
            await run(rt, plain)
    told = [each for each in caplog.messages if "is not cached" in each]
    assert [each.partition("; ")[0] for each in told] == [
        "tool read is not cached: it reads the run's context, which is no part of its arguments",
        "tool once is not cached: its effects are at_most_once",
        "tool look is not cached: it does not say effects='none' or 'idempotent'",
    ]
    assert all("name it in [tools.cache] include" in told[number] for number in (0, 2))


def test_a_check_of_the_file_names_those_that_are_left_out() -> None:
    """Before anything runs, for the tools of its agents."""
    text = '[tools.cache]\n[agents.a]\nmodel = "local:extractive"\ntools = ["uuid:uuid4"]'
    found = [each for each in notes(load_config(text, {}), {}) if "is not cached" in each]
    assert [each.partition(":")[0] for each in found] == ["agents.a"] * len(found)
    assert any("tool uuid4 is not cached: it does not say effects" in each for each in found)
    off = text.replace("[tools.cache]", "[tools.cache]\nenabled = false")
    assert not [each for each in notes(load_config(off, {}), {}) if "is not cached" in each]


async def test_how_long_and_how_many_the_file_says() -> None:
    """`ttl` and `max_size` of `[tools.cache]`."""
    counted, clock = Counted(), ManualClock()
    config = load_config('[tools.cache]\nttl = "10s"\nmax_size = 2', {})
    async with Runtime(config=config, clock=clock) as rt:
        made = counted.tool(effects="none")
        for x in (1, 2, 3, 3, 2, 1):
            await run(rt, made, x=x)
        assert counted.calls == 4
        clock.advance(11)
        await run(rt, made, x=1)
        assert counted.calls == 5


async def test_the_environment_can_set_it() -> None:
    """`UNDERSTUDY_TOOLS__CACHE__TTL`."""
    config = load_config("", {"UNDERSTUDY_TOOLS__CACHE__TTL": "10s"})
    assert config.tools.cache.ttl == 10.0


async def test_a_lazy_tool_is_cached_as_it_says_once_it_is_loaded() -> None:
    """Its options are known with its function; a new one each time is the same one here."""
    tools = Toolset.lazy({"look": {"function": "uuid:uuid4", "cache": 300.0}})
    call = ToolCall(id="c", name="look", arguments={})
    async with Runtime() as rt:
        first, second = [(await arun_tools([call], [tools], runtime=rt))[0] for _ in range(2)]
        assert first.error is None
        assert first.value == second.value
        assert second.cached is not None


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"cache": "5"}, r'tool\(cache=...\): "5" has no unit'),
        ({"cache": 0}, r"tool 'look': cache=0; give a time such as '5m', or a Cache"),
        ({"cache": True}, r"tool 'look': cache=True; give a time"),
        ({"cache": Cache(path="x.db")}, r"results of tools are kept in memory"),
        ({"cache": Cache(semantic="strict")}, r"by their exact arguments"),
        ({"cache": "5m", "effects": "at_most_once"}, r"at_most_once' with cache= contradict"),
    ],
)
def test_a_cache_that_a_tool_cannot_have_is_refused(options: dict[str, Any], told: str) -> None:
    """When the tool is made."""
    with pytest.raises(ConfigError, match=told):
        Counted().tool(**options)


def test_a_cached_tool_is_data() -> None:
    """Its cache travels with it."""
    from understudy.tools import fetch_url

    own = Cache(ttl=60.0, tags=["a"])
    for cache, back in ((60.0, 60.0), (own, CacheSpec(ttl=60.0, tags=("a",)))):
        spec = msgspec.structs.replace(fetch_url, cache=cache)
        assert decode(encode(spec), ToolSpec).cache == back
