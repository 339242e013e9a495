"""Enable Tool Caching: the same call again."""

import asyncio
from collections.abc import Iterator
from functools import partial

from claim import Claim, Switches, in_turns, judged, main, seconds

from understudy import Agent, Runtime, ToolCall, run_tools, tool
from understudy.runtime.config.load import load_config
from understudy.testing import FakeModel, ManualClock, call

CONFIGURATION = """
[tools.cache]
enabled = true
ttl = "5m"
max_size = 1000
"""
TAKES = 0.02
made: list[str] = []


@tool(effects="none")
async def price(item: str) -> str:
    """What an item costs."""
    made.append(item)
    await asyncio.sleep(TAKES)
    return f"{item}: 3 dollars"


@tool(effects="none")
async def broken(item: str) -> str:
    """Never answers well."""
    made.append(item)
    raise ValueError("no such item")


def asked(name: str, count: int = 1) -> list[ToolCall]:
    """The same call, some times."""
    return [ToolCall(id=str(n), name=name, arguments={"item": "tea"}) for n in range(count)]


def claims(switches: Switches) -> Iterator[Claim]:
    """First and repeated; fifty at once; after five minutes; a failure; an agent."""
    clock = ManualClock()
    fake = FakeModel([call("price", item="tea"), "3 dollars."] * 2)
    agent = Agent(switches.model_or(fake), tools=[price])
    with Runtime(clock=clock, config=load_config(CONFIGURATION, {})):
        run_tools([], [price])  # what is made once is not counted
        run_tools(asked("broken"), [broken])
        first = seconds(partial(run_tools, asked("price"), [price]))
        repeat = partial(run_tools, asked("price"), [price])
        again = in_turns({"": repeat}, switches.size(200, 5))[""]
        clock.advance(301.0)
        made.clear()
        run_tools(asked("price", 50), [price], max_concurrent=50)
        at_once = len(made)
        made.clear()
        for _ in range(3):
            run_tools(asked("broken"), [broken])
        failures = len(made)
        made.clear()
        agent.run("What is the price of tea? Use the tool.")
        agent.run("What is the price of tea? Use the tool.")
    saved = 1 - again / first
    yield Claim(
        claimed="90 % and more faster for repeated tool calls (ttl 5m)",
        measured=f"{first * 1000:.1f} ms first, {again * 1000:.2f} ms again: {saved:.1%} less; "
        f"after five minutes 50 calls at once made {at_once}; 3 failing calls were made {failures} "
        f"times; two runs of an agent needed {len(made)} more",
        verdict=judged(saved >= 0.9 and at_once == 1 and failures == 3),
        how=f"a tool that takes {TAKES * 1000:.0f} ms, best of the rounds; what a faster tool "
        "gains is less. Only tools that say effects='none' or 'idempotent', or cache= themselves, "
        "are cached",
    )


if __name__ == "__main__":
    main("Enable Tool Caching", claims)
