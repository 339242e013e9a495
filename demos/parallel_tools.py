"""Tool Parallelization: the calls of one turn at the same time."""

import asyncio
import threading
from collections.abc import Iterator

from claim import Claim, Switches, judged, main, seconds

from understudy import Agent, Runtime, ToolCall, run_tools
from understudy.testing import FakeModel, call

TAKES = 0.2
STEP = threading.Event()


async def fetch(page: int) -> int:
    """Fetch a page, without a thread."""
    await asyncio.sleep(TAKES)
    return page


def read(page: int) -> int:
    """Read a page, on a thread."""
    STEP.wait(TAKES)
    return page


def claims(switches: Switches) -> Iterator[Claim]:
    """Eight calls, in turn and at once; then an agent, whose model wants them all in one turn."""
    count = 8
    calls = [
        ToolCall(id=str(n), name=name, arguments={"page": n})
        for n, name in enumerate(["fetch", "read"] * (count // 2))
    ]
    fake = FakeModel([[call(each.name, **each.arguments) for each in calls], "Read."])
    agent = Agent(switches.model_or(fake), tools=[fetch, read])
    with Runtime():
        run_tools(calls, [fetch, read])  # threads are there
        in_turn = seconds(lambda: [run_tools([each], [fetch, read]) for each in calls])
        results = []
        at_once = seconds(lambda: results.extend(run_tools(calls, [fetch, read])))
        ran = agent.run(f"Call fetch and read for the pages 0 to {count - 1}, all in one turn.")
    in_order = [result.value for result in results] == list(range(count))
    yield Claim(
        claimed="multiple tools can be executed concurrently",
        measured=f"{count} calls of {TAKES} s: {in_turn:.2f} s in turn, {at_once:.2f} s at once "
        f"({in_turn / at_once:.1f} times faster), results in order; an agent that "
        f"made {len(ran.tool_calls)} in one turn took {ran.duration:.2f} s. Nothing had "
        "to be written for it; tool_concurrency (8) bounds it",
        verdict=judged(in_turn / at_once > 0.7 * count and in_order),
        how="run_tools and an agent; half the tools are async, half block a thread",
    )


if __name__ == "__main__":
    main("Tool Parallelization", claims)
